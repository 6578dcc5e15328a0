/* Wrong values: each gets its error, and the handles stay usable. */
#include <math.h>
#include <stdint.h>

#include "fixture.h"

/* On error a handle is NULL, whatever was there before. */
static void handles_after_errors(fixture *f) {
    nest_model *model = (nest_model *)f;
    nest_session *session = (nest_session *)f;
    nest_source *source = NULL;
    OK(nest_source_new_path("/there/is/no/such/file", &source));
    EXPECT(NEST_ERROR_NOT_FOUND, nest_model_open(source, NULL, NULL, &model));
    CHECK(model == NULL);
    nest_source_free(source);
    EXPECT(NEST_ERROR_INVALID_ARGUMENT, nest_session_new(f->model, f->options, &session));
    CHECK(session == NULL);
}

static void bad_text(fixture *f) {
    nest_tokens *tokens = NULL;
    nest_options *options = NULL;
    nest_source *source = NULL;
    nest_generation *generation = NULL;
    EXPECT(NEST_ERROR_INVALID_UTF8, nest_tokenizer_encode(f->tokenizer, "a\xff" "b", -1, 0, 0, &tokens));
    EXPECT(NEST_ERROR_INVALID_UTF8, nest_tokenizer_encode(f->tokenizer, "\xe2\x82", 2, 0, 0, &tokens));
    EXPECT(NEST_ERROR_INVALID_UTF8, nest_source_new_path("\xc3\x28", &source));
    EXPECT(NEST_ERROR_INVALID_UTF8, nest_options_set_int(f->options, "\x80", 1));
    EXPECT(NEST_ERROR_INVALID_UTF8, nest_messages_add(f->messages, "user", "\xed\xa0\x80", -1));
    EXPECT(NEST_ERROR_INVALID_UTF8, nest_generation_new_text(f->session, "\xff", -1, NULL, NULL, &generation));
    EXPECT(NEST_ERROR_INVALID_ARGUMENT, nest_tokenizer_encode(f->tokenizer, "a", -2, 0, 0, &tokens));
    EXPECT(NEST_ERROR_INVALID_ARGUMENT, nest_tokenizer_encode(f->tokenizer, "a", INT64_MIN, 0, 0, &tokens));
    EXPECT(NEST_ERROR_INVALID_ARGUMENT, nest_options_new("weather", &options));
    EXPECT(NEST_ERROR_INVALID_MESSAGES, nest_messages_new_json("[{]", -1, &(nest_messages *){NULL}));
    /* NUL inside text is text. */
    OK(nest_tokenizer_encode(f->tokenizer, "a\0b", 3, 0, 0, &tokens));
    CHECK(nest_tokens_length(tokens) == 3);
    nest_tokens_free(tokens);
}

