/* Cancelling, two threads on one handle, freeing in every order and while in use. */
#include <pthread.h>
#include <stdatomic.h>

#include "fixture.h"

static void cancelled(fixture *f) {
    nest_cancel *cancel = NULL;
    nest_generation *generation = NULL;
    nest_model *model = NULL;
    nest_job *job = NULL;
    nest_piece piece = {.struct_size = sizeof piece};
    int32_t has_piece = 1;
    int32_t done = 0;
    float progress = 0;
    int32_t ids[3] = {65, 66, 67};
    uint64_t reused = 0;
    OK(nest_cancel_new(&cancel));
    OK(nest_generation_new_text(f->session, "hello", -1, f->options, cancel, &generation));
    OK(nest_generation_next(generation, &piece, &has_piece));
    nest_cancel_trigger(cancel);
    nest_cancel_trigger(cancel);
    CHECK(nest_cancel_is_triggered(cancel) == 1);
    EXPECT(NEST_ERROR_CANCELLED, nest_generation_next(generation, &piece, &has_piece));
    CHECK(has_piece == 0);
    /* Use after cancel: ended, not broken. */
    OK(nest_generation_next(generation, &piece, &has_piece));
    CHECK(has_piece == 0);
    nest_generation_free(generation);
    EXPECT(NEST_ERROR_CANCELLED, nest_session_evaluate(f->session, ids, 3, cancel, &reused));
    EXPECT(NEST_ERROR_CANCELLED, nest_model_open(f->source, NULL, cancel, &model));
    OK(nest_session_evaluate(f->session, ids, 3, NULL, &reused));

    OK(nest_model_open_job(f->source, NULL, cancel, &job));
    while (!done) {
        OK(nest_job_step(job, 1000, &progress, &done));
    }
    EXPECT(NEST_ERROR_CANCELLED, nest_job_take_model(job, &model));
    EXPECT(NEST_ERROR_WRONG_STATE, nest_job_take_model(job, &model));
    nest_job_cancel(job);
    nest_job_free(job);
    nest_cancel_free(cancel);

    OK(nest_model_open_job(f->source, NULL, NULL, &job));
    EXPECT(NEST_ERROR_INVALID_ARGUMENT, nest_job_step(job, -2, &progress, &done));
    OK(nest_job_take_model(job, &model));
    OK(nest_job_step(job, -1, &progress, &done));
    CHECK(done == 1 && progress <= 1.0f);
    nest_job_free(job);
    nest_model_free(model);
    /* Freed while it runs: it is stopped and waited for. */
    OK(nest_model_open_job(f->source, NULL, NULL, &job));
    nest_job_free(job);
}

static void replaced(fixture *f) {
    nest_generation *older = NULL;
    nest_generation *newer = NULL;
    nest_piece piece = {.struct_size = sizeof piece};
    int32_t has_piece = 0;
    OK(nest_generation_new_text(f->session, "hello", -1, f->options, NULL, &older));
    OK(nest_generation_new_text(f->session, "the world", -1, f->options, NULL, &newer));
    OK(nest_generation_next(older, &piece, &has_piece));
    OK(nest_generation_next(newer, &piece, &has_piece));
    EXPECT(NEST_ERROR_WRONG_STATE, nest_generation_next(older, &piece, &has_piece));
    OK(nest_generation_next(newer, &piece, &has_piece));
    nest_generation_free(newer);
    nest_generation_free(older);
}

/* One thread evaluates, again and again, until the other has been refused. */
typedef struct {
    nest_session *session;
    atomic_int refused;
    int evaluated;
} user;

static void *evaluate(void *data) {
    user *u = data;
    int32_t ids[40];
    int i;
    for (i = 0; i < 40; i++) {
        ids[i] = 65 + i % 20;
    }
    while (!atomic_load(&u->refused)) {
        uint64_t reused = 0;
        nest_error *error;
        ids[0] = 65 + u->evaluated % 20;
        error = nest_session_evaluate(u->session, ids, 40, NULL, &reused);
        if (nest_error_code(error) != NEST_ERROR_BUSY) {
            OK(error);
            u->evaluated++;
            continue;
        }
        nest_error_free(error);
    }
    return NULL;
}

static void two_threads(fixture *f) {
    user u = {.session = f->session};
    nest_session_stats stats = {.struct_size = sizeof stats};
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, evaluate, &u) == 0);
    while (!atomic_load(&u.refused)) {
        nest_error *error = nest_session_get_stats(f->session, &stats);
        if (nest_error_code(error) == NEST_ERROR_BUSY) {
            atomic_store(&u.refused, 1);
        } else {
            OK(error);
            continue;
        }
        nest_error_free(error);
    }
    pthread_join(thread, NULL);
    OK(nest_session_get_stats(f->session, &stats));
    CHECK(u.evaluated == 0 || stats.position == 40);
    OK(nest_session_reset(f->session));
}

