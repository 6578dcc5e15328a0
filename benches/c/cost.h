/* How much of a token's time is the engine's. With COST defined, the program is linked against the static library and
 * the linker sends every call of llama_decode and llama_get_logits_ith through the functions below
 * (-Wl,--wrap=llama_decode,--wrap=llama_get_logits_ith), which add up their time. The library itself is unchanged.
 */
#ifndef COST_H
#define COST_H

#ifdef COST
#include "llama.h"

static double cost_engine;

int32_t __real_llama_decode(struct llama_context *context, struct llama_batch batch);
int32_t __wrap_llama_decode(struct llama_context *context, struct llama_batch batch);
float *__real_llama_get_logits_ith(struct llama_context *context, int32_t i);
float *__wrap_llama_get_logits_ith(struct llama_context *context, int32_t i);

int32_t __wrap_llama_decode(struct llama_context *context, struct llama_batch batch) {
    double begin = bench_now();
    int32_t status = __real_llama_decode(context, batch);
    cost_engine += bench_now() - begin;
    return status;
}

float *__wrap_llama_get_logits_ith(struct llama_context *context, int32_t i) {
    double begin = bench_now();
    float *logits = __real_llama_get_logits_ith(context, i);
    cost_engine += bench_now() - begin;
    return logits;
}

/* The engine's seconds so far. */
static double cost_of_engine(void) { return cost_engine; }
#else
static double cost_of_engine(void) { return 0; }
#endif

#endif