static void absurd_numbers(fixture *f) {
    static const int64_t numbers[] = {INT64_MIN, -1000000, INT64_MAX, (int64_t)1 << 40};
    nest_options *session_options = NULL;
    nest_session *session = NULL;
    nest_plan plan = {.struct_size = sizeof plan};
    nest_tokens *tokens = NULL;
    nest_string *string = NULL;
    nest_token_info token = {.struct_size = sizeof token};
    int32_t ids[2] = {1, 1};
    uint64_t reused = 0;
    size_t i;
    OK(nest_options_new("session", &session_options));
    for (i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        EXPECT(NEST_ERROR_INVALID_OPTION, nest_options_set_int(session_options, "n_ctx", numbers[i]));
        EXPECT(NEST_ERROR_INVALID_OPTION, nest_options_set_int(session_options, "n_threads", numbers[i]));
        EXPECT(NEST_ERROR_INVALID_OPTION, nest_options_set_int(session_options, "n_ubatch", numbers[i]));
        EXPECT(NEST_ERROR_INVALID_OPTION, nest_options_set_int(f->options, "top_k", numbers[i]));
    }
    /* Allowed as a number, but more than any machine holds: refused before anything is allocated. */
    OK(nest_options_set_int(session_options, "n_ctx", INT32_MAX));
    EXPECT(NEST_ERROR_DOES_NOT_FIT, nest_session_new(f->model, session_options, &session));
    CHECK(session == NULL);
    OK(nest_model_plan(f->model, session_options, &plan));
    CHECK(plan.fits == 0 && plan.kv_cache > (uint64_t)1 << 32);
    EXPECT(NEST_ERROR_INVALID_OPTION, nest_options_set_float(f->options, "temperature", NAN));
    EXPECT(NEST_ERROR_INVALID_OPTION, nest_options_set_float(f->options, "temperature", -INFINITY));
    EXPECT(NEST_ERROR_INVALID_OPTION, nest_options_set_float(f->options, "top_p", 1e300));
    EXPECT(NEST_ERROR_INVALID_OPTION, nest_options_set_int(f->options, "stop", 1));
    EXPECT(NEST_ERROR_INVALID_OPTION, nest_options_set_string(session_options, "kv_type", "q3", -1));
    EXPECT(NEST_ERROR_INVALID_OPTION, nest_options_set_bytes(f->options, "seed", (const uint8_t *)"k", 1));
    EXPECT(NEST_ERROR_UNKNOWN_OPTION, nest_options_set_bytes(f->options, "keys", (const uint8_t *)"k", 1));
    EXPECT(NEST_ERROR_UNKNOWN_OPTION, nest_options_set_int(f->options, "tempreature", 1));
    EXPECT(NEST_ERROR_UNKNOWN_OPTION, nest_options_get(f->options, "", &string));
    EXPECT(NEST_ERROR_INVALID_ARGUMENT, nest_options_set_bool(f->options, "logprobs", 2));
    EXPECT(NEST_ERROR_INVALID_ARGUMENT, nest_tokenizer_encode(f->tokenizer, "a", -1, 7, 0, &tokens));
    EXPECT(NEST_ERROR_INVALID_ARGUMENT, nest_session_evaluate(f->session, ids, UINT64_MAX, NULL, &reused));
    EXPECT(NEST_ERROR_INVALID_ARGUMENT, nest_source_new_descriptor(-1, 0, -1, &(nest_source *){NULL}));
    EXPECT(NEST_ERROR_IO, nest_source_new_descriptor(1000000, 0, -1, &(nest_source *){NULL}));
    EXPECT(NEST_ERROR_INVALID_ARGUMENT, nest_source_new_descriptor(0, 0, -2, &(nest_source *){NULL}));
    EXPECT(NEST_ERROR_INVALID_ARGUMENT, nest_model_metadata_key(f->model, UINT64_MAX, &string));

    ids[1] = INT32_MAX;
    EXPECT(NEST_ERROR_INVALID_TOKEN, nest_session_evaluate(f->session, ids, 2, NULL, &reused));
    EXPECT(NEST_ERROR_INVALID_TOKEN, nest_tokenizer_decode(f->tokenizer, ids, 2, 0, &string));
    EXPECT(NEST_ERROR_INVALID_TOKEN, nest_tokenizer_get_token(f->tokenizer, -1, &token, &string));
    nest_options_free(session_options);
}

static void wrong_structs(fixture *f) {
    nest_plan plan;
    nest_piece piece;
    nest_generation *generation = NULL;
    int32_t has_piece = 7;
    uint32_t size;
    OK(nest_generation_new_text(f->session, "hello", -1, f->options, NULL, &generation));
    for (size = 0; size < sizeof piece; size += 4) {
        piece.struct_size = size;
        EXPECT(NEST_ERROR_STRUCT_SIZE, nest_generation_next(generation, &piece, &has_piece));
        CHECK(has_piece == 0);
    }
    piece.struct_size = sizeof piece;
    OK(nest_generation_next(generation, &piece, &has_piece));
    CHECK(has_piece == 1 && piece.struct_size == sizeof piece && piece.n_top == 0);
    nest_generation_free(generation);
    plan.struct_size = 8;
    EXPECT(NEST_ERROR_STRUCT_SIZE, nest_model_plan(f->model, NULL, &plan));
}

