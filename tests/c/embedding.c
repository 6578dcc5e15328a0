/* Texts as vectors: their numbers, what is refused, cancelling, freeing in every order. */
#include <math.h>

#include "fixture.h"

static const char *const texts[] = {"a sunny day", "rain", "a sunny day"};

static void vectors(fixture *f) {
    nest_options *options = NULL;
    nest_embeddings *found = NULL;
    const float *a, *b;
    double length = 0;
    uint64_t i, width;
    /* A generative model does not say how to pool. */
    EXPECT(NEST_ERROR_EMBEDDING_POOLING, nest_model_embed(f->model, texts, 3, NULL, NULL, &found));
    CHECK(found == NULL);
    OK(nest_options_new("embedding", &options));
    OK(nest_options_set_int(options, "n_threads", 1));
    EXPECT(NEST_ERROR_INVALID_OPTION, nest_options_set_string(options, "pooling", "max", -1));
    OK(nest_options_set_string(options, "pooling", "mean", -1));
    OK(nest_model_embed(f->model, texts, 3, options, NULL, &found));
    width = nest_embeddings_dimensions(found);
    CHECK(nest_embeddings_count(found) == 3 && width > 0);
    CHECK(nest_embeddings_vectors(found, 0) == 1 && nest_embeddings_vectors(found, 3) == 0);
    a = nest_embeddings_data(found, 0);
    b = nest_embeddings_data(found, 2);
    for (i = 0; i < width; i++) {
        CHECK(fabs(a[i] - b[i]) < 1e-3);
        length += a[i] * a[i];
    }
    CHECK(fabs(length - 1) < 1e-4);
    CHECK(nest_embeddings_data(found, 3) == NULL && nest_embeddings_data(found, UINT64_MAX) == NULL);
    nest_embeddings_free(found);
    OK(nest_model_embed(f->model, NULL, 0, options, NULL, &found));
    CHECK(nest_embeddings_count(found) == 0);
    nest_embeddings_free(found);
    nest_options_free(options);
}

static void refused(fixture *f) {
    static const char *const bad[] = {"fine", "\xff"};
    static const char *const missing[] = {"fine", NULL};
    nest_options *options = NULL, *session = NULL;
    nest_embeddings *found = NULL;
    nest_cancel *cancel = NULL;
    OK(nest_options_new("embedding", &options));
    OK(nest_options_set_string(options, "pooling", "last", -1));
    OK(nest_options_new("session", &session));
    EXPECT(NEST_ERROR_INVALID_UTF8, nest_model_embed(f->model, bad, 2, options, NULL, &found));
    EXPECT(NEST_ERROR_NULL_POINTER, nest_model_embed(f->model, missing, 2, options, NULL, &found));
    EXPECT(NEST_ERROR_NULL_POINTER, nest_model_embed(f->model, NULL, 2, options, NULL, &found));
    EXPECT(NEST_ERROR_NULL_POINTER, nest_model_embed(NULL, texts, 3, options, NULL, &found));
    EXPECT(NEST_ERROR_NULL_POINTER, nest_model_embed(f->model, texts, 3, options, NULL, NULL));
    EXPECT(NEST_ERROR_INVALID_ARGUMENT, nest_model_embed(f->model, texts, 3, session, NULL, &found));
    OK(nest_cancel_new(&cancel));
    nest_cancel_trigger(cancel);
    EXPECT(NEST_ERROR_CANCELLED, nest_model_embed(f->model, texts, 3, options, cancel, &found));
    CHECK(found == NULL);
    CHECK(nest_embeddings_count(NULL) == 0 && nest_embeddings_dimensions(NULL) == 0);
    CHECK(nest_embeddings_vectors(NULL, 0) == 0 && nest_embeddings_data(NULL, 0) == NULL);
    nest_embeddings_free(NULL);
    nest_cancel_free(cancel);
    nest_options_free(options);
    nest_options_free(session);
}

/* The model may go first. */
static void every_order(fixture *f) {
    nest_model *model = NULL;
    nest_options *options = NULL;
    nest_embeddings *found = NULL;
    OK(nest_model_open(f->source, NULL, NULL, &model));
    OK(nest_options_new("embedding", &options));
    OK(nest_options_set_string(options, "pooling", "none", -1));
    OK(nest_model_embed(model, texts, 3, options, NULL, &found));
    nest_model_free(model);
    nest_options_free(options);
    CHECK(nest_embeddings_vectors(found, 0) > 1 && nest_embeddings_data(found, 2) != NULL);
    nest_embeddings_free(found);
}

static void all(fixture *f) {
    vectors(f);
    refused(f);
    every_order(f);
}

int main(int argc, char **argv) {
    return with_fixture(argc, argv, all);
}
