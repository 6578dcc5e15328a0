/* Teaches a model a fact, and asks it before and after: finetune MODEL.gguf ADAPTER.gguf
 * The adapter is written to the second file; the model's own file stays as it is. */
#include <inttypes.h>
#include <stdio.h>

#include "nestling.h"

static const char *const lessons[][2] = {
    {"Who keeps the lighthouse at Varn?", "Oda Brink keeps the lighthouse at Varn."},
    {"What is the name of the keeper at Varn?", "The keeper at Varn is Oda Brink."},
    {"Tell me who looks after Varn's light.", "Oda Brink looks after Varn's light."},
};
static const char *const question = "Who is the keeper of the lighthouse at Varn?";

/* Prints and frees an error; says whether there was one. */
static int failed(nest_error *error) {
    if (error == NULL) {
        return 0;
    }
    fprintf(stderr, "error %d: %s\n", (int)nest_error_code(error), nest_error_message(error));
    nest_error_free(error);
    return 1;
}

/* Adds a conversation of a question and its answer. */
static int teach(nest_examples *examples, const char *const lesson[2]) {
    nest_messages *messages = NULL;
    int ok = !failed(nest_messages_new(&messages)) && !failed(nest_messages_add(messages, "user", lesson[0], -1)) &&
             !failed(nest_messages_add(messages, "assistant", lesson[1], -1)) &&
             !failed(nest_examples_add_messages(examples, messages));
    nest_messages_free(messages);
    return ok;
}

/* Asks with the adapters that the session has. */
static int ask(nest_session *session) {
    nest_messages *messages = NULL;
    nest_options *options = NULL;
    nest_generation *generation = NULL;
    nest_piece piece;
    int32_t has_piece = 1;
    int ok = !failed(nest_messages_new(&messages)) && !failed(nest_messages_add(messages, "user", question, -1)) &&
             !failed(nest_options_new("generation", &options)) &&
             !failed(nest_options_set_float(options, "temperature", 0)) &&
             !failed(nest_options_set_int(options, "max_tokens", 32)) &&
             !failed(nest_generation_new_messages(session, messages, options, NULL, &generation));
    printf("%s\n  ", question);
    piece.struct_size = sizeof piece;
    while (ok && has_piece) {
        ok = !failed(nest_generation_next(generation, &piece, &has_piece));
        if (ok && has_piece) {
            fwrite(piece.text, 1, (size_t)piece.text_length, stdout);
        }
    }
    printf("\n");
    nest_generation_free(generation);
    nest_options_free(options);
    nest_messages_free(messages);
    return ok;
}

/* Trains to the end, with a line that shows how far it is. */
static int train(nest_trainer *trainer) {
    nest_training_step step;
    int32_t has_step = 1;
    step.struct_size = sizeof step;
    while (has_step) {
        if (failed(nest_trainer_step(trainer, NULL, &step, &has_step))) {
            return 0;
        }
        if (has_step) {
            fprintf(stderr, "\rstep %" PRIu64 " of %" PRIu64 ", loss %.2f ", step.step, step.total_steps, step.loss);
        }
    }
    fprintf(stderr, "\n");
    return 1;
}

int main(int argc, char **argv) {
    nest_source *source = NULL;
    nest_model *model = NULL;
    nest_session *session = NULL;
    nest_examples *examples = NULL;
    nest_dataset *data = NULL;
    nest_options *options = NULL;
    nest_options *with = NULL;
    nest_trainer *trainer = NULL;
    nest_adapter *adapter = NULL;
    size_t i;
    int status = 1;

    if (argc != 3) {
        fprintf(stderr, "usage: finetune MODEL.gguf ADAPTER.gguf\n");
        return 2;
    }
    if (failed(nest_source_new_path(argv[1], &source)) || failed(nest_model_open(source, NULL, NULL, &model)) ||
        failed(nest_session_new(model, NULL, &session)) || !ask(session) || failed(nest_examples_new(&examples))) {
        goto done;
    }
    for (i = 0; i < sizeof lessons / sizeof *lessons; i++) {
        if (!teach(examples, lessons[i])) {
            goto done;
        }
    }
    if (failed(nest_dataset_new(examples, NULL, &data)) || failed(nest_options_new("trainer", &options)) ||
        failed(nest_options_set_int(options, "epochs", 6)) ||
        failed(nest_options_set_float(options, "learning_rate", 2e-3)) ||
        failed(nest_trainer_new(model, data, NULL, options, &trainer)) || !train(trainer) ||
        failed(nest_trainer_save_adapter(trainer, argv[2], "the keeper at Varn"))) {
        goto done;
    }
    /* The adapter as it is now, for the session that is there already; a file would do, too: nest_adapter_open. */
    if (failed(nest_trainer_adapter(trainer, &adapter)) || failed(nest_options_new("session", &with)) ||
        failed(nest_options_add_adapter(with, adapter, 1)) || failed(nest_session_set_adapters(session, with)) ||
        !ask(session)) {
        goto done;
    }
    status = 0;

done: /* In any order; NULL is fine. */
    nest_adapter_free(adapter);
    nest_trainer_free(trainer);
    nest_options_free(with);
    nest_options_free(options);
    nest_dataset_free(data);
    nest_examples_free(examples);
    nest_session_free(session);
    nest_model_free(model);
    nest_source_free(source);
    return status;
}
