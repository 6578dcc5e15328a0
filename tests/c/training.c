/* A training from C, end to end: it learns, goes on where it was saved, and its adapter speaks in a session. */
#include <math.h>

#include "fixture.h"

static nest_training_step last_step(nest_trainer *trainer, int steps) {
    nest_training_step step = {.struct_size = sizeof step};
    int32_t has_step = 1;
    int i;
    for (i = 0; i < steps && has_step; i++) {
        OK(nest_trainer_step(trainer, NULL, &step, &has_step));
        CHECK(step.struct_size == sizeof step && step.loss > 0 && step.learning_rate > 0 && step.grad_norm > 0);
        CHECK(step.tokens > step.loss_tokens && step.loss_tokens > 0 && step.seconds > 0);
    }
    return step;
}

static double loss(nest_trainer *trainer, const nest_dataset *data) {
    nest_training_evaluation found = {.struct_size = sizeof found};
    OK(nest_trainer_evaluate(trainer, data, NULL, &found));
    CHECK(found.tokens > 0 && fabs(found.perplexity - exp(found.loss)) < 1e-6 * found.perplexity);
    return found.loss;
}

/* Its file's digest: two trainings with the same digest gave the same adapter, bit by bit. */
static void adapter_digest(nest_trainer *trainer, char digest[65]) {
    nest_adapter *adapter = NULL;
    nest_string *text = NULL;
    OK(nest_trainer_adapter(trainer, &adapter));
    OK(nest_adapter_digest(adapter, &text));
    CHECK(nest_string_length(text) == 64);
    memcpy(digest, nest_string_data(text), 65);
    nest_string_free(text);
    nest_adapter_free(adapter);
}

static void contains(nest_string *json, const char *part) {
    if (strstr(nest_string_data(json), part) == NULL) {
        fprintf(stderr, "no %s in %s\n", part, nest_string_data(json));
        exit(1);
    }
    nest_string_free(json);
}

/* Saved in the middle and resumed, a training ends as if it had not been interrupted. */
static void resumed(fixture *f) {
    char path[4096], whole[65], halves[65];
    nest_trainer *again = NULL;
    nest_options *options = NULL;
    nest_string *string = NULL;
    nest_training_progress progress = {.struct_size = sizeof progress};
    nest_training_step step;
    double before = loss(f->trainer, f->data);
    snprintf(path, sizeof path, "%s/training.checkpoint", f->directory);
    last_step(f->trainer, 3);
    OK(nest_trainer_save(f->trainer, path));
    step = last_step(f->trainer, 100);
    CHECK(step.step == 8 && step.total_steps == 8 && step.epoch == 4 && step.finished == 1);
    CHECK(isnan(step.validation_loss) && step.validated == 0 && step.best == 0);
    CHECK(loss(f->trainer, f->data) < 0.8 * before);
    adapter_digest(f->trainer, whole);

    OK(nest_trainer_resume(f->model, f->data, NULL, path, &again));
    OK(nest_trainer_get_progress(again, &progress));
    CHECK(progress.step == 3 && progress.epoch == 1 && progress.cursor == 4 && progress.finished == 0);
    CHECK(isnan(progress.best_validation_loss) && progress.tokens > 0);
    OK(nest_trainer_get_options(again, &options));
    OK(nest_options_get(options, "lora_rank", &string));
    CHECK(strcmp(nest_string_data(string), "4") == 0);
    nest_string_free(string);
    nest_options_free(options);
    last_step(again, 100);
    adapter_digest(again, halves);
    CHECK(strcmp(whole, halves) == 0);
    OK(nest_trainer_progress_json(again, &string));
    contains(string, "\"finished\":true,\"total_steps\":8,\"step\":8");
    nest_trainer_free(again);
    remove(path);
}

