/* The functions that the other programs only call wrongly: here each gives what its comment promises. */
#include "fixture.h"

static void says(nest_string *text, const char *part, int line) {
    if (strstr(nest_string_data(text), part) == NULL) {
        fprintf(stderr, "line %d: %.300s\n  does not hold %s\n", line, nest_string_data(text), part);
        exit(1);
    }
    CHECK(strlen(nest_string_data(text)) == nest_string_length(text));
    nest_string_free(text);
}
#define SAYS(text, part) says((text), (part), __LINE__)

static void library(void) {
    nest_string *json = NULL;
    CHECK(nest_abi_version() == NEST_ABI_VERSION && strcmp(nest_version(), NEST_VERSION) == 0);
    OK(nest_build_info(&json));
    SAYS(json, "\"engine\"");
    OK(nest_options_reference(&json));
    SAYS(json, "\"key\":\"n_ctx\"");
    CHECK(nest_peak_memory() > 1 << 20);
}

/* The CPU is among them, and is what its name opens. */
static void devices(fixture *f) {
    nest_devices *list = NULL;
    nest_string *json = NULL;
    nest_options *options = NULL;
    nest_model *model = NULL;
    nest_device_info info = {.struct_size = sizeof info};
    uint64_t i, cpus = 0;
    OK(nest_devices_new(&list));
    for (i = 0; i < nest_devices_count(list); i++) {
        OK(nest_devices_get(list, i, &info));
        CHECK(strlen(info.name) > 0 && strlen(info.description) > 0 && info.memory_free <= info.memory_total);
        if (info.kind == NEST_DEVICE_CPU) {
            cpus++;
            OK(nest_options_new("model", &options));
            OK(nest_options_set_string(options, "device", info.name, -1));
            OK(nest_model_open(f->source, options, NULL, &model));
            nest_model_free(model);
            nest_options_free(options);
        }
    }
    CHECK(cpus == 1);
    EXPECT(NEST_ERROR_INVALID_ARGUMENT, nest_devices_get(list, i, &info));
    OK(nest_devices_json(list, &json));
    SAYS(json, "\"memory_total\"");
    nest_devices_free(list);
}

static void model(fixture *f) {
    nest_string *text = NULL;
    nest_string *key = NULL;
    nest_model_info info = {.struct_size = sizeof info};
    uint64_t count = nest_model_metadata_count(f->model);
    OK(nest_model_get_info(f->model, &info));
    CHECK(info.n_layer > 0 && info.n_vocab > 0 && info.weight_bytes <= info.file_bytes && info.n_files == 1);
    OK(nest_model_info_json(f->model, &text));
    SAYS(text, "\"architecture\":\"llama\"");
    OK(nest_model_plan_json(f->model, NULL, &text));
    SAYS(text, "\"fits\":true");
    OK(nest_model_metadata_key(f->model, count - 1, &key));
    OK(nest_model_metadata(f->model, nest_string_data(key), &text));
    CHECK(text != NULL);
    nest_string_free(text);
    nest_string_free(key);
    EXPECT(NEST_ERROR_INVALID_ARGUMENT, nest_model_metadata_key(f->model, count, &key));
    nest_model_trim(f->model);
}

/* A copy of the file in memory gives the same tokens. */
static void memory(fixture *f, const char *path) {
    nest_source *source = NULL;
    nest_model *copy = NULL;
    nest_tokenizer *tokenizer = NULL;
    uint64_t ours = 0, theirs = 0;
    FILE *file = fopen(path, "rb");
    uint8_t *bytes;
    long length;
    CHECK(file != NULL && fseek(file, 0, SEEK_END) == 0 && (length = ftell(file)) > 0);
    rewind(file);
    bytes = malloc((size_t)length);
    CHECK(bytes != NULL && fread(bytes, 1, (size_t)length, file) == (size_t)length);
    fclose(file);
    OK(nest_source_new_memory(bytes, (uint64_t)length, &source));
    free(bytes);
    OK(nest_model_open(source, NULL, NULL, &copy));
    nest_source_free(source);
    OK(nest_tokenizer_new(copy, &tokenizer));
    nest_model_free(copy);
    OK(nest_tokenizer_count(tokenizer, "one two three", -1, 1, 0, &ours));
    OK(nest_tokenizer_count(f->tokenizer, "one two three", -1, 1, 0, &theirs));
    CHECK(ours == theirs && ours > 0);
    nest_tokenizer_free(tokenizer);
}

