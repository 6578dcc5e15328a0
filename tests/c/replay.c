/* Replays contract cases: each line of the standard input is a call with its arguments between tabs, each line of
 * the output what it gave. */
#include "check.h"
#include "replay_learning.h"

#define FIELDS 32

static nest_model *model;
static nest_tokenizer *tokenizer;
static nest_session *session;
static nest_options *options;

/* Prints what a call failed with; says whether it did. */
static int failed(nest_error *error) {
    if (error == NULL) {
        return 0;
    }
    printf("error %d\n", (int)nest_error_code(error));
    nest_error_free(error);
    return 1;
}

static void print_text(const char *text, uint64_t length) {
    uint64_t i;
    for (i = 0; i < length; i++) {
        switch (text[i]) {
        case '\n':
            fputs("\\n", stdout);
            break;
        case '\t':
            fputs("\\t", stdout);
            break;
        default:
            putchar(text[i]);
        }
    }
}

static void give_text(nest_string *string) {
    if (string == NULL) {
        printf("none\n");
        return;
    }
    printf("text ");
    print_text(nest_string_data(string), nest_string_length(string));
    printf("\n");
    nest_string_free(string);
}

static void give_tokens(nest_tokens *tokens) {
    uint64_t i;
    printf("tokens");
    for (i = 0; i < nest_tokens_length(tokens); i++) {
        printf(" %d", (int)nest_tokens_data(tokens)[i]);
    }
    printf("\n");
    nest_tokens_free(tokens);
}

static void open_path(const char *path) {
    nest_source *source = NULL;
    nest_model *opened = NULL;
    if (!failed(nest_source_new_path(path, &source)) && !failed(nest_model_open(source, NULL, NULL, &opened))) {
        if (model == NULL) {
            model = opened;
            opened = NULL;
            OK(nest_tokenizer_new(model, &tokenizer));
            OK(nest_session_new(model, NULL, &session));
        }
        printf("ok\n");
    }
    nest_model_free(opened);
    nest_source_free(source);
}

static void inspect(const char *path, const char *part) {
    nest_source *source = NULL;
    nest_string *json = NULL;
    OK(nest_source_new_path(path, &source));
    if (!failed(nest_model_inspect(source, &json))) {
        printf("%s\n", strstr(nest_string_data(json), part) != NULL ? "ok" : "none");
    }
    nest_string_free(json);
    nest_source_free(source);
}

/* The remaining fields are keys and values. */
static int set_options(char **field, int n) {
    nest_options_free(options);
    options = options_of("generation", field, n);
    return options != NULL;
}

static void render(const char *json) {
    nest_messages *messages = NULL;
    nest_string *text = NULL;
    if (!failed(nest_messages_new_json(json, -1, &messages)) &&
        !failed(nest_session_render_messages(session, messages, options, &text))) {
        give_text(text);
    }
    nest_messages_free(messages);
}

static void generate(const char *prompt) {
    nest_generation *generation = NULL;
    nest_piece piece = {.struct_size = sizeof piece};
    int32_t has_piece = 1, reason = 0, n = 0;
    int32_t tokens[256];
    OK(nest_session_reset(session));
    if (failed(nest_generation_new_text(session, prompt, -1, options, NULL, &generation))) {
        return;
    }
    while (!failed(nest_generation_next(generation, &piece, &has_piece))) {
        if (!has_piece) {
            int32_t i;
            OK(nest_generation_end_reason(generation, &reason));
            printf("end %d tokens", (int)reason);
            for (i = 0; i < n; i++) {
                printf(" %d", (int)tokens[i]);
            }
            printf("\n");
            break;
        }
        CHECK(n < 256);
        tokens[n++] = piece.token;
    }
    nest_generation_free(generation);
}

/* Splits at tabs, in place; \n, \t and \\ stand for what they stand for in C. */
static int split(char *line, char **field) {
    int n = 0;
    char *to = line;
    field[n++] = line;
    for (; *line != '\0' && *line != '\n'; line++) {
        if (*line == '\t') {
            CHECK(n < FIELDS);
            *to++ = '\0';
            field[n++] = to;
        } else if (*line == '\\') {
            line++;
            *to++ = *line == 'n' ? '\n' : *line == 't' ? '\t' : *line;
        } else {
            *to++ = *line;
        }
    }
    *to = '\0';
    return n;
}

int main(void) {
    static char line[1 << 16];
    char *field[FIELDS];
    while (fgets(line, sizeof line, stdin) != NULL) {
        int n = split(line, field);
        const char *call = field[0];
        if (strcmp(call, "open_path") == 0 && n == 2) {
            open_path(field[1]);
        } else if (strcmp(call, "inspect") == 0 && n == 3) {
            inspect(field[1], field[2]);
        } else if (strcmp(call, "metadata") == 0 && n == 2) {
            nest_string *value = NULL;
            OK(nest_model_metadata(model, field[1], &value));
            give_text(value);
        } else if (strcmp(call, "encode") == 0 && n == 4) {
            nest_tokens *tokens = NULL;
            if (!failed(nest_tokenizer_encode(tokenizer, field[1], -1, atoi(field[2]), atoi(field[3]), &tokens))) {
                give_tokens(tokens);
            }
        } else if (strcmp(call, "decode") == 0 && n >= 2) {
            nest_string *text = NULL;
            int32_t tokens[FIELDS];
            int i;
            for (i = 2; i < n; i++) {
                tokens[i - 2] = atoi(field[i]);
            }
            if (!failed(nest_tokenizer_decode(tokenizer, tokens, (uint64_t)(n - 2), atoi(field[1]), &text))) {
                give_text(text);
            }
        } else if (strcmp(call, "render") == 0 && n >= 2) {
            if (set_options(field + 2, n - 2)) {
                render(field[1]);
            }
        } else if (strcmp(call, "generate") == 0 && n >= 2) {
            if (set_options(field + 2, n - 2)) {
                generate(field[1]);
            }
        } else if (!learning(model, field, n)) {
            fprintf(stderr, "not a call of the contract: %s with %d fields\n", call, n);
            return 1;
        }
    }
    nest_options_free(options);
    nest_dataset_free(data);
    nest_session_free(session);
    nest_tokenizer_free(tokenizer);
    nest_model_free(model);
    return 0;
}
