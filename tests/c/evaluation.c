/* Measuring: a model beside itself with the adapter that it learned, jobs, cancelling, freeing in every order. */
#include <math.h>

#include "fixture.h"

static nest_dataset *reviews(void) {
    static const char *const lines[][2] = {
        {"sunny and warm", "good"}, {"rain all day", "bad"}, {"a fine walk", "good"}, {"lost my hat", "bad"},
    };
    nest_examples *examples = NULL;
    nest_dataset *data = NULL;
    size_t i;
    OK(nest_examples_new(&examples));
    for (i = 0; i < sizeof lines / sizeof *lines; i++) {
        OK(nest_examples_add_labelled(examples, lines[i][0], -1, lines[i][1], -1));
    }
    OK(nest_dataset_new(examples, NULL, &data));
    nest_examples_free(examples);
    return data;
}

static nest_options *one_thread(void) {
    nest_options *options = NULL;
    OK(nest_options_new("evaluation", &options));
    OK(nest_options_set_int(options, "n_threads", 1));
    return options;
}

/* An adapter that learned the data. */
static nest_adapter *learned(fixture *f, const nest_dataset *data) {
    nest_options *options = NULL;
    nest_trainer *trainer = NULL;
    nest_adapter *adapter = NULL;
    nest_training_step step = {.struct_size = sizeof step};
    int32_t has_step = 1;
    OK(nest_options_new("trainer", &options));
    OK(nest_options_set_int(options, "n_threads", 1));
    OK(nest_options_set_int(options, "epochs", 20));
    OK(nest_options_set_float(options, "learning_rate", 0.01));
    OK(nest_trainer_new(f->model, data, NULL, options, &trainer));
    while (has_step) {
        OK(nest_trainer_step(trainer, NULL, &step, &has_step));
    }
    OK(nest_trainer_adapter(trainer, &adapter));
    nest_trainer_free(trainer);
    nest_options_free(options);
    return adapter;
}

static void base_beside_adapter(fixture *f) {
    nest_dataset *data = reviews();
    nest_adapter *adapter = learned(f, data);
    nest_options *options = one_thread();
    nest_evaluation *base = NULL;
    nest_evaluation *adapted = NULL;
    nest_string *json = NULL;
    nest_evaluation_report before = {.struct_size = sizeof before};
    nest_evaluation_report after = {.struct_size = sizeof after};
    OK(nest_evaluation_new(f->model, data, options, NULL, &base));
    EXPECT(NEST_ERROR_INVALID_ARGUMENT, nest_options_add_adapter(options, adapter, NAN));
    OK(nest_options_add_adapter(options, adapter, 1));
    nest_adapter_free(adapter);
    OK(nest_evaluation_new(f->model, data, options, NULL, &adapted));
    OK(nest_evaluation_get_report(base, &before));
    OK(nest_evaluation_get_report(adapted, &after));
    CHECK(after.loss < before.loss - 0.5 && after.tokens == before.tokens && after.examples == 4);
    CHECK(after.classified == 1 && after.label_accuracy == 1 && after.macro_f1 == 1);
    CHECK(fabs(log(before.perplexity) - before.loss) < 1e-9 && before.truncated == 0 && before.dropped == 0);
    OK(nest_evaluation_report_json(adapted, &json));
    CHECK(strstr(nest_string_data(json), "\"confusion\":[[2,0],[0,2]]") != NULL);
    nest_string_free(json);
    OK(nest_evaluation_comparison_json(base, adapted, &json));
    CHECK(strstr(nest_string_data(json), "\"difference\":{\"loss\":-") != NULL);
    nest_string_free(json);
    nest_evaluation_free(base);
    nest_evaluation_free(adapted);

    /* Labels that leave out one of the data's. */
    OK(nest_options_add_string(options, "labels", "good", -1));
    OK(nest_options_add_string(options, "labels", "fair", -1));
    base = NULL;
    EXPECT(NEST_ERROR_DATASET_LABEL, nest_evaluation_new(f->model, data, options, NULL, &base));
    CHECK(base == NULL);
    nest_options_free(options);
    nest_dataset_free(data);
}

/* Texts have no labels to find. */
static void texts(fixture *f) {
    nest_options *options = one_thread();
    nest_evaluation *evaluation = NULL;
    nest_evaluation_report report = {.struct_size = sizeof report};
    OK(nest_evaluation_new(f->model, f->data, options, NULL, &evaluation));
    OK(nest_evaluation_get_report(evaluation, &report));
    CHECK(report.classified == 0 && isnan(report.label_accuracy) && isnan(report.macro_f1));
    CHECK(report.loss > 0 && report.examples == 8 && report.seconds >= 0);
    nest_evaluation_free(evaluation);
    nest_options_free(options);
}

static void jobs(fixture *f) {
    nest_options *options = one_thread();
    nest_cancel *cancel = NULL;
    nest_job *job = NULL;
    nest_evaluation *evaluation = NULL;
    float progress = 0;
    int32_t done = 0;
    OK(nest_evaluation_new_job(f->model, f->data, options, NULL, &job));
    while (!done) {
        OK(nest_job_step(job, 1000, &progress, &done));
    }
    CHECK(progress > 0.999f);
    OK(nest_job_take_evaluation(job, &evaluation));
    nest_evaluation_free(evaluation);
    nest_job_free(job);

    OK(nest_cancel_new(&cancel));
    nest_cancel_trigger(cancel);
    evaluation = NULL;
    EXPECT(NEST_ERROR_CANCELLED, nest_evaluation_new(f->model, f->data, options, cancel, &evaluation));
    OK(nest_evaluation_new_job(f->model, f->data, options, cancel, &job));
    EXPECT(NEST_ERROR_CANCELLED, nest_job_take_evaluation(job, &evaluation));
    CHECK(evaluation == NULL);
    nest_job_free(job);
    nest_cancel_free(cancel);
    /* Freed while it runs: it is stopped and waited for. */
    OK(nest_evaluation_new_job(f->model, f->data, options, NULL, &job));
    nest_job_free(job);
    nest_options_free(options);
}

/* Model, data, options and job: freed in every order while the job runs, which then ends well or was stopped. */
static void every_order(fixture *f) {
    int n;
    for (n = 0; n < 24; n++) {
        nest_model *model = NULL;
        nest_dataset *data = reviews();
        nest_options *options = one_thread();
        nest_job *job = NULL;
        nest_evaluation *evaluation = NULL;
        int order[5], i;
        permutation(n, 4, order);
        OK(nest_model_open(f->source, NULL, NULL, &model));
        OK(nest_evaluation_new_job(model, data, options, NULL, &job));
        for (i = 0; i < 4; i++) {
            switch (order[i]) {
            case 0:
                nest_model_free(model);
                break;
            case 1:
                nest_dataset_free(data);
                break;
            case 2:
                nest_options_free(options);
                break;
            default:
                if (n % 2 == 0) {
                    OK(nest_job_take_evaluation(job, &evaluation));
                }
                nest_job_free(job);
            }
        }
        CHECK((evaluation != NULL) == (n % 2 == 0));
        nest_evaluation_free(evaluation);
    }
}

static void all(fixture *f) {
    base_beside_adapter(f);
    texts(f);
    jobs(f);
    every_order(f);
}

int main(int argc, char **argv) {
    return with_fixture(argc, argv, all);
}