static void prompts(fixture *f) {
    nest_generation *generation = NULL;
    nest_piece piece = {.struct_size = sizeof piece};
    nest_messages *none = NULL;
    int32_t has_piece = 0;
    int32_t ids[100];
    uint64_t reused = 0;
    size_t i;
    OK(nest_generation_new_text(f->session, "", -1, f->options, NULL, &generation));
    EXPECT(NEST_ERROR_EMPTY_PROMPT, nest_generation_next(generation, &piece, &has_piece));
    /* The answer has ended. */
    OK(nest_generation_next(generation, &piece, &has_piece));
    CHECK(has_piece == 0);
    nest_generation_free(generation);

    OK(nest_messages_new(&none));
    OK(nest_generation_new_messages(f->session, none, f->options, NULL, &generation));
    EXPECT(NEST_ERROR_EMPTY_PROMPT, nest_generation_next(generation, &piece, &has_piece));
    nest_generation_free(generation);
    EXPECT(NEST_ERROR_WRONG_STATE, nest_messages_add_part(none, "a", -1));
    nest_messages_free(none);

    for (i = 0; i < 100; i++) {
        ids[i] = 65;
    }
    EXPECT(NEST_ERROR_EMPTY_PROMPT, nest_session_evaluate(f->session, ids, 0, NULL, &reused));
    EXPECT(NEST_ERROR_PROMPT_TOO_LONG, nest_session_evaluate(f->session, ids, 100, NULL, &reused));
    OK(nest_generation_new_tokens(f->session, ids, 100, f->options, NULL, &generation));
    EXPECT(NEST_ERROR_PROMPT_TOO_LONG, nest_generation_next(generation, &piece, &has_piece));
    nest_generation_free(generation);

    /* The context fills up: an error, and the session is still good. */
    OK(nest_generation_new_tokens(f->session, ids, 62, f->options, NULL, &generation));
    for (i = 0; i < 3; i++) {
        OK(nest_generation_next(generation, &piece, &has_piece));
        CHECK(has_piece == 1);
    }
    EXPECT(NEST_ERROR_CONTEXT_FULL, nest_generation_next(generation, &piece, &has_piece));
    nest_generation_free(generation);
    OK(nest_session_evaluate(f->session, ids, 10, NULL, &reused));
    OK(nest_session_reset(f->session));
}

static void states(fixture *f) {
    char path[4096];
    nest_session *session = NULL;
    nest_options *options = NULL;
    FILE *file;
    int32_t ids[3] = {65, 66, 67};
    uint64_t reused = 0;
    snprintf(path, sizeof path, "%s/state", f->directory);
    OK(nest_session_evaluate(f->session, ids, 3, NULL, &reused));
    OK(nest_session_save(f->session, path));
    OK(nest_session_load(f->model, path, NULL, &session));
    OK(nest_session_evaluate(session, ids, 3, NULL, &reused));
    CHECK(reused == 2);
    nest_session_free(session);
    OK(nest_options_new("session", &options));
    OK(nest_options_set_string(options, "kv_type", "f32", -1));
    EXPECT(NEST_ERROR_STATE_FOREIGN, nest_session_load(f->model, path, options, &session));
    nest_options_free(options);
    file = fopen(path, "r+b");
    CHECK(file != NULL);
    fseek(file, 60, SEEK_SET);
    fputc('!', file);
    fclose(file);
    EXPECT(NEST_ERROR_STATE_DAMAGED, nest_session_load(f->model, path, NULL, &session));
    file = fopen(path, "wb");
    CHECK(file != NULL);
    fputs("something else", file);
    fclose(file);
    EXPECT(NEST_ERROR_STATE_FORMAT, nest_session_load(f->model, path, NULL, &session));
    EXPECT(NEST_ERROR_NOT_FOUND, nest_session_save(f->session, "/no/such/directory/state"));
    remove(path);
}

static void all(fixture *f) {
    handles_after_errors(f);
    bad_text(f);
    absurd_numbers(f);
    wrong_structs(f);
    prompts(f);
    states(f);
}

int main(int argc, char **argv) {
    return with_fixture(argc, argv, all);
}
