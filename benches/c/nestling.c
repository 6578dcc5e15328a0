/* The library through its C interface, doing what engine.cpp does:
 *
 *     nestling rate MODEL TEXT THREADS REPEATS   prompt of 512 tokens; 128 tokens after a prompt of 16
 *     nestling open MODEL                        open and free
 *     nestling peak MODEL TEXT THREADS           open, 64 tokens, peak memory
 *     nestling cost MODEL TEXT THREADS REPEATS   what of each token's time is not the engine's (see cost.h)
 *     nestling points MODEL TEXT THREADS REPEATS POINT...   prompts and decodes of these lengths (see bench.h)
 *
 * `rate`, `prompt` and `open` leave our own kernels out (`accel=off`), as they ask what the library costs over the engine.
 * `rate` and `peak` take the most likely token; `rate` and `cost` also sample with the default options.
 */
#include "bench.h"
#include "cost.h"
#include "nestling.h"

static void check(nest_error *error) {
    if (error != NULL) bench_fail(nest_error_message(error));
}

typedef struct {
    nest_model *model;
    nest_session *session;
    nest_options *greedy, *sampled;
    nest_tokens *prompt;
} Library;

static void start(Library *library, const char *text_path, int threads, int n_ctx) {
    nest_options *options;
    check(nest_options_new("session", &options));
    check(nest_options_set_int(options, "n_ctx", n_ctx));
    check(nest_options_set_int(options, "n_threads", threads));
    check(nest_session_new(library->model, options, &library->session));
    nest_options_free(options);

    check(nest_options_new("generation", &library->greedy));
    check(nest_options_set_float(library->greedy, "temperature", 0));
    check(nest_options_set_bool(library->greedy, "ignore_eos", 1));
    check(nest_options_new("generation", &library->sampled));
    check(nest_options_set_int(library->sampled, "seed", 1));
    check(nest_options_set_bool(library->sampled, "ignore_eos", 1));

    char *text = bench_text(text_path, n_ctx == N_CTX ? 4 : 16);
    nest_tokenizer *tokenizer;
    check(nest_tokenizer_new(library->model, &tokenizer));
    check(nest_tokenizer_encode(tokenizer, text, -1, 1, 0, &library->prompt));
    if (nest_tokens_length(library->prompt) < (uint64_t)(n_ctx == N_CTX ? N_PROMPT : n_ctx)) bench_fail("the text is too short");
    nest_tokenizer_free(tokenizer);
    free(text);
}

/* Seconds of an answer: its first call, which evaluates the prompt, and the others; of these, the engine's. */
typedef struct {
    double first, rest, engine_first, engine_rest;
} Times;

/* An answer to the first `n` tokens of the text, of one token and `more`. */
static uint64_t answer(Library *library, const nest_options *options, int n, int more, uint64_t hash, Times *times) {
    nest_generation *generation;
    nest_piece piece;
    memset(&piece, 0, sizeof piece);
    piece.struct_size = sizeof piece;
    int32_t has_piece = 0;
    check(nest_session_reset(library->session));
    double engine = cost_of_engine();
    double begin = bench_now();
    check(nest_generation_new_tokens(library->session, nest_tokens_data(library->prompt), (uint64_t)n, options, NULL,
                                     &generation));
    check(nest_generation_next(generation, &piece, &has_piece));
    double first = bench_now();
    hash = bench_hash(hash, &piece.token, 1);
    times->engine_first = cost_of_engine() - engine;
    for (int i = 0; i < more; i++) {
        check(nest_generation_next(generation, &piece, &has_piece));
        if (!has_piece) bench_fail("the answer ended");
        hash = bench_hash(hash, &piece.token, 1);
    }
    times->first = first - begin;
    times->rest = bench_now() - first;
    times->engine_rest = cost_of_engine() - engine - times->engine_first;
    nest_generation_free(generation);
    return hash;
}

static void rate(Library *library, int repeats, int decodes) {
    double prompt_s[MAX_REPEATS], decode_s[MAX_REPEATS], sampled_s[MAX_REPEATS];
    Times times;
    uint64_t output = 0;
    for (int i = -1; i < repeats; i++) { /* the first pass warms up */
        bench_turn();
        output = answer(library, library->greedy, N_PROMPT, 0, 0, &times);
        if (i >= 0) prompt_s[i] = times.first;
        if (!decodes) continue;
        bench_turn();
        output = answer(library, library->greedy, N_SHORT, N_DECODE, output, &times);
        double decode_time = times.rest;
        bench_turn();
        answer(library, library->sampled, N_SHORT, N_DECODE, 0, &times);
        if (i < 0) continue;
        decode_s[i] = decode_time;
        sampled_s[i] = times.rest;
    }
    bench_print_list("prompt_s", prompt_s, repeats);
    if (decodes) {
        bench_print_list("greedy_s", decode_s, repeats);
        bench_print_list("sampled_s", sampled_s, repeats);
    }
    printf("\"input\":\"%016llx\",",
           (unsigned long long)bench_hash(0, nest_tokens_data(library->prompt), N_PROMPT));
    printf("\"output\":\"%016llx\",", (unsigned long long)output);
}

