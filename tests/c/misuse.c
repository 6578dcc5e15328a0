/* Every wrong call gets its error; nothing crashes, nothing leaks. misuse TINY-MODEL.gguf EMPTY-DIRECTORY */
#include <math.h>
#include <pthread.h>
#include <stdint.h>

#include "check.h"

/* What most parts need. */
typedef struct {
    nest_source *source;
    nest_model *model;
    nest_tokenizer *tokenizer;
    nest_session *session;
    nest_messages *messages;
    nest_options *options;
    const char *directory;
} fixture;

static fixture open_all(const char *path, const char *directory) {
    fixture f;
    nest_options *small = NULL;
    f.directory = directory;
    OK(nest_source_new_path(path, &f.source));
    OK(nest_model_open(f.source, NULL, NULL, &f.model));
    OK(nest_tokenizer_new(f.model, &f.tokenizer));
    OK(nest_options_new("session", &small));
    OK(nest_options_set_int(small, "n_ctx", 64));
    OK(nest_options_set_int(small, "n_threads", 1));
    OK(nest_session_new(f.model, small, &f.session));
    nest_options_free(small);
    OK(nest_messages_new(&f.messages));
    OK(nest_messages_add(f.messages, "user", "hello", -1));
    OK(nest_options_new("generation", &f.options));
    OK(nest_options_set_float(f.options, "temperature", 0));
    OK(nest_options_set_bool(f.options, "ignore_eos", 1));
    return f;
}

static void free_all(fixture *f) {
    nest_source_free(f->source);
    nest_model_free(f->model);
    nest_tokenizer_free(f->tokenizer);
    nest_session_free(f->session);
    nest_messages_free(f->messages);
    nest_options_free(f->options);
}

#define NULLS(call) EXPECT(NEST_ERROR_NULL_POINTER, call)