/* Held-out examples are measured, and the best adapter is known. */
static void validated(fixture *f) {
    nest_dataset *training = NULL;
    nest_dataset *held_out = NULL;
    nest_trainer *trainer = NULL;
    nest_training_step step;
    nest_training_progress progress = {.struct_size = sizeof progress};
    OK(nest_dataset_split(f->data, 0.25, 7, &training, &held_out));
    CHECK(nest_dataset_count(training) == 6 && nest_dataset_count(held_out) == 2);
    OK(nest_trainer_new(f->model, training, held_out, f->training, &trainer));
    step = last_step(trainer, 2);
    CHECK(step.epoch == 1 && step.validated == 1 && step.validation_loss > 0 && step.best == 1);
    CHECK(fabs(loss(trainer, held_out) - step.validation_loss) < 1e-9);
    OK(nest_trainer_get_progress(trainer, &progress));
    CHECK(progress.best_validation_loss == step.validation_loss && progress.without_improvement == 0);
    nest_trainer_free(trainer);
    nest_dataset_free(held_out);
    nest_dataset_free(training);
}

static void planned(fixture *f) {
    nest_training_plan before = {.struct_size = sizeof before};
    nest_training_plan plan = {.struct_size = sizeof plan};
    nest_encoding_report report = {.struct_size = sizeof report};
    nest_string *json = NULL;
    OK(nest_trainer_plan(f->model, f->data, NULL, f->training, &before));
    OK(nest_trainer_get_plan(f->trainer, &plan));
    CHECK(plan.fits == 1 && plan.n_parameters > 0 && plan.total <= plan.budget);
    CHECK(before.total == plan.total && before.n_parameters == plan.n_parameters);
    CHECK(plan.total == plan.parameters + plan.optimizer + plan.activations + plan.stored + plan.compute + plan.buffers);
    OK(nest_trainer_plan_json(f->model, f->data, NULL, f->training, &json));
    contains(json, "\"advice\":\"\"");
    OK(nest_trainer_get_encoding(f->trainer, &report));
    CHECK(report.encoded == 8 && report.truncated == 0 && report.bad == 0 && report.tokens > report.loss_tokens);
    OK(nest_trainer_encoding_json(f->trainer, &json));
    contains(json, "\"encoded\":8");
}

/* What the session says next; its logits go to `logits`. */
static void logits(nest_session *session, float *to, uint64_t n) {
    int32_t ids[4] = {65, 66, 67, 68};
    const float *found = NULL;
    uint64_t reused = 0, length = 0;
    OK(nest_session_evaluate(session, ids, 4, NULL, &reused));
    OK(nest_session_logits(session, &found, &length));
    CHECK(length == n);
    memcpy(to, found, n * sizeof *to);
}

