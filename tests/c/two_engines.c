/* Our library beside another libllama in one process. two_engines OURS THEIRS MODEL.gguf ours|theirs (which first) */
#define _GNU_SOURCE
#include <dlfcn.h>

#include "check.h"
#include "llama.h"

/* A function of a library, with the type that its header gives it. */
#define FROM(library, name) __typeof__(&name) p_##name = (__typeof__(&name))symbol((library), #name)

static void *symbol(void *library, const char *name) {
    void *found = dlsym(library, name);
    if (found == NULL) {
        fprintf(stderr, "no %s: %s\n", name, dlerror());
        exit(1);
    }
    return found;
}

static void *load(const char *path) {
    /* Global: whoever comes second could take the other's functions. */
    void *library = dlopen(path, RTLD_NOW | RTLD_GLOBAL);
    if (library == NULL) {
        fprintf(stderr, "%s\n", dlerror());
        exit(1);
    }
    return library;
}

static void quiet(enum ggml_log_level level, const char *text, void *data) {
    (void)level, (void)text, (void)data;
}

/* Their engine loads the model and computes. */
static void theirs(void *library, const char *path) {
    FROM(library, llama_log_set);
    FROM(library, llama_backend_init);
    FROM(library, llama_model_default_params);
    FROM(library, llama_model_load_from_file);
    FROM(library, llama_model_get_vocab);
    FROM(library, llama_tokenize);
    FROM(library, llama_context_default_params);
    FROM(library, llama_init_from_model);
    FROM(library, llama_batch_get_one);
    FROM(library, llama_decode);
    FROM(library, llama_get_logits);
    FROM(library, llama_free);
    FROM(library, llama_model_free);
    struct llama_context_params params;
    struct llama_model *model;
    struct llama_context *context;
    llama_token tokens[32];
    int32_t n;
    p_llama_log_set(quiet, NULL);
    p_llama_backend_init();
    model = p_llama_model_load_from_file(path, p_llama_model_default_params());
    CHECK(model != NULL);
    n = p_llama_tokenize(p_llama_model_get_vocab(model), "hello", 5, tokens, 32, 0, 0);
    CHECK(n > 0);
    params = p_llama_context_default_params();
    params.n_ctx = 64;
    params.n_threads = 1;
    params.n_threads_batch = 1;
    context = p_llama_init_from_model(model, params);
    CHECK(context != NULL && p_llama_decode(context, p_llama_batch_get_one(tokens, n)) == 0);
    printf("theirs %d %.4f\n", (int)n, (double)p_llama_get_logits(context)[0]);
    p_llama_free(context);
    p_llama_model_free(model);
}

/* Ours answers the same text, greedily. */
static void ours(void *library, const char *path) {
    FROM(library, nest_source_new_path);
    FROM(library, nest_source_free);
    FROM(library, nest_model_open);
    FROM(library, nest_model_free);
    FROM(library, nest_session_new);
    FROM(library, nest_session_free);
    FROM(library, nest_options_new);
    FROM(library, nest_options_set_float);
    FROM(library, nest_options_set_int);
    FROM(library, nest_options_free);
    FROM(library, nest_generation_new_text);
    FROM(library, nest_generation_next);
    FROM(library, nest_generation_free);
    nest_source *source = NULL;
    nest_model *model = NULL;
    nest_session *session = NULL;
    nest_options *options = NULL;
    nest_generation *generation = NULL;
    nest_piece piece = {.struct_size = sizeof piece};
    int32_t has_piece = 1;
    CHECK(p_nest_source_new_path(path, &source) == NULL);
    CHECK(p_nest_model_open(source, NULL, NULL, &model) == NULL);
    CHECK(p_nest_session_new(model, NULL, &session) == NULL);
    CHECK(p_nest_options_new("generation", &options) == NULL);
    CHECK(p_nest_options_set_float(options, "temperature", 0) == NULL);
    CHECK(p_nest_options_set_int(options, "max_tokens", 6) == NULL);
    CHECK(p_nest_generation_new_text(session, "hello", -1, options, NULL, &generation) == NULL);
    printf("ours");
    while (p_nest_generation_next(generation, &piece, &has_piece) == NULL && has_piece) {
        printf(" %d", (int)piece.token);
    }
    printf("\n");
    p_nest_generation_free(generation);
    p_nest_options_free(options);
    p_nest_session_free(session);
    p_nest_model_free(model);
    p_nest_source_free(source);
}

int main(int argc, char **argv) {
    int ours_first;
    void *our_library, *their_library;
    CHECK(argc == 5);
    ours_first = strcmp(argv[4], "ours") == 0;
    our_library = ours_first ? load(argv[1]) : NULL;
    their_library = load(argv[2]);
    our_library = ours_first ? our_library : load(argv[1]);
    /* Theirs gives its functions to everybody, ours to nobody. */
    CHECK(dlsym(RTLD_DEFAULT, "llama_decode") == symbol(their_library, "llama_decode"));
    CHECK(dlsym(our_library, "llama_decode") == NULL && dlsym(our_library, "ggml_init") == NULL);
    ours(our_library, argv[3]);
    theirs(their_library, argv[3]);
    ours(our_library, argv[3]);
    theirs(their_library, argv[3]);
    return 0;
}