/* Each pointer of each function, one at a time. */
static void null_pointers(fixture *f) {
    nest_string *string = NULL;
    nest_tokens *tokens = NULL;
    nest_adapter *adapter = NULL;
    nest_session *session = NULL;
    nest_generation *generation = NULL;
    nest_job *job = NULL;
    nest_model *model = NULL;
    nest_source *source = NULL;
    nest_options *options = NULL;
    nest_messages *messages = NULL;
    nest_decoder *decoder = NULL;
    nest_devices *devices = NULL;
    nest_piece piece = {.struct_size = sizeof piece};
    nest_model_info info = {.struct_size = sizeof info};
    nest_plan plan = {.struct_size = sizeof plan};
    nest_tokenizer_info vocabulary = {.struct_size = sizeof vocabulary};
    nest_token_info token = {.struct_size = sizeof token};
    nest_session_stats stats = {.struct_size = sizeof stats};
    nest_device_info device = {.struct_size = sizeof device};
    nest_log_line line = {.struct_size = sizeof line};
    const float *logits = NULL;
    uint64_t count = 0;
    int32_t flag = 0;
    float progress = 0;
    int32_t ids[1] = {1};

    NULLS(nest_build_info(NULL));
    NULLS(nest_log_poll(NULL, &string));
    NULLS(nest_log_poll(&line, NULL));
    NULLS(nest_source_new_path(NULL, &source));
    NULLS(nest_source_new_path("x", NULL));
    NULLS(nest_source_new_descriptor(0, 0, -1, NULL));
    NULLS(nest_source_new_memory(NULL, 5, &source));
    NULLS(nest_source_new_memory((const uint8_t *)"x", 1, NULL));
    NULLS(nest_cancel_new(NULL));
    NULLS(nest_adapter_open(NULL, f->source, &adapter));
    NULLS(nest_adapter_open(f->model, NULL, &adapter));
    NULLS(nest_adapter_open(f->model, f->source, NULL));
    NULLS(nest_adapter_digest(NULL, &string));
    NULLS(nest_model_open(NULL, NULL, NULL, &model));
    NULLS(nest_model_open(f->source, NULL, NULL, NULL));
    NULLS(nest_model_open_job(NULL, NULL, NULL, &job));
    NULLS(nest_model_open_job(f->source, NULL, NULL, NULL));
    NULLS(nest_model_inspect(NULL, &string));
    NULLS(nest_model_inspect(f->source, NULL));
    NULLS(nest_model_get_info(NULL, &info));
    NULLS(nest_model_get_info(f->model, NULL));
    NULLS(nest_model_info_json(NULL, &string));
    NULLS(nest_model_info_json(f->model, NULL));
    NULLS(nest_model_metadata(NULL, "a", &string));
    NULLS(nest_model_metadata(f->model, NULL, &string));
    NULLS(nest_model_metadata(f->model, "a", NULL));
    NULLS(nest_model_metadata_key(NULL, 0, &string));
    NULLS(nest_model_metadata_key(f->model, 0, NULL));
    NULLS(nest_model_plan(NULL, NULL, &plan));
    NULLS(nest_model_plan(f->model, NULL, NULL));
    NULLS(nest_model_plan_json(NULL, NULL, &string));
    NULLS(nest_model_plan_json(f->model, NULL, NULL));
    NULLS(nest_job_step(NULL, 0, &progress, &flag));
    NULLS(nest_job_take_model(NULL, &model));
    NULLS(nest_options_new(NULL, &options));
    NULLS(nest_options_new("model", NULL));
    NULLS(nest_options_set_int(NULL, "seed", 1));
    NULLS(nest_options_set_int(f->options, NULL, 1));
    NULLS(nest_options_set_float(NULL, "top_p", 1));
    NULLS(nest_options_set_float(f->options, NULL, 1));
    NULLS(nest_options_set_bool(NULL, "logprobs", 1));
    NULLS(nest_options_set_bool(f->options, NULL, 1));
    NULLS(nest_options_set_string(NULL, "seed", "1", -1));
    NULLS(nest_options_set_string(f->options, NULL, "1", -1));
    NULLS(nest_options_set_string(f->options, "seed", NULL, -1));
    NULLS(nest_options_set_string(f->options, "seed", NULL, 3));
    NULLS(nest_options_add_string(NULL, "stop", "x", -1));
    NULLS(nest_options_add_string(f->options, NULL, "x", -1));
    NULLS(nest_options_add_string(f->options, "stop", NULL, -1));
    NULLS(nest_options_set_bytes(NULL, "seed", (const uint8_t *)"x", 1));
    NULLS(nest_options_set_bytes(f->options, NULL, (const uint8_t *)"x", 1));
    NULLS(nest_options_set_bytes(f->options, "seed", NULL, 1));
    NULLS(nest_options_add_adapter(NULL, NULL, 1));
    NULLS(nest_options_add_adapter(f->options, NULL, 1));
    NULLS(nest_options_get(NULL, "seed", &string));
    NULLS(nest_options_get(f->options, NULL, &string));
    NULLS(nest_options_get(f->options, "seed", NULL));
    NULLS(nest_options_reference(NULL));
    NULLS(nest_tokenizer_new(NULL, &(nest_tokenizer *){NULL}));
    NULLS(nest_tokenizer_new(f->model, NULL));
    NULLS(nest_tokenizer_encode(NULL, "a", -1, 0, 0, &tokens));
    NULLS(nest_tokenizer_encode(f->tokenizer, NULL, -1, 0, 0, &tokens));
    NULLS(nest_tokenizer_encode(f->tokenizer, "a", -1, 0, 0, NULL));
    NULLS(nest_tokenizer_count(NULL, "a", -1, 0, 0, &count));
    NULLS(nest_tokenizer_count(f->tokenizer, NULL, 2, 0, 0, &count));
    NULLS(nest_tokenizer_count(f->tokenizer, "a", -1, 0, 0, NULL));
    NULLS(nest_tokenizer_decode(NULL, ids, 1, 0, &string));
    NULLS(nest_tokenizer_decode(f->tokenizer, NULL, 1, 0, &string));
    NULLS(nest_tokenizer_decode(f->tokenizer, ids, 1, 0, NULL));
    NULLS(nest_tokenizer_get_info(NULL, &vocabulary));
    NULLS(nest_tokenizer_get_info(f->tokenizer, NULL));
    NULLS(nest_tokenizer_get_token(NULL, 1, &token, &string));
    NULLS(nest_tokenizer_get_token(f->tokenizer, 1, NULL, &string));
    NULLS(nest_tokenizer_get_token(f->tokenizer, 1, &token, NULL));
    NULLS(nest_decoder_new(NULL, 0, &decoder));
    NULLS(nest_decoder_new(f->tokenizer, 0, NULL));
    NULLS(nest_decoder_push(NULL, 1, &string));
    NULLS(nest_decoder_finish(NULL, &string));
    NULLS(nest_messages_new(NULL));
    NULLS(nest_messages_new_json(NULL, -1, &messages));
    NULLS(nest_messages_new_json("[]", -1, NULL));
    NULLS(nest_messages_add(NULL, "user", "a", -1));
    NULLS(nest_messages_add(f->messages, NULL, "a", -1));
    NULLS(nest_messages_add(f->messages, "user", NULL, -1));
    NULLS(nest_messages_add_part(NULL, "a", -1));
    NULLS(nest_messages_add_part(f->messages, NULL, -1));
    NULLS(nest_messages_count(NULL, &count));
    NULLS(nest_messages_count(f->messages, NULL));
    NULLS(nest_session_new(NULL, NULL, &session));
    NULLS(nest_session_new(f->model, NULL, NULL));
    NULLS(nest_session_load(NULL, "x", NULL, &session));
    NULLS(nest_session_load(f->model, NULL, NULL, &session));
    NULLS(nest_session_load(f->model, "x", NULL, NULL));
    NULLS(nest_session_save(NULL, "x"));
    NULLS(nest_session_save(f->session, NULL));
    NULLS(nest_session_fork(NULL, &session));
    NULLS(nest_session_fork(f->session, NULL));
    NULLS(nest_session_reset(NULL));
    NULLS(nest_session_set_adapters(NULL, NULL));
    NULLS(nest_session_tokens(NULL, &tokens));
    NULLS(nest_session_tokens(f->session, NULL));
    NULLS(nest_session_get_stats(NULL, &stats));
    NULLS(nest_session_get_stats(f->session, NULL));
    NULLS(nest_session_render_messages(NULL, f->messages, NULL, &string));
    NULLS(nest_session_render_messages(f->session, NULL, NULL, &string));
    NULLS(nest_session_render_messages(f->session, f->messages, NULL, NULL));
    NULLS(nest_session_encode_messages(NULL, f->messages, NULL, &tokens));
    NULLS(nest_session_encode_messages(f->session, NULL, NULL, &tokens));
    NULLS(nest_session_encode_messages(f->session, f->messages, NULL, NULL));
    NULLS(nest_session_encode_text(NULL, "a", -1, NULL, &tokens));
    NULLS(nest_session_encode_text(f->session, NULL, -1, NULL, &tokens));
    NULLS(nest_session_encode_text(f->session, "a", -1, NULL, NULL));
    NULLS(nest_session_evaluate(NULL, ids, 1, NULL, &count));
    NULLS(nest_session_evaluate(f->session, NULL, 1, NULL, &count));
    NULLS(nest_session_evaluate(f->session, ids, 1, NULL, NULL));
    NULLS(nest_session_logits(NULL, &logits, &count));
    NULLS(nest_session_logits(f->session, NULL, &count));
    NULLS(nest_session_logits(f->session, &logits, NULL));
    NULLS(nest_generation_new_text(NULL, "a", -1, NULL, NULL, &generation));
    NULLS(nest_generation_new_text(f->session, NULL, -1, NULL, NULL, &generation));
    NULLS(nest_generation_new_text(f->session, "a", -1, NULL, NULL, NULL));
    NULLS(nest_generation_new_tokens(NULL, ids, 1, NULL, NULL, &generation));
    NULLS(nest_generation_new_tokens(f->session, NULL, 1, NULL, NULL, &generation));
    NULLS(nest_generation_new_tokens(f->session, ids, 1, NULL, NULL, NULL));
    NULLS(nest_generation_new_messages(NULL, f->messages, NULL, NULL, &generation));
    NULLS(nest_generation_new_messages(f->session, NULL, NULL, NULL, &generation));
    NULLS(nest_generation_new_messages(f->session, f->messages, NULL, NULL, NULL));
    NULLS(nest_generation_next(NULL, &piece, &flag));
    NULLS(nest_generation_end_reason(NULL, &flag));
    NULLS(nest_devices_new(NULL));
    NULLS(nest_devices_get(NULL, 0, &device));
    NULLS(nest_devices_json(NULL, &string));

    OK(nest_generation_new_text(f->session, "a", -1, NULL, NULL, &generation));
    NULLS(nest_generation_next(generation, NULL, &flag));
    NULLS(nest_generation_next(generation, &piece, NULL));
    NULLS(nest_generation_end_reason(generation, NULL));
    nest_generation_free(generation);
    OK(nest_decoder_new(f->tokenizer, 0, &decoder));
    NULLS(nest_decoder_push(decoder, 1, NULL));
    NULLS(nest_decoder_finish(decoder, NULL));
    nest_decoder_free(decoder);
    OK(nest_devices_new(&devices));
    NULLS(nest_devices_get(devices, 0, NULL));
    NULLS(nest_devices_json(devices, NULL));
    EXPECT(NEST_ERROR_INVALID_ARGUMENT, nest_devices_get(devices, 1000, &device));
    OK(nest_devices_get(devices, 0, &device));
    CHECK(device.name != NULL && device.memory_total > 0);
    nest_devices_free(devices);

    /* What cannot return an error returns what its comment says. */
    CHECK(nest_error_code(NULL) == 0 && strcmp(nest_error_message(NULL), "") == 0);
    CHECK(strcmp(nest_string_data(NULL), "") == 0 && nest_string_length(NULL) == 0);
    CHECK(nest_tokens_data(NULL) == NULL && nest_tokens_length(NULL) == 0);
    CHECK(nest_cancel_is_triggered(NULL) == 0 && nest_devices_count(NULL) == 0);
    CHECK(nest_model_metadata_count(NULL) == 0);
    nest_cancel_trigger(NULL);
    nest_job_cancel(NULL);
    nest_model_trim(NULL);
    nest_error_free(NULL);
    nest_string_free(NULL);
    nest_tokens_free(NULL);
    nest_source_free(NULL);
    nest_cancel_free(NULL);
    nest_adapter_free(NULL);
    nest_model_free(NULL);
    nest_job_free(NULL);
    nest_options_free(NULL);
    nest_tokenizer_free(NULL);
    nest_decoder_free(NULL);
    nest_messages_free(NULL);
    nest_session_free(NULL);
    nest_generation_free(NULL);
    nest_devices_free(NULL);
}

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
    nest_tokens *tokens = NULL;
    nest_string *string = NULL;
    nest_token_info token = {.struct_size = sizeof token};
    nest_session *session = NULL;
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
    OK(nest_options_set_int(session_options, "n_ctx", INT32_MAX));
    {
        /* Whether two billion tokens fit is the machine's matter; that the process lives is ours. */
        nest_error *error = nest_session_new(f->model, session_options, &session);
        CHECK((error == NULL) == (session != NULL));
        nest_error_free(error);
        nest_session_free(session);
    }
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

