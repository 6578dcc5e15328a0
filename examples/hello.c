/* Opens a model and prints its answer while it is made: hello MODEL.gguf */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "nestling.h"

/* Prints and frees an error; says whether there was one. */
static int failed(nest_error *error) {
    if (error == NULL) {
        return 0;
    }
    fprintf(stderr, "error %d: %s\n", (int)nest_error_code(error), nest_error_message(error));
    nest_error_free(error);
    return 1;
}

int main(int argc, char **argv) {
    nest_source *source = NULL;
    nest_model *model = NULL;
    nest_session *session = NULL;
    nest_messages *messages = NULL;
    nest_options *options = NULL;
    nest_generation *generation = NULL;
    nest_piece piece;
    nest_session_stats stats;
    int32_t has_piece = 1;
    int status = 1;

    if (argc != 2) {
        fprintf(stderr, "usage: hello MODEL.gguf\n");
        return 2;
    }
    if (failed(nest_source_new_path(argv[1], &source)) ||
        failed(nest_model_open(source, NULL, NULL, &model)) ||
        failed(nest_session_new(model, NULL, &session)) ||
        failed(nest_messages_new(&messages)) ||
        failed(nest_messages_add(messages, "user", "What is a nestling? Answer in one sentence.", -1)) ||
        failed(nest_options_new("generation", &options)) ||
        failed(nest_options_set_float(options, "temperature", 0)) ||
        failed(nest_options_set_int(options, "max_tokens", 64)) ||
        failed(nest_generation_new_messages(session, messages, options, NULL, &generation))) {
        goto done;
    }

    piece.struct_size = sizeof piece;
    for (;;) {
        if (failed(nest_generation_next(generation, &piece, &has_piece))) {
            goto done;
        }
        if (!has_piece) {
            break;
        }
        fwrite(piece.text, 1, (size_t)piece.text_length, stdout);
        fflush(stdout);
    }
    printf("\n");

    stats.struct_size = sizeof stats;
    if (failed(nest_session_get_stats(session, &stats))) {
        goto done;
    }
    fprintf(stderr, "%" PRIu64 " tokens, %.1f tokens/s\n", stats.generated_tokens, stats.generation_rate);
    status = 0;

done: /* In any order; NULL is fine. */
    nest_generation_free(generation);
    nest_options_free(options);
    nest_messages_free(messages);
    nest_session_free(session);
    nest_model_free(model);
    nest_source_free(source);
    return status;
}
