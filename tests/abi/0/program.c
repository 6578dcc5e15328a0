/* Compiled against the first header, linked to the newest library: it must keep working. */
#include <stdio.h>
#include <string.h>

#include "nestling.h"

#define TRY(call)                                                                                   \
    do {                                                                                            \
        nest_error *error = (call);                                                                 \
        if (error != NULL) {                                                                        \
            fprintf(stderr, "%s: %d: %s\n", #call, (int)nest_error_code(error), nest_error_message(error)); \
            nest_error_free(error);                                                                 \
            return 1;                                                                               \
        }                                                                                           \
    } while (0)

int main(int argc, char **argv) {
    nest_source *source = NULL;
    nest_model *model = NULL;
    nest_options *options = NULL;
    nest_session *session = NULL;
    nest_tokenizer *tokenizer = NULL;
    nest_tokens *tokens = NULL;
    nest_string *text = NULL;
    nest_messages *messages = NULL;
    nest_generation *generation = NULL;
    nest_model_info info;
    nest_plan plan;
    nest_piece piece;
    nest_session_stats stats;
    int32_t has_piece = 1;
    int32_t reason = NEST_END_NONE;
    int pieces = 0;

    if (argc != 2 || nest_abi_version() != NEST_ABI_VERSION) {
        fprintf(stderr, "usage: program MODEL.gguf, with a library of ABI %d\n", NEST_ABI_VERSION);
        return 2;
    }
    TRY(nest_source_new_path(argv[1], &source));
    TRY(nest_model_open(source, NULL, NULL, &model));
    info.struct_size = sizeof info;
    TRY(nest_model_get_info(model, &info));
    plan.struct_size = sizeof plan;
    TRY(nest_model_plan(model, NULL, &plan));
    TRY(nest_tokenizer_new(model, &tokenizer));
    TRY(nest_tokenizer_encode(tokenizer, "hello world", -1, 0, 0, &tokens));
    TRY(nest_tokenizer_decode(tokenizer, nest_tokens_data(tokens), nest_tokens_length(tokens), 0, &text));
    if (strcmp(nest_string_data(text), "hello world") != 0 || info.n_layer == 0 || plan.total == 0) {
        fprintf(stderr, "wrong: %s, %u layers\n", nest_string_data(text), (unsigned)info.n_layer);
        return 1;
    }
    TRY(nest_session_new(model, NULL, &session));
    TRY(nest_messages_new(&messages));
    TRY(nest_messages_add(messages, "user", "hello", -1));
    TRY(nest_options_new("generation", &options));
    TRY(nest_options_set_float(options, "temperature", 0));
    TRY(nest_options_set_int(options, "max_tokens", 4));
    TRY(nest_options_set_bool(options, "ignore_eos", 1));
    TRY(nest_options_set_int(options, "top_logprobs", 3));
    TRY(nest_generation_new_messages(session, messages, options, NULL, &generation));
    piece.struct_size = sizeof piece;
    for (;;) {
        TRY(nest_generation_next(generation, &piece, &has_piece));
        if (!has_piece) {
            break;
        }
        if (piece.n_top != 3 || piece.top_tokens[0] != piece.token || !(piece.logprob <= 0)) {
            fprintf(stderr, "wrong: a piece without its alternatives\n");
            return 1;
        }
        pieces++;
    }
    TRY(nest_generation_end_reason(generation, &reason));
    stats.struct_size = sizeof stats;
    TRY(nest_session_get_stats(session, &stats));
    if (pieces != 4 || reason != NEST_END_MAX_TOKENS || stats.generated_tokens != 4) {
        fprintf(stderr, "wrong: %d pieces, reason %d\n", pieces, (int)reason);
        return 1;
    }
    nest_generation_free(generation);
    nest_options_free(options);
    nest_messages_free(messages);
    nest_session_free(session);
    nest_string_free(text);
    nest_tokens_free(tokens);
    nest_tokenizer_free(tokenizer);
    nest_model_free(model);
    nest_source_free(source);
    printf("works\n");
    return 0;
}