/* A session is freed while another thread generates with it. */
typedef struct {
    nest_generation *generation;
    int pieces;
    int32_t code;
    atomic_int returned;
} puller;

static void *pull(void *data) {
    puller *p = data;
    nest_piece piece = {.struct_size = sizeof piece};
    int32_t has_piece = 1;
    while (has_piece) {
        nest_error *error = nest_generation_next(p->generation, &piece, &has_piece);
        p->code = nest_error_code(error);
        nest_error_free(error);
        p->pieces += has_piece;
    }
    return NULL;
}

static void freed_in_use(fixture *f) {
    nest_session *session = NULL;
    puller p = {.generation = NULL};
    pthread_t thread;
    OK(nest_session_new(f->model, NULL, &session));
    OK(nest_generation_new_messages(session, f->messages, f->options, NULL, &p.generation));
    CHECK(pthread_create(&thread, NULL, pull, &p) == 0);
    nest_session_free(session);
    pthread_join(thread, NULL);
    CHECK(p.pieces > 0 && p.code == NEST_ERROR_CONTEXT_FULL);
    nest_generation_free(p.generation);
}

/* One call, which another thread may cut short by freeing its handle. */
static void *pull_once(void *data) {
    puller *p = data;
    nest_piece piece = {.struct_size = sizeof piece};
    int32_t has_piece = 0;
    nest_error *error = nest_generation_next(p->generation, &piece, &has_piece);
    p->code = nest_error_code(error);
    nest_error_free(error);
    atomic_store(&p->returned, 1);
    return NULL;
}

/* A generation is freed while a call with it is in flight: the call ends, well or cancelled, and lets go. */
static void freed_in_flight(fixture *f) {
    int in_flight = 0;
    int32_t ids[60];
    int i;
    for (i = 0; i < 60; i++) {
        ids[i] = 65 + i % 20;
    }
    while (!in_flight) {
        puller p = {.generation = NULL};
        nest_session_stats stats = {.struct_size = sizeof stats};
        pthread_t thread;
        OK(nest_session_reset(f->session));
        OK(nest_generation_new_tokens(f->session, ids, 60, f->options, NULL, &p.generation));
        CHECK(pthread_create(&thread, NULL, pull_once, &p) == 0);
        while (!in_flight && !atomic_load(&p.returned)) {
            nest_error *error = nest_session_get_stats(f->session, &stats);
            in_flight = nest_error_code(error) == NEST_ERROR_BUSY;
            nest_error_free(error);
        }
        nest_generation_free(p.generation);
        pthread_join(thread, NULL);
        /* The look at the session may itself have been in the call's way. */
        CHECK(p.code == 0 || p.code == NEST_ERROR_CANCELLED || p.code == NEST_ERROR_BUSY);
    }
    OK(nest_session_reset(f->session));
}

/* Model, tokenizer, session, generation, source: freed in every order, each used as long as it is there. */
static void every_order(fixture *f) {
    int order[5];
    int n;
    for (n = 0; n < 120; n++) {
        nest_model *model = NULL;
        nest_tokenizer *tokenizer = NULL;
        nest_session *session = NULL;
        nest_generation *generation = NULL;
        nest_options *options = NULL;
        nest_piece piece = {.struct_size = sizeof piece};
        int32_t has_piece = 0;
        int i;
        permutation(n, 5, order);
        OK(nest_options_new("session", &options));
        OK(nest_options_set_int(options, "n_ctx", 16));
        OK(nest_options_set_int(options, "n_threads", 1));
        /* One model for most rounds: loading is the slow part. */
        if (n % 24 == 0) {
            OK(nest_model_open(f->source, NULL, NULL, &model));
        }
        OK(nest_tokenizer_new(model != NULL ? model : f->model, &tokenizer));
        OK(nest_session_new(model != NULL ? model : f->model, options, &session));
        OK(nest_generation_new_text(session, "hello", -1, f->options, NULL, &generation));
        OK(nest_generation_next(generation, &piece, &has_piece));
        for (i = 0; i < 5; i++) {
            switch (order[i]) {
            case 0:
                nest_model_free(model);
                break;
            case 1:
                nest_tokenizer_free(tokenizer);
                break;
            case 2:
                nest_session_free(session);
                break;
            case 3:
                nest_generation_free(generation);
                generation = NULL;
                break;
            default:
                nest_options_free(options);
            }
            if (generation != NULL) {
                OK(nest_generation_next(generation, &piece, &has_piece));
            }
        }
    }
}

static void all(fixture *f) {
    cancelled(f);
    replaced(f);
    two_threads(f);
    freed_in_use(f);
    freed_in_flight(f);
    every_order(f);
}

int main(int argc, char **argv) {
    return with_fixture(argc, argv, all);
}