static void cancelled(fixture *f) {
    nest_cancel *cancel = NULL;
    nest_generation *generation = NULL;
    nest_model *model = NULL;
    nest_job *job = NULL;
    nest_piece piece = {.struct_size = sizeof piece};
    int32_t has_piece = 1;
    int32_t done = 0;
    float progress = 0;
    int32_t ids[3] = {65, 66, 67};
    uint64_t reused = 0;
    OK(nest_cancel_new(&cancel));
    OK(nest_generation_new_text(f->session, "hello", -1, f->options, cancel, &generation));
    OK(nest_generation_next(generation, &piece, &has_piece));
    nest_cancel_trigger(cancel);
    nest_cancel_trigger(cancel);
    CHECK(nest_cancel_is_triggered(cancel) == 1);
    EXPECT(NEST_ERROR_CANCELLED, nest_generation_next(generation, &piece, &has_piece));
    CHECK(has_piece == 0);
    /* Use after cancel: ended, not broken. */
    OK(nest_generation_next(generation, &piece, &has_piece));
    CHECK(has_piece == 0);
    nest_generation_free(generation);
    EXPECT(NEST_ERROR_CANCELLED, nest_session_evaluate(f->session, ids, 3, cancel, &reused));
    EXPECT(NEST_ERROR_CANCELLED, nest_model_open(f->source, NULL, cancel, &model));
    OK(nest_session_evaluate(f->session, ids, 3, NULL, &reused));

    OK(nest_model_open_job(f->source, NULL, cancel, &job));
    while (!done) {
        OK(nest_job_step(job, 1000, &progress, &done));
    }
    EXPECT(NEST_ERROR_CANCELLED, nest_job_take_model(job, &model));
    EXPECT(NEST_ERROR_WRONG_STATE, nest_job_take_model(job, &model));
    nest_job_cancel(job);
    nest_job_free(job);
    nest_cancel_free(cancel);

    OK(nest_model_open_job(f->source, NULL, NULL, &job));
    EXPECT(NEST_ERROR_INVALID_ARGUMENT, nest_job_step(job, -2, &progress, &done));
    OK(nest_job_take_model(job, &model));
    OK(nest_job_step(job, -1, &progress, &done));
    CHECK(done == 1 && progress <= 1.0f);
    nest_job_free(job);
    nest_model_free(model);
    /* Freed while it runs: it is stopped and waited for. */
    OK(nest_model_open_job(f->source, NULL, NULL, &job));
    nest_job_free(job);
}

