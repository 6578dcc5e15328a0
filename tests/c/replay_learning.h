/* Datasets, training and evaluation for replay.c. */
#ifndef REPLAY_LEARNING_H
#define REPLAY_LEARNING_H

#include "check.h"

static nest_dataset *data;

static int failed(nest_error *error);

/* Options of a kind from keys and values; NULL after an error, which is printed. */
static nest_options *options_of(const char *kind, char **field, int n) {
    nest_options *made = NULL;
    int i;
    OK(nest_options_new(kind, &made));
    for (i = 0; i + 1 < n; i += 2) {
        if (failed(nest_options_set_string(made, field[i], field[i + 1], -1))) {
            nest_options_free(made);
            return NULL;
        }
    }
    return made;
}

static void print_digest(const nest_dataset *of) {
    nest_string *digest = NULL;
    OK(nest_dataset_digest(of, &digest));
    printf("%s", nest_string_data(digest));
    nest_string_free(digest);
}

/* The dataset of the calls that follow. */
static void keep(nest_dataset *made) {
    nest_dataset_report r = {.struct_size = sizeof r};
    nest_dataset_free(data);
    data = made;
    OK(nest_dataset_get_report(data, &r));
    printf("%d of %d rows, %d bad, %d removed, ", (int)nest_dataset_count(data), (int)r.rows, (int)r.bad_lines,
           (int)(r.empty + r.min_chars + r.max_chars + r.drop_duplicates));
    print_digest(data);
    printf("\n");
}

static void open_dataset(const char *path, nest_options *options) {
    nest_source *source = NULL;
    const nest_source *sources[1];
    nest_dataset *made = NULL;
    OK(nest_source_new_path(path, &source));
    sources[0] = source;
    if (!failed(nest_dataset_open(sources, 1, options, &made))) {
        keep(made);
    }
    nest_source_free(source);
}

/* Each line is a row of JSONL. */
static void add_rows(const char *rows, nest_options *options) {
    nest_examples *examples = NULL;
    nest_dataset *made = NULL;
    OK(nest_examples_new(&examples));
    while (*rows != '\0') {
        const char *end = strchr(rows, '\n');
        int64_t length = end != NULL ? (int64_t)(end - rows) : (int64_t)strlen(rows);
        if (failed(nest_examples_add_json(examples, rows, length))) {
            nest_examples_free(examples);
            return;
        }
        rows += end != NULL ? length + 1 : length;
    }
    if (!failed(nest_dataset_new(examples, options, &made))) {
        keep(made);
    }
    nest_examples_free(examples);
}

static void print_labels(void) {
    uint64_t i;
    printf("labels");
    for (i = 0; i < nest_dataset_label_count(data); i++) {
        nest_string *label = NULL;
        OK(nest_dataset_label(data, i, &label));
        printf(" %s", nest_string_data(label));
        nest_string_free(label);
    }
    printf("\n");
}

static void print_parts(nest_dataset *training, nest_dataset *validation) {
    printf("%d ", (int)nest_dataset_count(training));
    print_digest(training);
    printf(", %d ", (int)nest_dataset_count(validation));
    print_digest(validation);
    printf("\n");
    nest_dataset_free(training);
    nest_dataset_free(validation);
}

static void plan(const nest_model *model, nest_options *options) {
    nest_training_plan p = {.struct_size = sizeof p};
    if (!failed(nest_trainer_plan(model, data, NULL, options, &p))) {
        printf("fits %d n_ctx %d parameters %d\n", (int)p.fits, (int)p.n_ctx, (int)p.n_parameters);
    }
}

static void train(const nest_model *model, int steps, nest_options *options) {
    nest_trainer *trainer = NULL;
    nest_adapter *adapter = NULL;
    nest_adapter_info info = {.struct_size = sizeof info};
    nest_training_step s = {.struct_size = sizeof s};
    int32_t has_step = 1;
    if (failed(nest_trainer_new(model, data, NULL, options, &trainer))) {
        return;
    }
    while (steps-- > 0 && has_step) {
        OK(nest_trainer_step(trainer, NULL, &s, &has_step));
        if (has_step) {
            printf("%d/%d epoch %d tokens %d/%d loss %.1f; ", (int)s.step, (int)s.total_steps, (int)s.epoch,
                   (int)s.loss_tokens, (int)s.tokens, s.loss);
        }
    }
    if (has_step) {
        OK(nest_trainer_adapter(trainer, &adapter));
        OK(nest_adapter_get_info(adapter, &info));
        printf("rank %u pairs %u scale %g\n", (unsigned)info.rank, (unsigned)info.n_pairs, (double)info.scale);
        nest_adapter_free(adapter);
    } else {
        printf("finished\n");
    }
    nest_trainer_free(trainer);
}

static void evaluate(const nest_model *model, nest_options *options) {
    nest_evaluation *evaluation = NULL;
    nest_evaluation_report found = {.struct_size = sizeof found};
    if (failed(nest_evaluation_new(model, data, options, NULL, &evaluation))) {
        return;
    }
    OK(nest_evaluation_get_report(evaluation, &found));
    printf("loss %.1f tokens %d examples %d labels ", found.loss, (int)found.tokens, (int)found.examples);
    if (found.classified) {
        printf("%.2f %.2f\n", found.label_accuracy, found.macro_f1);
    } else {
        printf("none\n");
    }
    nest_evaluation_free(evaluation);
}

/* Whether it was one of these calls. */
static int learning(const nest_model *model, char **field, int n) {
    const char *call = field[0];
    int measures = strcmp(call, "evaluate") == 0;
    int bare = measures || strcmp(call, "labels") == 0 || strcmp(call, "plan") == 0;
    int fixed = bare ? 1 : strcmp(call, "fold") == 0 ? 4 : 2;
    int trains = strcmp(call, "plan") == 0 || strcmp(call, "train") == 0;
    nest_options *options = NULL;
    nest_dataset *first = NULL;
    nest_dataset *second = NULL;
    if (strcmp(call, "labels") == 0) {
        print_labels();
    } else if (strcmp(call, "split") == 0) {
        if (!failed(nest_dataset_split(data, atof(field[1]), (uint64_t)atoi(field[2]), &first, &second))) {
            print_parts(first, second);
        }
    } else if (strcmp(call, "fold") == 0) {
        if (!failed(nest_dataset_fold(data, (uint64_t)atoi(field[1]), (uint64_t)atoi(field[2]),
                                      (uint64_t)atoi(field[3]), &first, &second))) {
            print_parts(first, second);
        }
    } else if (strcmp(call, "dataset") != 0 && strcmp(call, "examples") != 0 && !trains &&
               !measures) {
        return 0;
    } else if ((options = options_of(measures ? "evaluation" : trains ? "trainer" : "dataset", field + fixed,
                                     n - fixed)) != NULL) {
        if (measures) {
            evaluate(model, options);
        } else if (strcmp(call, "dataset") == 0) {
            open_dataset(field[1], options);
        } else if (strcmp(call, "examples") == 0) {
            add_rows(field[1], options);
        } else if (strcmp(call, "plan") == 0) {
            plan(model, options);
        } else {
            train(model, atoi(field[1]), options);
        }
        nest_options_free(options);
    }
    return 1;
}

#endif
