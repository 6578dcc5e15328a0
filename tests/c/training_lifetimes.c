/* Trainers: cancelling, two threads on one, freeing in every order and while in use. */
#include <pthread.h>
#include <stdatomic.h>

#include "fixture.h"

/* A step that was cancelled can be repeated: the training is what it was. */
static void cancelled(fixture *f) {
    nest_cancel *cancel = NULL;
    nest_training_step step = {.struct_size = sizeof step};
    nest_training_progress progress = {.struct_size = sizeof progress};
    nest_training_evaluation evaluation = {.struct_size = sizeof evaluation};
    int32_t has_step = 1;
    OK(nest_cancel_new(&cancel));
    nest_cancel_trigger(cancel);
    EXPECT(NEST_ERROR_CANCELLED, nest_trainer_step(f->trainer, cancel, &step, &has_step));
    EXPECT(NEST_ERROR_CANCELLED, nest_trainer_evaluate(f->trainer, f->data, cancel, &evaluation));
    OK(nest_trainer_get_progress(f->trainer, &progress));
    CHECK(has_step == 0 && progress.step == 0 && progress.cursor == 0);
    nest_cancel_free(cancel);
    OK(nest_trainer_step(f->trainer, NULL, &step, &has_step));
    CHECK(has_step == 1 && step.step == 1);
}

/* One thread measures with a trainer, again and again, until it is told to stop. */
typedef struct {
    nest_trainer *trainer;
    const nest_dataset *data;
    nest_cancel *cancel;
    int once;
    int32_t code;
    atomic_int ended;
} measurer;

static void *measure(void *data) {
    measurer *m = data;
    nest_training_evaluation evaluation = {.struct_size = sizeof evaluation};
    do {
        nest_error *error = nest_trainer_evaluate(m->trainer, m->data, m->cancel, &evaluation);
        m->code = nest_error_code(error);
        nest_error_free(error);
    } while (!m->once && (m->code == 0 || m->code == NEST_ERROR_BUSY));
    atomic_store(&m->ended, 1);
    return NULL;
}

/* The other thread is refused at once, and cancels what is in its way. */
static void two_threads(fixture *f) {
    measurer m = {.trainer = f->trainer, .data = f->data};
    nest_training_progress progress = {.struct_size = sizeof progress};
    pthread_t thread;
    int refused = 0;
    OK(nest_cancel_new(&m.cancel));
    CHECK(pthread_create(&thread, NULL, measure, &m) == 0);
    while (!refused) {
        nest_error *error = nest_trainer_get_progress(f->trainer, &progress);
        refused = nest_error_code(error) == NEST_ERROR_BUSY;
        nest_error_free(error);
    }
    nest_cancel_trigger(m.cancel);
    pthread_join(thread, NULL);
    CHECK(m.code == NEST_ERROR_CANCELLED);
    nest_cancel_free(m.cancel);
    OK(nest_trainer_get_progress(f->trainer, &progress));
}

/* A trainer is freed while a call with it is in flight: the call ends, well or cancelled, and lets go. */
static void freed_in_flight(fixture *f) {
    int in_flight = 0;
    while (!in_flight) {
        measurer m = {.trainer = NULL, .data = f->data, .once = 1};
        nest_training_progress progress = {.struct_size = sizeof progress};
        pthread_t thread;
        OK(nest_trainer_new(f->model, f->data, NULL, f->training, &m.trainer));
        CHECK(pthread_create(&thread, NULL, measure, &m) == 0);
        while (!in_flight && !atomic_load(&m.ended)) {
            nest_error *error = nest_trainer_get_progress(m.trainer, &progress);
            in_flight = nest_error_code(error) == NEST_ERROR_BUSY;
            nest_error_free(error);
        }
        /* Freed in the call, or after it: a call that has not begun would be one with a freed handle. */
        nest_trainer_free(m.trainer);
        pthread_join(thread, NULL);
        CHECK(m.code == 0 || m.code == NEST_ERROR_CANCELLED || m.code == NEST_ERROR_BUSY);
    }
}

/* A whole training beside a session of the same model. */
static void *train(void *data) {
    nest_trainer *trainer = data;
    nest_training_step step = {.struct_size = sizeof step};
    int32_t has_step = 1;
    while (has_step) {
        OK(nest_trainer_step(trainer, NULL, &step, &has_step));
    }
    CHECK(step.finished == 1 && step.step == step.total_steps);
    return NULL;
}

static void beside_a_session(fixture *f) {
    nest_trainer *trainer = NULL;
    int32_t first[8], again[8];
    pthread_t thread;
    int round;
    OK(nest_trainer_new(f->model, f->data, NULL, f->training, &trainer));
    for (round = 0; round < 2; round++) {
        nest_generation *generation = NULL;
        nest_piece piece = {.struct_size = sizeof piece};
        int32_t has_piece = 0;
        int i;
        if (round == 1) {
            CHECK(pthread_create(&thread, NULL, train, trainer) == 0);
        }
        OK(nest_session_reset(f->session));
        OK(nest_generation_new_text(f->session, "hello", -1, f->options, NULL, &generation));
        for (i = 0; i < 8; i++) {
            OK(nest_generation_next(generation, &piece, &has_piece));
            (round == 0 ? first : again)[i] = piece.token;
        }
        nest_generation_free(generation);
    }
    pthread_join(thread, NULL);
    CHECK(memcmp(first, again, sizeof first) == 0);
    nest_trainer_free(trainer);
    OK(nest_session_reset(f->session));
}

/* Model, data, trainer, its adapter: freed in every order, the others used as long as they are there. */
static void every_order(fixture *f) {
    int n;
    for (n = 0; n < 24; n++) {
        nest_model *model = NULL;
        nest_dataset *data = NULL;
        nest_trainer *trainer = NULL;
        nest_adapter *adapter = NULL;
        nest_options *options = NULL;
        nest_session *session = NULL;
        nest_training_step step = {.struct_size = sizeof step};
        int32_t ids[3] = {65, 66, 67};
        int32_t has_step = 0;
        uint64_t reused = 0;
        int order[5], i;
        permutation(n, 4, order);
        OK(nest_model_open(f->source, NULL, NULL, &model));
        OK(nest_dataset_new(f->examples, NULL, &data));
        OK(nest_trainer_new(model, data, NULL, f->training, &trainer));
        OK(nest_trainer_step(trainer, NULL, &step, &has_step));
        OK(nest_trainer_adapter(trainer, &adapter));
        OK(nest_options_new("session", &options));
        OK(nest_options_set_int(options, "n_ctx", 16));
        OK(nest_options_set_int(options, "n_threads", 1));
        OK(nest_options_add_adapter(options, adapter, 1));
        OK(nest_session_new(model, options, &session));
        nest_options_free(options);
        for (i = 0; i < 4; i++) {
            switch (order[i]) {
            case 0:
                nest_model_free(model);
                break;
            case 1:
                nest_dataset_free(data);
                break;
            case 2:
                nest_trainer_free(trainer);
                trainer = NULL;
                break;
            default:
                nest_adapter_free(adapter);
            }
            OK(nest_session_evaluate(session, ids, 3, NULL, &reused));
            if (trainer != NULL) {
                OK(nest_trainer_step(trainer, NULL, &step, &has_step));
                CHECK(has_step == 1);
            }
        }
        nest_session_free(session);
    }
}

static void all(fixture *f) {
    cancelled(f);
    two_threads(f);
    freed_in_flight(f);
    beside_a_session(f);
    every_order(f);
}

int main(int argc, char **argv) {
    return with_fixture(argc, argv, all);
}