static void replaced(fixture *f) {
    nest_generation *older = NULL;
    nest_generation *newer = NULL;
    nest_piece piece = {.struct_size = sizeof piece};
    int32_t has_piece = 0;
    OK(nest_generation_new_text(f->session, "hello", -1, f->options, NULL, &older));
    OK(nest_generation_new_text(f->session, "the world", -1, f->options, NULL, &newer));
    OK(nest_generation_next(older, &piece, &has_piece));
    OK(nest_generation_next(newer, &piece, &has_piece));
    EXPECT(NEST_ERROR_WRONG_STATE, nest_generation_next(older, &piece, &has_piece));
    OK(nest_generation_next(newer, &piece, &has_piece));
    nest_generation_free(newer);
    nest_generation_free(older);
}

/* Two threads use one session until each was refused, or the other is done. */
typedef struct {
    nest_session *session;
    int busy;
    int fine;
} user;

static void *use(void *data) {
    user *u = data;
    int32_t ids[40];
    int i;
    for (i = 0; i < 40; i++) {
        ids[i] = 65 + i % 20;
    }
    for (i = 0; i < 60; i++) {
        uint64_t reused = 0;
        nest_error *error;
        ids[0] = 65 + i % 20;
        error = nest_session_evaluate(u->session, ids, 40, NULL, &reused);
        if (error == NULL) {
            u->fine++;
        } else if (nest_error_code(error) == NEST_ERROR_BUSY) {
            u->busy++;
        } else {
            expect(0, error, "evaluate by two threads", __LINE__);
        }
        nest_error_free(error);
    }
    return NULL;
}

