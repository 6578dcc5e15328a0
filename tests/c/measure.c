/* Measuring for small files: importance matrix, models side by side, what a task does not need. */
#include "fixture.h"

/* The path of a file in the test's directory. */
static const char *in(const fixture *f, const char *name) {
    static char path[4096];
    snprintf(path, sizeof path, "%s/%s", f->directory, name);
    return path;
}

static const char *const words = "the cat sat on the mat and a dog ran in the park, one two three four, birds sing at dawn";

/* What a job has to say. */
static nest_string *finished(nest_job *job) {
    nest_string *report = NULL;
    OK(nest_job_take_report(job, &report));
    nest_job_free(job);
    return report;
}

static void importances(fixture *f) {
    nest_options *options = NULL;
    nest_string *report = NULL;
    nest_job *job = NULL;
    char text[4096];
    FILE *file;
    snprintf(text, sizeof text, "%s", in(f, "words.txt"));
    file = fopen(text, "w");
    CHECK(file != NULL && fputs(words, file) >= 0 && fclose(file) == 0);
    OK(nest_options_new("imatrix", &options));
    OK(nest_options_set_int(options, "n_threads", 1));
    OK(nest_imatrix_job(f->model, text, in(f, "imatrix.gguf"), options, NULL, &job));
    EXPECT(NEST_ERROR_TEXT_TOO_SHORT, nest_job_take_report(job, &report));
    nest_job_free(job);
    OK(nest_options_set_int(options, "n_ctx", 16));
    OK(nest_imatrix_job(f->model, text, in(f, "imatrix.gguf"), options, NULL, &job));
    report = finished(job);
    CHECK(strstr(nest_string_data(report), "\"weights\":14,") != NULL);
    nest_string_free(report);
    report = NULL;
    OK(nest_imatrix_job(f->model, text, in(f, "imatrix.gguf"), options, NULL, &job));
    EXPECT(NEST_ERROR_OUTPUT_EXISTS, nest_job_take_report(job, &report));
    nest_job_free(job);
    EXPECT(NEST_ERROR_INVALID_ARGUMENT, nest_imatrix_job(f->model, text, "x", f->options, NULL, &job));
    CHECK(job == NULL && report == NULL);
    nest_options_free(options);
}

static void side_by_side(fixture *f) {
    const nest_model *models[2] = {f->model, f->model};
    nest_options *options = NULL;
    nest_string *report = NULL;
    nest_cancel *cancel = NULL;
    nest_job *job = NULL;
    OK(nest_options_new("compare", &options));
    OK(nest_options_set_int(options, "n_threads", 1));
    OK(nest_compare_job(models, 2, words, -1, options, NULL, &job));
    report = finished(job);
    CHECK(strstr(nest_string_data(report), "\"same_top\":1.0") != NULL);
    CHECK(strstr(nest_string_data(report), "\"perplexity\":") != NULL);
    nest_string_free(report);
    report = NULL;
    OK(nest_compare_job(models, 2, "", 0, options, NULL, &job));
    EXPECT(NEST_ERROR_TEXT_TOO_SHORT, nest_job_take_report(job, &report));
    nest_job_free(job);
    OK(nest_cancel_new(&cancel));
    nest_cancel_trigger(cancel);
    OK(nest_compare_job(models, 2, words, -1, options, cancel, &job));
    EXPECT(NEST_ERROR_CANCELLED, nest_job_take_report(job, &report));
    nest_job_free(job);
    nest_cancel_free(cancel);
    nest_options_free(options);
}

static void left_out(fixture *f) {
    nest_options *options = NULL;
    nest_string *report = NULL;
    nest_job *job = NULL;
    OK(nest_options_new("prune", &options));
    OK(nest_options_set_string(options, "task", "embedding", -1));
    OK(nest_prune_job(f->source, in(f, "pruned.gguf"), options, NULL, &job));
    report = finished(job);
    CHECK(strstr(nest_string_data(report), "\"tensors\":[\"output.weight\"]") != NULL);
    nest_string_free(report);
    report = NULL;
    OK(nest_options_add_string(options, "drop", "^output_norm", -1));
    OK(nest_prune_job(f->source, in(f, "none.gguf"), options, NULL, &job));
    EXPECT(NEST_ERROR_TENSOR_NEEDED, nest_job_take_report(job, &report));
    nest_job_free(job);
    CHECK(report == NULL);
    nest_options_free(options);
}

static void all(fixture *f) {
    importances(f);
    side_by_side(f);
    left_out(f);
}

int main(int argc, char **argv) {
    return with_fixture(argc, argv, all);
}
