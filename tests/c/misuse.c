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

static void datasets(fixture *f) {
    nest_examples *examples = NULL;
    nest_dataset *data = (nest_dataset *)f;
    nest_dataset *other = NULL;
    nest_options *options = NULL;
    nest_string *string = NULL;
    nest_dataset_report report = {.struct_size = 60};
    nest_source *missing = NULL;
    const nest_source *sources[1];
    OK(nest_examples_new(&examples));
    EXPECT(NEST_ERROR_INVALID_UTF8, nest_examples_add_text(examples, "\xff", -1));
    EXPECT(NEST_ERROR_INVALID_UTF8, nest_examples_add_labelled(examples, "a", -1, "\x80", 1));
    EXPECT(NEST_ERROR_INVALID_ARGUMENT, nest_examples_add_completion(examples, "a", -2, "b", -1));
    EXPECT(NEST_ERROR_DATASET_LINE, nest_examples_add_json(examples, "{\"txt\": 1}", -1));
    EXPECT(NEST_ERROR_DATASET_LINE, nest_examples_add_json(examples, "", 0));
    EXPECT(NEST_ERROR_DATASET_EMPTY, nest_dataset_new(examples, NULL, &data));
    CHECK(data == NULL);
    OK(nest_examples_add_text(examples, "  ", -1));
    EXPECT(NEST_ERROR_DATASET_EMPTY, nest_dataset_new(examples, NULL, &data));
    OK(nest_examples_add_json(examples, "{\"text\": \"only one\", \"label\": \"x\"}", -1));
    OK(nest_dataset_new(examples, NULL, &data));
    CHECK(nest_dataset_count(data) == 1 && nest_dataset_label_count(data) == 1);
    EXPECT(NEST_ERROR_INVALID_ARGUMENT, nest_dataset_label(data, 1, &string));
    EXPECT(NEST_ERROR_INVALID_ARGUMENT, nest_dataset_split(data, 0.5, 1, &other, &other));
    nest_dataset_free(data);
    nest_examples_free(examples);

    EXPECT(NEST_ERROR_INVALID_ARGUMENT, nest_dataset_new(f->examples, f->options, &data));
    EXPECT(NEST_ERROR_DATASET_EMPTY, nest_dataset_open(NULL, 0, NULL, &data));
    OK(nest_source_new_path("/there/is/no/such/file", &missing));
    sources[0] = missing;
    EXPECT(NEST_ERROR_NOT_FOUND, nest_dataset_open(sources, 1, NULL, &data));
    EXPECT(NEST_ERROR_INVALID_ARGUMENT, nest_dataset_open(sources, UINT64_MAX, NULL, &data));
    /* A model is no text. */
    sources[0] = f->source;
    EXPECT(NEST_ERROR_DATASET_LINE, nest_dataset_open(sources, 1, NULL, &data));
    nest_source_free(missing);
    OK(nest_options_new("dataset", &options));
    EXPECT(NEST_ERROR_UNKNOWN_OPTION, nest_options_set_bool(options, "trimm", 1));
    EXPECT(NEST_ERROR_INVALID_OPTION, nest_options_set_string(options, "format", "xml", -1));
    OK(nest_options_set_int(options, "min_chars", 1000));
    EXPECT(NEST_ERROR_DATASET_EMPTY, nest_dataset_new(f->examples, options, &data));
    nest_options_free(options);
    EXPECT(NEST_ERROR_INVALID_ARGUMENT, nest_dataset_split(f->data, NAN, 1, &data, &other));
    EXPECT(NEST_ERROR_INVALID_ARGUMENT, nest_dataset_split(f->data, 1, 1, &data, &other));
    EXPECT(NEST_ERROR_INVALID_ARGUMENT, nest_dataset_split(f->data, -0.5, 1, &data, &other));
    EXPECT(NEST_ERROR_INVALID_ARGUMENT, nest_dataset_fold(f->data, 0, 0, 1, &data, &other));
    EXPECT(NEST_ERROR_INVALID_ARGUMENT, nest_dataset_fold(f->data, UINT64_MAX, 0, 1, &data, &other));
    EXPECT(NEST_ERROR_INVALID_ARGUMENT, nest_dataset_fold(f->data, 4, 4, 1, &data, &other));
    EXPECT(NEST_ERROR_INVALID_ARGUMENT, nest_dataset_fold(f->data, 4, UINT64_MAX, 1, &data, &other));
    CHECK(data == NULL && other == NULL);
    EXPECT(NEST_ERROR_STRUCT_SIZE, nest_dataset_get_report(f->data, &report));
}