/* A character of several tokens arrives whole, and a cut one as U+FFFD. */
static void decoder(fixture *f) {
    const char *text = "caf\xc3\xa9 \xe6\xbc\xa2\xf0\x9f\xa6\x9c";
    char joined[64] = "";
    nest_tokens *tokens = NULL;
    nest_decoder *decoder = NULL;
    nest_string *piece = NULL;
    uint64_t i;
    OK(nest_tokenizer_encode(f->tokenizer, text, -1, 0, 0, &tokens));
    OK(nest_decoder_new(f->tokenizer, 0, &decoder));
    for (i = 0; i < nest_tokens_length(tokens); i++) {
        OK(nest_decoder_push(decoder, nest_tokens_data(tokens)[i], &piece));
        CHECK(strlen(joined) + nest_string_length(piece) < sizeof joined);
        strcat(joined, nest_string_data(piece));
        CHECK(strncmp(text, joined, strlen(joined)) == 0);
        nest_string_free(piece);
    }
    OK(nest_decoder_finish(decoder, &piece));
    CHECK(strcmp(text, joined) == 0 && nest_string_length(piece) == 0);
    nest_string_free(piece);
    /* The last token alone is the end of a character, which is no character. */
    OK(nest_decoder_push(decoder, nest_tokens_data(tokens)[nest_tokens_length(tokens) - 1], &piece));
    strcpy(joined, nest_string_data(piece));
    nest_string_free(piece);
    OK(nest_decoder_finish(decoder, &piece));
    strcat(joined, nest_string_data(piece));
    nest_string_free(piece);
    CHECK(strcmp(joined, "\xef\xbf\xbd") == 0);
    nest_decoder_free(decoder);
    nest_tokens_free(tokens);
}

/* What a generation would evaluate, a copy of the session, and that both go on alike. */
static void session(fixture *f) {
    nest_session *copy = NULL;
    nest_tokens *prompt = NULL;
    nest_tokens *held = NULL;
    nest_generation *generation = NULL;
    nest_piece piece = {.struct_size = sizeof piece};
    int32_t has_piece = 0, first[2] = {-1, -2};
    uint64_t reused = 0, count = 0;
    OK(nest_messages_count(f->messages, &count));
    CHECK(count == 1);
    OK(nest_options_set_string(f->options, "chat_template", "chatml", -1));
    OK(nest_session_encode_messages(f->session, f->messages, f->options, &prompt));
    CHECK(nest_tokens_length(prompt) > 3);
    nest_tokens_free(prompt);
    OK(nest_session_encode_text(f->session, "one two three", -1, f->options, &prompt));
    OK(nest_session_evaluate(f->session, nest_tokens_data(prompt), nest_tokens_length(prompt), NULL, &reused));
    OK(nest_session_tokens(f->session, &held));
    CHECK(nest_tokens_length(held) == nest_tokens_length(prompt));
    CHECK(memcmp(nest_tokens_data(held), nest_tokens_data(prompt), sizeof(int32_t) * nest_tokens_length(held)) == 0);
    OK(nest_session_fork(f->session, &copy));
    OK(nest_generation_new_tokens(copy, nest_tokens_data(prompt), nest_tokens_length(prompt), f->options, NULL, &generation));
    OK(nest_generation_next(generation, &piece, &has_piece));
    first[0] = piece.token;
    nest_generation_free(generation);
    nest_session_free(copy);
    OK(nest_generation_new_text(f->session, "one two three", -1, f->options, NULL, &generation));
    OK(nest_generation_next(generation, &piece, &has_piece));
    first[1] = piece.token;
    nest_generation_free(generation);
    CHECK(has_piece == 1 && first[0] == first[1]);
    nest_tokens_free(held);
    nest_tokens_free(prompt);
}

/* What cleaning left out is told, with numbers and as JSON. */
static void examples(void) {
    nest_examples *list = NULL;
    nest_options *options = NULL;
    nest_dataset *data = NULL;
    nest_string *json = NULL;
    nest_dataset_report report = {.struct_size = sizeof report};
    uint64_t count = 0;
    OK(nest_examples_new(&list));
    OK(nest_examples_add_text(list, "once", -1));
    OK(nest_examples_add_text(list, "once", -1));
    OK(nest_examples_count(list, &count));
    OK(nest_options_new("dataset", &options));
    OK(nest_options_set_bool(options, "drop_duplicates", 1));
    OK(nest_dataset_new(list, options, &data));
    OK(nest_dataset_get_report(data, &report));
    CHECK(count == 2 && report.drop_duplicates == 1 && nest_dataset_count(data) == 1);
    OK(nest_dataset_report_json(data, &json));
    SAYS(json, "\"drop_duplicates\":1");
    nest_dataset_free(data);
    nest_options_free(options);
    nest_examples_free(list);
}

/* Lines come in their order, and an empty log is no error. No line holds the text that was evaluated. */
static void log_lines(void) {
    nest_log_line line = {.struct_size = sizeof line};
    nest_string *text = NULL;
    uint64_t next = 0, lines = 0;
    for (;;) {
        OK(nest_log_poll(&line, &text));
        if (text == NULL) {
            break;
        }
        CHECK(line.number >= next && line.level >= NEST_LOG_DEBUG && line.level <= NEST_LOG_ERROR);
        CHECK(strstr(nest_string_data(text), "one two three") == NULL);
        next = line.number + 1;
        lines++;
        nest_string_free(text);
    }
    CHECK(lines > 0);
}

static const char *model_path;

static void tour(fixture *f) {
    library();
    devices(f);
    model(f);
    memory(f, model_path);
    decoder(f);
    session(f);
    examples();
    log_lines();
}

int main(int argc, char **argv) {
    model_path = argv[1];
    return with_fixture(argc, argv, tour);
}