/* Seconds of one measurement; a decode finds its context in the cache, except the first time. */
static double measure(Library *library, bench_point point) {
    const int32_t *tokens = nest_tokens_data(library->prompt);
    if (!point.decodes) {
        double begin = bench_now();
        for (int i = 0; i < bench_times(point); i++) {
            uint64_t reused;
            check(nest_session_reset(library->session));
            check(nest_session_evaluate(library->session, tokens, (uint64_t)point.n, NULL, &reused));
        }
        return bench_now() - begin;
    }
    nest_generation *generation;
    nest_piece piece;
    memset(&piece, 0, sizeof piece);
    piece.struct_size = sizeof piece;
    int32_t has_piece = 0;
    check(nest_generation_new_tokens(library->session, tokens, (uint64_t)point.n, library->greedy, NULL, &generation));
    check(nest_generation_next(generation, &piece, &has_piece));
    double begin = bench_now();
    for (int i = 0; i < N_STEPS; i++) check(nest_generation_next(generation, &piece, &has_piece));
    double time = bench_now() - begin;
    nest_generation_free(generation);
    return time;
}

static void points(Library *library, int repeats, char **names, int n) {
    double times[MAX_REPEATS];
    for (int i = 0; i < n; i++) {
        bench_point point = bench_parse(names[i]);
        for (int k = -1; k < repeats; k++) { /* the first one warms up */
            bench_turn();
            double time = measure(library, point);
            if (k >= 0) times[k] = time;
        }
        bench_print_list(names[i], times, repeats);
    }
}

static void peak(Library *library) {
    Times times;
    answer(library, library->greedy, N_SHORT, N_PEAK - 1, 0, &times);
    printf("\"rate\":%.3f,", (N_PEAK - 1) / times.rest);
    bench_print_memory();
}

static void cost_of(Library *library, const char *name, const nest_options *options, int n, int more, int repeats) {
    double whole[MAX_REPEATS] = {0}, engine[MAX_REPEATS] = {0};
    char label[64];
    Times times;
    for (int i = -1; i < repeats; i++) {
        answer(library, options, n, more, 0, &times);
        if (i < 0) continue;
        whole[i] = more > 0 ? times.rest : times.first;
        engine[i] = more > 0 ? times.engine_rest : times.engine_first;
    }
    if (engine[0] == 0) bench_fail("no call of the engine was seen: link with -DCOST and --wrap");
    snprintf(label, sizeof label, "%s_s", name);
    bench_print_list(label, whole, repeats);
    snprintf(label, sizeof label, "%s_engine_s", name);
    bench_print_list(label, engine, repeats);
}

/* The whole time of a prompt's and of 128 tokens' calls, and of that what the engine took. */
static void cost(Library *library, int repeats) {
    cost_of(library, "prompt", library->greedy, N_PROMPT, 0, repeats);
    cost_of(library, "greedy", library->greedy, N_SHORT, N_DECODE, repeats);
    cost_of(library, "sampled", library->sampled, N_SHORT, N_DECODE, repeats);
}

int main(int argc, char **argv) {
    if (argc < 3) bench_fail("usage: nestling rate|prompt|open|peak|cost|points MODEL [TEXT THREADS [REPEATS [POINT...]]]");
    const char *mode = argv[1];
    int repeats = argc >= 6 ? atoi(argv[5]) : 1, many = !strcmp(mode, "points");
    if (repeats < 1 || repeats > MAX_REPEATS) bench_fail("1 to 64 repeats");
    Library library = {NULL, NULL, NULL, NULL, NULL};
    nest_source *source;
    nest_options *options;
    check(nest_source_new_path(argv[2], &source));
    check(nest_options_new("model", &options));
    if (!strcmp(mode, "rate") || !strcmp(mode, "prompt") || !strcmp(mode, "open"))
        check(nest_options_set_string(options, "accel", "off", -1));
    double begin = bench_now();
    check(nest_model_open(source, options, NULL, &library.model));
    printf("{\"open_s\":%.9f,", bench_now() - begin);
    nest_options_free(options);
    nest_source_free(source);
    if (argc >= 5) start(&library, argv[3], atoi(argv[4]), many ? N_CTX_POINTS : N_CTX);
    if (many && argc > 6) points(&library, repeats, argv + 6, argc - 6);
    else if (!strcmp(mode, "rate") && argc == 6) rate(&library, repeats, 1);
    else if (!strcmp(mode, "prompt") && argc == 6) rate(&library, repeats, 0);
    else if (!strcmp(mode, "cost") && argc == 6) cost(&library, repeats);
    else if (!strcmp(mode, "peak") && argc == 5) peak(&library);
    else if (strcmp(mode, "open") || argc != 3) bench_fail("unknown mode or wrong number of arguments");
    nest_tokens_free(library.prompt);
    nest_options_free(library.greedy);
    nest_options_free(library.sampled);
    nest_session_free(library.session);
    nest_model_free(library.model);
    printf("\"done\":true}\n");
    return 0;
}
