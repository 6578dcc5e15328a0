/* A tiny model and what is made from it, a training too, for the test programs. */
#ifndef FIXTURE_H
#define FIXTURE_H

#include "check.h"

/* What most parts need. */
typedef struct {
    nest_source *source;
    nest_model *model;
    nest_tokenizer *tokenizer;
    nest_session *session;
    nest_messages *messages;
    nest_options *options;
    nest_examples *examples;
    nest_dataset *data;
    nest_options *training; /* of the kind trainer: small and quick */
    nest_trainer *trainer;
    const char *directory;
} fixture;

/* Eight texts: one epoch is two steps. */
static inline void open_training(fixture *f) {
    static const char *const texts[] = {
        "the cat sat on the mat", "a dog ran in the park", "one two three four", "red and blue",
        "birds sing at dawn",     "the sea is deep",       "rain falls on stone", "we walk home",
    };
    size_t i;
    OK(nest_examples_new(&f->examples));
    for (i = 0; i < sizeof texts / sizeof *texts; i++) {
        OK(nest_examples_add_text(f->examples, texts[i], -1));
    }
    OK(nest_dataset_new(f->examples, NULL, &f->data));
    OK(nest_options_new("trainer", &f->training));
    OK(nest_options_set_int(f->training, "n_threads", 1));
    OK(nest_options_set_int(f->training, "lora_rank", 4));
    OK(nest_options_set_int(f->training, "epochs", 4));
    OK(nest_options_set_float(f->training, "learning_rate", 0.01));
    OK(nest_trainer_new(f->model, f->data, NULL, f->training, &f->trainer));
}

static inline fixture open_all(const char *path, const char *directory) {
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
    open_training(&f);
    return f;
}

static inline void free_all(fixture *f) {
    nest_source_free(f->source);
    nest_model_free(f->model);
    nest_tokenizer_free(f->tokenizer);
    nest_session_free(f->session);
    nest_messages_free(f->messages);
    nest_options_free(f->options);
    nest_examples_free(f->examples);
    nest_dataset_free(f->data);
    nest_options_free(f->training);
    nest_trainer_free(f->trainer);
}

/* The n-th order of `count` things, at most 5. */
static inline void permutation(int n, int count, int *order) {
    int i;
    for (i = 0; i < count; i++) {
        order[i] = i;
    }
    for (i = count; i > 1; i--) {
        int j = n % i, swap = order[i - 1];
        n /= i;
        order[i - 1] = order[j];
        order[j] = swap;
    }
}

/* The main function of a test program: PROGRAM TINY-MODEL.gguf EMPTY-DIRECTORY */
static inline int with_fixture(int argc, char **argv, void (*test)(fixture *)) {
    fixture f;
    if (argc != 3) {
        fprintf(stderr, "usage: %s TINY-MODEL.gguf EMPTY-DIRECTORY\n", argv[0]);
        return 2;
    }
    f = open_all(argv[1], argv[2]);
    test(&f);
    free_all(&f);
    printf("%s: as it should be\n", argv[0]);
    return 0;
}

#endif
