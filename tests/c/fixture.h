/* A tiny model and what is made from it, for the test programs. */
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
    const char *directory;
} fixture;

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
    return f;
}

static inline void free_all(fixture *f) {
    nest_source_free(f->source);
    nest_model_free(f->model);
    nest_tokenizer_free(f->tokenizer);
    nest_session_free(f->session);
    nest_messages_free(f->messages);
    nest_options_free(f->options);
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
