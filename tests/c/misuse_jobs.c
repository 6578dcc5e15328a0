/* Jobs that make files, called wrongly: each gets its error, and no file is half written. */
#include "fixture.h"

#define CHECKPOINT "tests/golden/convert/smollm2"
#define NOT_UTF8 "a\xff"

/* A job that must fail. */
static void fails(int32_t code, nest_job *job) {
    nest_string *report = NULL;
    nest_model *model = NULL;
    float progress = 0;
    int32_t done = 0;
    EXPECT(NEST_ERROR_INVALID_ARGUMENT, nest_job_step(job, -2, &progress, &done));
    while (!done) {
        OK(nest_job_step(job, 1000, &progress, &done));
    }
    EXPECT(NEST_ERROR_WRONG_STATE, nest_job_take_model(job, &model));
    EXPECT(code, nest_job_take_report(job, &report));
    EXPECT(NEST_ERROR_WRONG_STATE, nest_job_take_report(job, &report));
    nest_job_cancel(job);
    nest_job_free(job);
}

static void bad_paths(fixture *f) {
    const char *const paths[] = {NOT_UTF8};
    const float scales[] = {1};
    nest_job *job = NULL;
    EXPECT(NEST_ERROR_INVALID_UTF8, nest_convert_job(NOT_UTF8, "x", NULL, NULL, &job));
    EXPECT(NEST_ERROR_INVALID_UTF8, nest_convert_job("x", NOT_UTF8, NULL, NULL, &job));
    EXPECT(NEST_ERROR_INVALID_UTF8, nest_quantize_job(f->source, NOT_UTF8, NULL, NULL, &job));
    EXPECT(NEST_ERROR_INVALID_UTF8, nest_imatrix_job(f->model, "x", NOT_UTF8, NULL, NULL, &job));
    EXPECT(NEST_ERROR_INVALID_UTF8, nest_prune_job(f->source, NOT_UTF8, NULL, NULL, &job));
    EXPECT(NEST_ERROR_INVALID_UTF8, nest_seal_job(NOT_UTF8, "x", NULL, NULL, &job));
    EXPECT(NEST_ERROR_INVALID_UTF8, nest_unseal_job("x", NOT_UTF8, NULL, 0, NULL, &job));
    EXPECT(NEST_ERROR_INVALID_UTF8, nest_adapter_convert_job(NOT_UTF8, "x", NULL, NULL, &job));
    EXPECT(NEST_ERROR_INVALID_UTF8, nest_adapter_average_job(paths, scales, 1, "x", NULL, NULL, &job));
    EXPECT(NEST_ERROR_INVALID_UTF8, nest_merge_job(f->source, paths, scales, 1, "x", NULL, NULL, &job));
    CHECK(job == NULL);
}

static void other_options(fixture *f) {
    const char *const paths[] = {"x"};
    const float scales[] = {1};
    const nest_model *models[1] = {f->model};
    nest_job *job = NULL;
    EXPECT(NEST_ERROR_INVALID_ARGUMENT, nest_convert_job("x", "y", f->options, NULL, &job));
    EXPECT(NEST_ERROR_INVALID_ARGUMENT, nest_quantize_job(f->source, "y", f->options, NULL, &job));
    EXPECT(NEST_ERROR_INVALID_ARGUMENT, nest_compare_job(models, 1, "x", -1, f->options, NULL, &job));
    EXPECT(NEST_ERROR_INVALID_ARGUMENT, nest_prune_job(f->source, "y", f->options, NULL, &job));
    EXPECT(NEST_ERROR_INVALID_ARGUMENT, nest_seal_job("x", "y", f->options, NULL, &job));
    EXPECT(NEST_ERROR_INVALID_ARGUMENT, nest_unseal_job("x", "y", f->options, 0, NULL, &job));
    EXPECT(NEST_ERROR_INVALID_ARGUMENT, nest_adapter_convert_job("x", "y", f->options, NULL, &job));
    EXPECT(NEST_ERROR_INVALID_ARGUMENT, nest_adapter_average_job(paths, scales, 1, "y", f->options, NULL, &job));
    EXPECT(NEST_ERROR_INVALID_ARGUMENT, nest_merge_job(f->source, paths, scales, 1, "y", f->options, NULL, &job));
    CHECK(job == NULL);
}

/* Outputs that cannot be: in no folder, and a folder itself. */
static void nowhere(fixture *f) {
    nest_options *options = NULL, *prune = NULL;
    nest_job *job = NULL;
    OK(nest_options_new("convert", &options));
    OK(nest_options_set_string(options, "pre_tokenizer", "smollm", -1));
    OK(nest_options_set_bool(options, "force", 1));
    OK(nest_convert_job(CHECKPOINT, "/there/is/no/such/folder/x.gguf", options, NULL, &job));
    fails(NEST_ERROR_NOT_FOUND, job);
    OK(nest_convert_job(CHECKPOINT, f->directory, options, NULL, &job));
    fails(NEST_ERROR_NOT_A_FILE, job);
    OK(nest_convert_job(CHECKPOINT, "", options, NULL, &job));
    fails(NEST_ERROR_NOT_FOUND, job);
    OK(nest_convert_job(CHECKPOINT "/config.json", "x", options, NULL, &job));
    fails(NEST_ERROR_CHECKPOINT_FILES, job);
    OK(nest_options_new("prune", &prune));
    OK(nest_options_add_string(prune, "drop", "(", -1));
    OK(nest_prune_job(f->source, "x", prune, NULL, &job));
    fails(NEST_ERROR_INVALID_OPTION, job);
    nest_options_free(prune);
    nest_options_free(options);
}

/* A job needs nothing of what it was made from; cancelled or freed at any moment, it leaves a whole file or none. */
static void stopped(fixture *f) {
    char path[4096];
    int i;
    snprintf(path, sizeof path, "%s/stopped.gguf", f->directory);
    for (i = 0; i < 40; i++) {
        nest_options *options = NULL;
        nest_source *source = NULL;
        nest_model *model = NULL;
        nest_job *job = NULL;
        FILE *file;
        OK(nest_options_new("convert", &options));
        OK(nest_options_set_string(options, "pre_tokenizer", "smollm", -1));
        OK(nest_options_set_bool(options, "force", 1));
        OK(nest_convert_job(CHECKPOINT, path, options, NULL, &job));
        nest_options_free(options);
        if (i % 2 == 0) {
            float progress = 0;
            int32_t done = 0;
            OK(nest_job_step(job, i / 4, &progress, &done));
            nest_job_cancel(job);
        }
        nest_job_free(job);
        file = fopen(path, "rb");
        if (file != NULL) {
            fclose(file);
            OK(nest_source_new_path(path, &source));
            OK(nest_model_open(source, NULL, NULL, &model));
            nest_model_free(model);
            nest_source_free(source);
        }
        remove(path);
    }
}

static void all(fixture *f) {
    bad_paths(f);
    other_options(f);
    nowhere(f);
    stopped(f);
}

int main(int argc, char **argv) {
    return with_fixture(argc, argv, all);
}
