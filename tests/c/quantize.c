/* A model in smaller types, as a program in C makes and opens it. */
#include "fixture.h"

/* The path of a file in the test's directory. */
static const char *in(const fixture *f, const char *name) {
    static char path[4096];
    snprintf(path, sizeof path, "%s/%s", f->directory, name);
    return path;
}

static nest_options *mix(const char *ftype) {
    nest_options *options = NULL;
    OK(nest_options_new("quantize", &options));
    OK(nest_options_set_string(options, "ftype", ftype, -1));
    return options;
}

static void smaller(fixture *f) {
    nest_options *options = mix("q8_0");
    nest_source *source = NULL;
    nest_model *model = NULL;
    nest_string *report = NULL;
    nest_job *job = NULL;
    float progress = 0;
    int32_t done = 0;
    OK(nest_options_add_string(options, "tensor_types", "ffn_down=q4_0", -1));
    OK(nest_quantize_job(f->source, in(f, "small.gguf"), options, NULL, &job));
    while (!done) {
        OK(nest_job_step(job, 1000, &progress, &done));
    }
    CHECK(progress > 0.999f);
    EXPECT(NEST_ERROR_WRONG_STATE, nest_job_take_model(job, &model));
    OK(nest_job_take_report(job, &report));
    CHECK(strstr(nest_string_data(report), "\"Q4_0\":2") != NULL);
    CHECK(strstr(nest_string_data(report), "\"ftype\":\"q8_0\"") != NULL);
    nest_string_free(report);
    report = NULL;
    EXPECT(NEST_ERROR_WRONG_STATE, nest_job_take_report(job, &report));
    CHECK(report == NULL);
    nest_job_free(job);
    OK(nest_source_new_path(in(f, "small.gguf"), &source));
    OK(nest_model_open(source, NULL, NULL, &model));
    nest_model_free(model);

    /* Over a file only where that was said, never over the file that is read. */
    OK(nest_quantize_job(f->source, in(f, "small.gguf"), options, NULL, &job));
    EXPECT(NEST_ERROR_OUTPUT_EXISTS, nest_job_take_report(job, &report));
    nest_job_free(job);
    OK(nest_options_set_bool(options, "force", 1));
    OK(nest_options_set_bool(options, "requantize", 1));
    OK(nest_quantize_job(source, in(f, "small.gguf"), options, NULL, &job));
    EXPECT(NEST_ERROR_OUTPUT_IS_INPUT, nest_job_take_report(job, &report));
    nest_job_free(job);
    OK(nest_quantize_job(f->source, in(f, "small.gguf"), options, NULL, &job));
    OK(nest_job_take_report(job, &report));
    nest_string_free(report);
    nest_job_free(job);
    nest_source_free(source);
    nest_options_free(options);
}

static void refused(fixture *f) {
    nest_options *options = mix("q9");
    nest_options *others = NULL;
    nest_string *report = NULL;
    nest_cancel *cancel = NULL;
    nest_job *job = NULL;
    OK(nest_quantize_job(f->source, in(f, "none.gguf"), options, NULL, &job));
    EXPECT(NEST_ERROR_QUANTIZE_TYPE, nest_job_take_report(job, &report));
    nest_job_free(job);
    job = NULL;
    OK(nest_options_new("session", &others));
    EXPECT(NEST_ERROR_NULL_POINTER, nest_quantize_job(NULL, "x", NULL, NULL, &job));
    EXPECT(NEST_ERROR_NULL_POINTER, nest_quantize_job(f->source, NULL, NULL, NULL, &job));
    EXPECT(NEST_ERROR_NULL_POINTER, nest_quantize_job(f->source, "x", NULL, NULL, NULL));
    EXPECT(NEST_ERROR_INVALID_ARGUMENT, nest_quantize_job(f->source, in(f, "none.gguf"), others, NULL, &job));
    CHECK(job == NULL);
    nest_options_free(others);
    OK(nest_options_set_string(options, "ftype", "q4_0", -1));
    OK(nest_cancel_new(&cancel));
    nest_cancel_trigger(cancel);
    OK(nest_quantize_job(f->source, in(f, "none.gguf"), options, cancel, &job));
    EXPECT(NEST_ERROR_CANCELLED, nest_job_take_report(job, &report));
    nest_job_free(job);
    /* Freed while it runs: it is stopped and waited for. */
    OK(nest_quantize_job(f->source, in(f, "none.gguf"), options, NULL, &job));
    nest_job_free(job);
    nest_cancel_free(cancel);
    nest_options_free(options);
    CHECK(report == NULL);
}

static void all(fixture *f) {
    smaller(f);
    refused(f);
}

int main(int argc, char **argv) {
    return with_fixture(argc, argv, all);
}