/* A trainer with one option changed, and n_ctx, must be refused. */
static void refused(fixture *f, int32_t code, const char *key, const char *value, const char *n_ctx) {
    nest_options *options = NULL;
    nest_trainer *trainer = (nest_trainer *)f;
    OK(nest_options_new("trainer", &options));
    OK(nest_options_set_string(options, key, value, -1));
    OK(nest_options_set_string(options, "n_ctx", n_ctx, -1));
    EXPECT(code, nest_trainer_new(f->model, f->data, NULL, options, &trainer));
    CHECK(trainer == NULL);
    nest_options_free(options);
}

static void trainers(fixture *f) {
    char path[4096];
    nest_trainer *trainer = NULL;
    nest_dataset *half = NULL;
    nest_dataset *other = NULL;
    nest_training_step step = {.struct_size = 16};
    nest_training_progress progress = {.struct_size = sizeof progress};
    nest_training_plan plan = {.struct_size = 0};
    nest_training_evaluation evaluation = {.struct_size = 4};
    int32_t has_step = 7;
    FILE *file;
    static const char *const bad[][2] = {
        {"lora_rank", "0"},        {"lora_rank", "-1"},      {"lora_rank", "9999999999"}, {"learning_rate", "1e9"},
        {"learning_rate", "nan"},  {"epochs", "0"},          {"batch_size", "0"},         {"optimizer", "lion"},
        {"memory_budget", "1000"}, {"lora_dropout", "1.5"},  {"n_ctx", "4"},              {"seed", "-1"},
    };
    size_t i;
    for (i = 0; i < sizeof bad / sizeof *bad; i++) {
        EXPECT(NEST_ERROR_INVALID_OPTION, nest_options_set_string(f->training, bad[i][0], bad[i][1], -1));
    }
    EXPECT(NEST_ERROR_UNKNOWN_OPTION, nest_options_set_int(f->training, "rank", 8));
    refused(f, NEST_ERROR_LORA_RANK, "lora_rank", "4096", "auto");
    refused(f, NEST_ERROR_LORA_TARGET, "lora_targets", "q_proj", "auto");
    refused(f, NEST_ERROR_LORA_LAYERS, "first_layer", "1000", "auto");
    refused(f, NEST_ERROR_DOES_NOT_FIT, "memory_budget", "1048576", "256");
    refused(f, NEST_ERROR_INVALID_OPTION, "lora_rank", "4", "100000");
    refused(f, NEST_ERROR_DATASET_TOO_LONG, "too_long", "error", "8");
    EXPECT(NEST_ERROR_INVALID_ARGUMENT, nest_trainer_new(f->model, f->data, NULL, f->options, &trainer));
    /* A model is no adapter, and no checkpoint. */
    EXPECT(NEST_ERROR_ADAPTER_FORMAT,
           nest_trainer_continue_adapter(f->model, f->data, NULL, f->training, f->source, &trainer));
    EXPECT(NEST_ERROR_NOT_FOUND, nest_trainer_resume(f->model, f->data, NULL, "/no/such/checkpoint", &trainer));
    CHECK(trainer == NULL);

    EXPECT(NEST_ERROR_INVALID_ARGUMENT, nest_trainer_plan_json(f->model, f->data, NULL, f->options, &(nest_string *){NULL}));
    EXPECT(NEST_ERROR_STRUCT_SIZE, nest_trainer_plan(f->model, f->data, NULL, f->training, &plan));
    EXPECT(NEST_ERROR_STRUCT_SIZE, nest_trainer_step(f->trainer, NULL, &step, &has_step));
    EXPECT(NEST_ERROR_STRUCT_SIZE, nest_trainer_get_plan(f->trainer, &plan));
    EXPECT(NEST_ERROR_STRUCT_SIZE, nest_trainer_evaluate(f->trainer, f->data, NULL, &evaluation));
    CHECK(has_step == 0);
    EXPECT(NEST_ERROR_NOT_FOUND, nest_trainer_save(f->trainer, "/no/such/directory/checkpoint"));
    EXPECT(NEST_ERROR_NOT_FOUND, nest_trainer_save_adapter(f->trainer, "/no/such/directory/adapter", "x"));
    EXPECT(NEST_ERROR_INVALID_UTF8, nest_trainer_save_adapter(f->trainer, "\xff", "x"));
    EXPECT(NEST_ERROR_INVALID_UTF8, nest_trainer_save_adapter(f->trainer, "x", "\xff"));
    OK(nest_trainer_get_progress(f->trainer, &progress));
    CHECK(progress.step == 0);

    /* Other data; a damaged file; another kind of file. */
    snprintf(path, sizeof path, "%s/checkpoint", f->directory);
    OK(nest_trainer_save(f->trainer, path));
    OK(nest_dataset_split(f->data, 0.5, 1, &half, &other));
    EXPECT(NEST_ERROR_CHECKPOINT_FOREIGN, nest_trainer_resume(f->model, half, NULL, path, &trainer));
    nest_dataset_free(half);
    nest_dataset_free(other);
    file = fopen(path, "r+b");
    CHECK(file != NULL);
    fseek(file, -40, SEEK_END);
    fputc('!', file);
    fclose(file);
    EXPECT(NEST_ERROR_CHECKPOINT_FORMAT, nest_trainer_resume(f->model, f->data, NULL, path, &trainer));
    file = fopen(path, "wb");
    CHECK(file != NULL);
    fputs("something else", file);
    fclose(file);
    EXPECT(NEST_ERROR_CHECKPOINT_FORMAT, nest_trainer_resume(f->model, f->data, NULL, path, &trainer));
    CHECK(trainer == NULL);
    remove(path);

    /* After all that the trainer works. */
    step.struct_size = sizeof step;
    OK(nest_trainer_step(f->trainer, NULL, &step, &has_step));
    CHECK(has_step == 1 && step.step == 1 && step.total_steps == 8 && step.loss > 0);
}

