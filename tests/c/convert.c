/* A checkpoint of Hugging Face becomes a model file, as a program in C makes and opens it. */
#include "fixture.h"

/* A tiny checkpoint; the tests run in the repository's root. */
#define CHECKPOINT "tests/golden/convert/smollm2"

/* The path of a file in the test's directory. */
static const char *in(const fixture *f, const char *name) {
    static char path[4096];
    snprintf(path, sizeof path, "%s/%s", f->directory, name);
    return path;
}

static void all(fixture *f) {
    nest_options *options = NULL;
    nest_source *source = NULL;
    nest_model *model = NULL;
    nest_string *report = NULL;
    nest_cancel *cancel = NULL;
    nest_job *job = NULL;
    float progress = 0;
    int32_t done = 0;
    OK(nest_options_new("convert", &options));
    OK(nest_options_set_string(options, "ftype", "q8_0", -1));
    OK(nest_options_set_string(options, "pre_tokenizer", "smollm", -1));
    OK(nest_convert_job(CHECKPOINT, in(f, "converted.gguf"), options, NULL, &job));
    while (!done) {
        OK(nest_job_step(job, 1000, &progress, &done));
    }
    OK(nest_job_take_report(job, &report));
    CHECK(strstr(nest_string_data(report), "\"architecture\":\"llama\"") != NULL);
    CHECK(strstr(nest_string_data(report), "\"ftype\":\"q8_0\"") != NULL);
    nest_string_free(report);
    report = NULL;
    nest_job_free(job);
    OK(nest_source_new_path(in(f, "converted.gguf"), &source));
    OK(nest_model_open(source, NULL, NULL, &model));
    nest_model_free(model);
    nest_source_free(source);

    OK(nest_convert_job(CHECKPOINT, in(f, "converted.gguf"), options, NULL, &job));
    EXPECT(NEST_ERROR_OUTPUT_EXISTS, nest_job_take_report(job, &report));
    nest_job_free(job);
    EXPECT(NEST_ERROR_NULL_POINTER, nest_convert_job(NULL, "x", NULL, NULL, &job));
    EXPECT(NEST_ERROR_NULL_POINTER, nest_convert_job("x", NULL, NULL, NULL, &job));
    EXPECT(NEST_ERROR_NULL_POINTER, nest_convert_job("x", "x", NULL, NULL, NULL));
    OK(nest_convert_job(f->directory, in(f, "none.gguf"), options, NULL, &job));
    EXPECT(NEST_ERROR_NOT_FOUND, nest_job_take_report(job, &report));
    nest_job_free(job);
    OK(nest_cancel_new(&cancel));
    nest_cancel_trigger(cancel);
    OK(nest_convert_job(CHECKPOINT, in(f, "none.gguf"), options, cancel, &job));
    EXPECT(NEST_ERROR_CANCELLED, nest_job_take_report(job, &report));
    nest_job_free(job);
    CHECK(report == NULL);
    nest_cancel_free(cancel);
    nest_options_free(options);
}

int main(int argc, char **argv) {
    return with_fixture(argc, argv, all);
}