static void two_threads(fixture *f) {
    user users[2] = {{f->session, 0, 0}, {f->session, 0, 0}};
    pthread_t threads[2];
    CHECK(pthread_create(&threads[0], NULL, use, &users[0]) == 0);
    CHECK(pthread_create(&threads[1], NULL, use, &users[1]) == 0);
    pthread_join(threads[0], NULL);
    pthread_join(threads[1], NULL);
    /* Every call did its work or was refused; which one, the scheduler decides. */
    CHECK(users[0].fine + users[0].busy == 60 && users[1].fine + users[1].busy == 60);
    CHECK(users[0].fine + users[1].fine >= 60);
    OK(nest_session_reset(f->session));
}

/* A session is freed while another thread generates with it. */
typedef struct {
    nest_generation *generation;
    int pieces;
    int32_t code;
} puller;

static void *pull(void *data) {
    puller *p = data;
    nest_piece piece = {.struct_size = sizeof piece};
    int32_t has_piece = 1;
    while (has_piece) {
        nest_error *error = nest_generation_next(p->generation, &piece, &has_piece);
        p->code = nest_error_code(error);
        nest_error_free(error);
        p->pieces += has_piece;
    }
    return NULL;
}

static void freed_in_use(fixture *f) {
    nest_session *session = NULL;
    puller p = {NULL, 0, 0};
    pthread_t thread;
    OK(nest_session_new(f->model, NULL, &session));
    OK(nest_generation_new_messages(session, f->messages, f->options, NULL, &p.generation));
    CHECK(pthread_create(&thread, NULL, pull, &p) == 0);
    nest_session_free(session);
    pthread_join(thread, NULL);
    CHECK(p.pieces > 0 && p.code == NEST_ERROR_CONTEXT_FULL);
    nest_generation_free(p.generation);
}

