/* Adapters trained, averaged, carried to PEFT and back, and merged, as a program in C does it. */
#include "fixture.h"

/* Paths in the test's directory. */
typedef struct {
    char adapter[4096], average[4096], peft[4096], back[4096], merged[4096];
} paths;

static const char *take(nest_job **job, nest_string **report) {
    float progress = 0;
    int32_t done = 0;
    while (!done) {
        OK(nest_job_step(*job, 1000, &progress, &done));
    }
    OK(nest_job_take_report(*job, report));
    nest_job_free(*job);
    *job = NULL;
    return nest_string_data(*report);
}

static void files(fixture *f, const char *model, const paths *p) {
    const char *twice[2];
    const float weights[] = {3, 1};
    nest_options *options = NULL;
    nest_string *report = NULL;
    nest_job *job = NULL;
    nest_source *source = NULL;
    nest_model *merged = NULL;
    twice[0] = twice[1] = p->adapter;
    OK(nest_trainer_save_adapter(f->trainer, p->adapter, "trained"));
    OK(nest_adapter_inspect(p->adapter, &report));
    CHECK(strstr(nest_string_data(report), "\"rank\":4") != NULL);
    nest_string_free(report);

    OK(nest_options_new("adapter", &options));
    OK(nest_options_set_string(options, "base", model, -1));
    OK(nest_adapter_average_job(twice, weights, 2, p->average, options, NULL, &job));
    CHECK(strstr(take(&job, &report), "\"rank\":8") != NULL);
    nest_string_free(report);
    OK(nest_adapter_convert_job(p->average, p->peft, options, NULL, &job));
    CHECK(strstr(take(&job, &report), "\"format\":\"peft\"") != NULL);
    nest_string_free(report);
    OK(nest_adapter_convert_job(p->peft, p->back, options, NULL, &job));
    CHECK(strstr(take(&job, &report), "\"format\":\"gguf\"") != NULL);
    nest_string_free(report);
    report = NULL;
    OK(nest_adapter_convert_job(p->peft, p->back, options, NULL, &job));
    EXPECT(NEST_ERROR_OUTPUT_EXISTS, nest_job_take_report(job, &report));
    CHECK(report == NULL);
    nest_job_free(job);
    nest_options_free(options);

    twice[0] = p->peft;
    OK(nest_merge_job(f->source, twice, weights, 2, p->merged, NULL, NULL, &job));
    CHECK(strstr(take(&job, &report), "\"n_merged\":") != NULL);
    nest_string_free(report);
    OK(nest_source_new_path(p->merged, &source));
    OK(nest_model_open(source, NULL, NULL, &merged));
    nest_model_free(merged);
    nest_source_free(source);
}

static void refused(fixture *f, const paths *p) {
    const char *one[] = {"none.gguf"};
    const float weight[] = {1};
    nest_options *merging = NULL;
    nest_cancel *cancel = NULL;
    nest_string *report = NULL;
    nest_job *job = NULL;
    OK(nest_options_new("merge", &merging));
    EXPECT(NEST_ERROR_INVALID_ARGUMENT, nest_adapter_convert_job(p->peft, "x", merging, NULL, &job));
    EXPECT(NEST_ERROR_NOT_FOUND, nest_adapter_inspect("none.gguf", &report));
    CHECK(job == NULL && report == NULL);
    OK(nest_adapter_average_job(one, weight, 0, "x", NULL, NULL, &job));
    EXPECT(NEST_ERROR_ADAPTER_AVERAGE, nest_job_take_report(job, &report));
    nest_job_free(job);
    OK(nest_merge_job(f->source, one, weight, 1, "x", merging, NULL, &job));
    EXPECT(NEST_ERROR_NOT_FOUND, nest_job_take_report(job, &report));
    nest_job_free(job);
    OK(nest_cancel_new(&cancel));
    nest_cancel_trigger(cancel);
    one[0] = p->adapter;
    OK(nest_merge_job(f->source, one, weight, 1, "x", merging, cancel, &job));
    EXPECT(NEST_ERROR_CANCELLED, nest_job_take_report(job, &report));
    nest_job_free(job);
    nest_cancel_free(cancel);
    nest_options_free(merging);
    CHECK(report == NULL);
}

static const char *model_path;

static void all(fixture *f) {
    paths p;
    snprintf(p.adapter, sizeof p.adapter, "%s/trained.gguf", f->directory);
    snprintf(p.average, sizeof p.average, "%s/average.gguf", f->directory);
    snprintf(p.peft, sizeof p.peft, "%s/peft", f->directory);
    snprintf(p.back, sizeof p.back, "%s/back.gguf", f->directory);
    snprintf(p.merged, sizeof p.merged, "%s/merged.gguf", f->directory);
    files(f, model_path, &p);
    refused(f, &p);
    remove(p.merged);
}

int main(int argc, char **argv) {
    model_path = argc > 1 ? argv[1] : "";
    return with_fixture(argc, argv, all);
}