/* The trained adapter, from the trainer and from its file, in one session with and without it, in turns. */
static void attached(fixture *f) {
    char path[4096];
    nest_source *source = NULL;
    nest_adapter *adapter = NULL;
    nest_adapter *loaded = NULL;
    nest_adapter_info info = {.struct_size = sizeof info};
    nest_tokenizer_info vocabulary = {.struct_size = sizeof vocabulary};
    nest_options *with = NULL;
    nest_options *chosen = NULL;
    nest_generation *generation = NULL;
    nest_piece piece = {.struct_size = sizeof piece};
    nest_trainer *further = NULL;
    nest_string *json = NULL;
    int32_t has_piece = 0;
    uint64_t n;
    size_t bytes;
    float *base, *trained, *again;
    OK(nest_tokenizer_get_info(f->tokenizer, &vocabulary));
    n = vocabulary.n_vocab;
    bytes = (size_t)n * sizeof *base;
    base = malloc(bytes);
    trained = malloc(bytes);
    again = malloc(bytes);
    CHECK(base != NULL && trained != NULL && again != NULL);
    snprintf(path, sizeof path, "%s/adapter.gguf", f->directory);
    OK(nest_trainer_save_adapter(f->trainer, path, "from C"));
    OK(nest_source_new_path(path, &source));
    OK(nest_adapter_open(f->model, source, &loaded));
    OK(nest_adapter_get_info(loaded, &info));
    CHECK(info.rank == 4 && info.alpha == 16.0f && info.scale == 4.0f && info.n_pairs == 14);
    CHECK(info.bytes == 4 * info.n_parameters);
    OK(nest_adapter_info_json(loaded, &json));
    contains(json, "\"name\":\"from C\",\"architecture\":\"llama\"");
    OK(nest_trainer_adapter(f->trainer, &adapter));

    logits(f->session, base, n);
    OK(nest_options_new("session", &with));
    OK(nest_options_add_adapter(with, adapter, 1));
    OK(nest_session_set_adapters(f->session, with));
    logits(f->session, trained, n);
    CHECK(memcmp(base, trained, bytes) != 0);
    OK(nest_session_set_adapters(f->session, NULL));
    logits(f->session, again, n);
    CHECK(memcmp(base, again, bytes) == 0);
    nest_options_free(with);
    OK(nest_options_new("session", &with));
    OK(nest_options_add_adapter(with, loaded, 1));
    OK(nest_session_set_adapters(f->session, with));
    logits(f->session, again, n);
    CHECK(memcmp(trained, again, bytes) == 0);

    /* Another adapter ends a generation that has begun. */
    OK(nest_generation_new_text(f->session, "the cat", -1, f->options, NULL, &generation));
    OK(nest_generation_next(generation, &piece, &has_piece));
    CHECK(has_piece == 1);
    OK(nest_session_set_adapters(f->session, NULL));
    EXPECT(NEST_ERROR_WRONG_STATE, nest_generation_next(generation, &piece, &has_piece));
    nest_generation_free(generation);

    /* One answer may choose its own adapters; the session's own are as they were. */
    OK(nest_options_new("generation", &chosen));
    OK(nest_options_set_bool(chosen, "ignore_eos", 1));
    OK(nest_options_add_adapter(chosen, loaded, 1));
    OK(nest_generation_new_text(f->session, "the cat", -1, chosen, NULL, &generation));
    OK(nest_generation_next(generation, &piece, &has_piece));
    CHECK(has_piece == 1);
    nest_generation_free(generation);
    nest_options_free(chosen);
    logits(f->session, again, n);
    CHECK(memcmp(base, again, bytes) == 0);

    /* The file is a beginning, too: what was learned is there. */
    OK(nest_trainer_continue_adapter(f->model, f->data, NULL, f->training, source, &further));
    CHECK(fabs(loss(further, f->data) - loss(f->trainer, f->data)) < 1e-9);
    last_step(further, 1);
    nest_trainer_free(further);
    nest_source_free(source);
    nest_options_free(with);
    nest_adapter_free(adapter);
    nest_adapter_free(loaded);
    free(base);
    free(trained);
    free(again);
    remove(path);
}

/* A model that was opened without its weights learns the same, and cannot speak. */
static void without_weights(fixture *f) {
    char path[4096];
    nest_options *options = NULL;
    nest_model *model = NULL;
    nest_trainer *trainer = NULL;
    nest_adapter *adapter = NULL;
    nest_source *source = NULL;
    nest_training_step with, without;
    snprintf(path, sizeof path, "%s/adapter.gguf", f->directory);
    OK(nest_options_new("model", &options));
    OK(nest_options_set_bool(options, "vocab_only", 1));
    OK(nest_model_open(f->source, options, NULL, &model));
    OK(nest_trainer_new(model, f->data, NULL, f->training, &trainer));
    without = last_step(trainer, 1);
    EXPECT(NEST_ERROR_WRONG_STATE, nest_trainer_adapter(trainer, &adapter));
    OK(nest_trainer_save_adapter(trainer, path, "without"));
    nest_trainer_free(trainer);
    nest_model_free(model);
    OK(nest_trainer_new(f->model, f->data, NULL, f->training, &trainer));
    with = last_step(trainer, 1);
    CHECK(with.loss == without.loss && with.grad_norm == without.grad_norm);
    OK(nest_source_new_path(path, &source));
    OK(nest_adapter_open(f->model, source, &adapter));
    nest_adapter_free(adapter);
    nest_source_free(source);
    nest_trainer_free(trainer);
    nest_options_free(options);
    remove(path);
}

static void all(fixture *f) {
    planned(f);
    resumed(f);
    validated(f);
    attached(f);
    without_weights(f);
}

int main(int argc, char **argv) {
    return with_fixture(argc, argv, all);
}