/* Model, tokenizer, session, generation, source: freed in every order, each used as long as it is there. */
static void every_order(fixture *f) {
    int order[5] = {0, 1, 2, 3, 4};
    int n;
    for (n = 0; n < 120; n++) {
        nest_model *model = NULL;
        nest_tokenizer *tokenizer = NULL;
        nest_session *session = NULL;
        nest_generation *generation = NULL;
        nest_options *options = NULL;
        nest_piece piece = {.struct_size = sizeof piece};
        int32_t has_piece = 0;
        int rest = n, i, j;
        /* The n-th permutation. */
        for (i = 0; i < 5; i++) {
            order[i] = i;
        }
        for (i = 5; i > 1; i--) {
            int swap = order[i - 1];
            j = rest % i;
            rest /= i;
            order[i - 1] = order[j];
            order[j] = swap;
        }
        OK(nest_options_new("session", &options));
        OK(nest_options_set_int(options, "n_ctx", 16));
        OK(nest_options_set_int(options, "n_threads", 1));
        /* One model for most rounds: loading is the slow part. */
        if (n % 24 == 0) {
            OK(nest_model_open(f->source, NULL, NULL, &model));
        }
        OK(nest_tokenizer_new(model != NULL ? model : f->model, &tokenizer));
        OK(nest_session_new(model != NULL ? model : f->model, options, &session));
        OK(nest_generation_new_text(session, "hello", -1, f->options, NULL, &generation));
        OK(nest_generation_next(generation, &piece, &has_piece));
        for (i = 0; i < 5; i++) {
            switch (order[i]) {
            case 0:
                nest_model_free(model);
                break;
            case 1:
                nest_tokenizer_free(tokenizer);
                break;
            case 2:
                nest_session_free(session);
                break;
            case 3:
                nest_generation_free(generation);
                generation = NULL;
                break;
            default:
                nest_options_free(options);
            }
            if (generation != NULL) {
                OK(nest_generation_next(generation, &piece, &has_piece));
            }
        }
    }
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

int main(int argc, char **argv) {
    fixture f;
    if (argc != 3) {
        fprintf(stderr, "usage: misuse TINY-MODEL.gguf EMPTY-DIRECTORY\n");
        return 2;
    }
    f = open_all(argv[1], argv[2]);
    null_pointers(&f);
    handles_after_errors(&f);
    bad_text(&f);
    absurd_numbers(&f);
    wrong_structs(&f);
    prompts(&f);
    cancelled(&f);
    replaced(&f);
    two_threads(&f);
    freed_in_use(&f);
    every_order(&f);
    states(&f);
    free_all(&f);
    printf("misuse: all refused as they should be\n");
    return 0;
}