static void evaluations(fixture *f) {
    nest_evaluation *evaluation = (nest_evaluation *)f;
    nest_evaluation *other = NULL;
    nest_model *model = NULL;
    nest_job *job = NULL;
    nest_dataset *half = NULL;
    nest_dataset *rest = NULL;
    nest_options *options = NULL;
    nest_string *json = NULL;
    nest_evaluation_report report = {.struct_size = sizeof report - 8};
    EXPECT(NEST_ERROR_INVALID_ARGUMENT, nest_evaluation_new(f->model, f->data, f->training, NULL, &evaluation));
    CHECK(evaluation == NULL);
    OK(nest_options_new("evaluation", &options));
    EXPECT(NEST_ERROR_UNKNOWN_OPTION, nest_options_set_int(options, "n_contexts", 8));
    EXPECT(NEST_ERROR_INVALID_OPTION, nest_options_set_int(options, "n_ctx", 1));
    /* Labels where nothing is labelled, and only one. */
    OK(nest_options_add_string(options, "labels", "a", -1));
    EXPECT(NEST_ERROR_INVALID_OPTION, nest_evaluation_new(f->model, f->data, options, NULL, &evaluation));
    OK(nest_options_add_string(options, "labels", "b", -1));
    EXPECT(NEST_ERROR_INVALID_ARGUMENT, nest_evaluation_new(f->model, f->data, options, NULL, &evaluation));
    nest_options_free(options);
    OK(nest_options_new("evaluation", &options));
    OK(nest_options_set_int(options, "n_ctx", 8));
    OK(nest_options_set_string(options, "too_long", "error", -1));
    EXPECT(NEST_ERROR_DATASET_TOO_LONG, nest_evaluation_new(f->model, f->data, options, NULL, &evaluation));
    nest_options_free(options);

    OK(nest_options_new("evaluation", &options));
    OK(nest_options_set_int(options, "n_threads", 1));
    OK(nest_evaluation_new(f->model, f->data, options, NULL, &evaluation));
    EXPECT(NEST_ERROR_STRUCT_SIZE, nest_evaluation_get_report(evaluation, &report));
    OK(nest_dataset_split(f->data, 0.5, 1, &half, &rest));
    OK(nest_evaluation_new(f->model, half, options, NULL, &other));
    EXPECT(NEST_ERROR_INVALID_ARGUMENT, nest_evaluation_comparison_json(evaluation, other, &json));
    nest_dataset_free(half);
    nest_dataset_free(rest);
    nest_evaluation_free(other);
    nest_evaluation_free(evaluation);

    /* What a job makes is taken once, and as what it is. */
    OK(nest_evaluation_new_job(f->model, f->data, options, NULL, &job));
    EXPECT(NEST_ERROR_WRONG_STATE, nest_job_take_model(job, &model));
    EXPECT(NEST_ERROR_WRONG_STATE, nest_job_take_report(job, &json));
    OK(nest_job_take_evaluation(job, &evaluation));
    EXPECT(NEST_ERROR_WRONG_STATE, nest_job_take_evaluation(job, &other));
    nest_evaluation_free(evaluation);
    nest_job_free(job);
    OK(nest_model_open_job(f->source, NULL, NULL, &job));
    EXPECT(NEST_ERROR_WRONG_STATE, nest_job_take_evaluation(job, &other));
    nest_job_free(job);
    nest_options_free(options);
    CHECK(other == NULL && model == NULL && json == NULL);
}

static void all(fixture *f) {
    handles_after_errors(f);
    bad_text(f);
    absurd_numbers(f);
    wrong_structs(f);
    prompts(f);
    states(f);
    datasets(f);
    trainers(f);
    evaluations(f);
}

int main(int argc, char **argv) {
    return with_fixture(argc, argv, all);
}
