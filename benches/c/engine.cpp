// The engine driven by a bare loop, with its best settings: what the library is measured against.
//
//     engine rate MODEL TEXT THREADS REPEATS     prompt of 512 tokens; 128 tokens after a prompt of 16
//     engine prompt MODEL TEXT THREADS REPEATS   only the prompt
//     engine open MODEL                          load and free
//     engine peak MODEL TEXT THREADS             load, 64 tokens, peak memory
//     engine points MODEL TEXT THREADS REPEATS POINT...   prompts and decodes of these lengths (see bench.h)
//
// Best settings: a thread pool that stays, micro-batches of 512, flash attention where the engine wants it, logits
// for the last token only, the most likely token taken by one pass over them, nothing turned into text.

#include "bench.h"
#include "ggml-cpu.h"
#include "llama.h"

#include <vector>

struct Engine {
    llama_model *model;
    llama_context *context = nullptr;
    ggml_threadpool *pool = nullptr;
    const llama_vocab *vocab;
    int n_vocab;

    explicit Engine(const char *path) {
        model = llama_model_load_from_file(path, llama_model_default_params());
        if (model == nullptr) bench_fail("the model cannot be loaded");
        vocab = llama_model_get_vocab(model);
        n_vocab = llama_vocab_n_tokens(vocab);
    }

    ~Engine() {
        if (context != nullptr) llama_free(context);
        if (pool != nullptr) ggml_threadpool_free(pool);
        llama_model_free(model);
    }

    void start(int threads, int n_ctx) {
        llama_context_params params = llama_context_default_params();
        params.n_ctx = n_ctx;
        params.n_batch = 512;
        params.n_ubatch = 512;
        params.n_threads = threads;
        params.n_threads_batch = threads;
        params.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_AUTO;
        params.no_perf = true;
        context = llama_init_from_model(model, params);
        if (context == nullptr) bench_fail("no context");
        ggml_threadpool_params pool_params = ggml_threadpool_params_default(threads);
        pool = ggml_threadpool_new(&pool_params);
        llama_attach_threadpool(context, pool, pool);
    }

    std::vector<llama_token> tokens(const char *file, int times, int wanted) {
        char *text = bench_text(file, times);
        std::vector<llama_token> list(strlen(text) + 8);
        int n = llama_tokenize(vocab, text, (int32_t)strlen(text), list.data(), (int32_t)list.size(), true, false);
        free(text);
        if (n < wanted) bench_fail("the text is too short");
        list.resize(wanted);
        return list;
    }

    void clear() { llama_memory_clear(llama_get_memory(context), false); }

    // Evaluates, in batches of what the context takes; logits of the last token only.
    void evaluate(llama_token *list, int n) {
        const int most = (int)llama_n_batch(context);
        for (int i = 0; i < n; i += most) {
            const int part = n - i < most ? n - i : most;
            if (llama_decode(context, llama_batch_get_one(list + i, part)) != 0) bench_fail("decode");
        }
        llama_synchronize(context);
    }

    // Evaluates and returns the most likely next token.
    llama_token next(llama_token *list, int n) {
        if (llama_decode(context, llama_batch_get_one(list, n)) != 0) bench_fail("decode");
        const float *logits = llama_get_logits_ith(context, -1);
        llama_token best = 0;
        for (llama_token i = 1; i < n_vocab; i++) {
            if (logits[i] > logits[best]) best = i;
        }
        return best;
    }
};

static void rate(Engine &engine, const char *text, int threads, int repeats, bool decodes) {
    engine.start(threads, N_CTX);
    std::vector<llama_token> prompt = engine.tokens(text, 4, N_PROMPT);
    double prompt_s[MAX_REPEATS], decode_s[2][MAX_REPEATS];
    uint64_t output = 0;
    for (int i = -1; i < repeats; i++) { // the first pass warms up
        bench_turn();
        engine.clear();
        double start = bench_now();
        std::vector<llama_token> answer = {engine.next(prompt.data(), N_PROMPT)};
        double time = bench_now() - start;
        output = bench_hash(0, answer.data(), answer.size());
        if (i >= 0) prompt_s[i] = time;
        if (!decodes) continue;

        // Twice: a neighbour in time for each of the library's two.
        for (auto &times : decode_s) {
            bench_turn();
            engine.clear();
            llama_token token = engine.next(prompt.data(), N_SHORT);
            answer = {token};
            start = bench_now();
            for (int k = 0; k < N_DECODE; k++) {
                token = engine.next(&token, 1);
                answer.push_back(token);
            }
            time = bench_now() - start;
            if (i >= 0) times[i] = time;
        }
        output = bench_hash(output, answer.data(), answer.size());
    }
    bench_print_list("prompt_s", prompt_s, repeats);
    if (decodes) {
        bench_print_list("greedy_s", decode_s[0], repeats);
        bench_print_list("sampled_s", decode_s[1], repeats);
    }
    printf("\"input\":\"%016llx\",", (unsigned long long)bench_hash(0, prompt.data(), prompt.size()));
    printf("\"output\":\"%016llx\",", (unsigned long long)output);
}

// Seconds of one measurement; a decode finds its context in the cache, except the first time.
static double measure(Engine &engine, std::vector<llama_token> &tokens, bench_point point) {
    if (!point.decodes) {
        double start = bench_now();
        for (int i = 0; i < bench_times(point); i++) {
            engine.clear();
            engine.evaluate(tokens.data(), point.n);
        }
        return bench_now() - start;
    }
    llama_memory_t memory = llama_get_memory(engine.context);
    const int last = point.n - 1;
    if (llama_memory_seq_pos_max(memory, 0) < last - 1) {
        engine.clear();
        engine.evaluate(tokens.data(), last);
    }
    llama_memory_seq_rm(memory, 0, last, -1);
    llama_token token = engine.next(&tokens[last], 1);
    double start = bench_now();
    for (int i = 0; i < N_STEPS; i++) token = engine.next(&token, 1);
    return bench_now() - start;
}

static void points(Engine &engine, const char *text, int threads, int repeats, char **names, int n) {
    engine.start(threads, N_CTX_POINTS);
    std::vector<llama_token> tokens = engine.tokens(text, 16, N_CTX_POINTS);
    double times[MAX_REPEATS];
    for (int i = 0; i < n; i++) {
        bench_point point = bench_parse(names[i]);
        for (int k = -1; k < repeats; k++) { // the first one warms up
            bench_turn();
            double time = measure(engine, tokens, point);
            if (k >= 0) times[k] = time;
        }
        bench_print_list(names[i], times, repeats);
    }
}

static void peak(Engine &engine, const char *text, int threads) {
    engine.start(threads, N_CTX);
    std::vector<llama_token> prompt = engine.tokens(text, 4, N_PROMPT);
    llama_token token = engine.next(prompt.data(), N_SHORT);
    double start = bench_now();
    for (int k = 1; k < N_PEAK; k++) token = engine.next(&token, 1);
    printf("\"rate\":%.3f,", (N_PEAK - 1) / (bench_now() - start));
    bench_print_memory();
}

int main(int argc, char **argv) {
    if (argc < 3) bench_fail("usage: engine rate|prompt|open|peak|points MODEL [TEXT THREADS [REPEATS [POINT...]]]");
    llama_log_set([](ggml_log_level, const char *, void *) {}, nullptr);
    llama_backend_init();
    const char *mode = argv[1];
    double start = bench_now();
    {
        Engine engine(argv[2]);
        printf("{\"open_s\":%.9f,", bench_now() - start);
        const bool decodes = !strcmp(mode, "rate");
        if ((decodes || !strcmp(mode, "prompt")) && argc == 6) {
            int repeats = atoi(argv[5]);
            if (repeats < 1 || repeats > MAX_REPEATS) bench_fail("1 to 64 repeats");
            rate(engine, argv[3], atoi(argv[4]), repeats, decodes);
        } else if (!strcmp(mode, "points") && argc > 6) {
            int repeats = atoi(argv[5]);
            if (repeats < 1 || repeats > MAX_REPEATS) bench_fail("1 to 64 repeats");
            points(engine, argv[3], atoi(argv[4]), repeats, argv + 6, argc - 6);
        } else if (!strcmp(mode, "peak") && argc == 5) {
            peak(engine, argv[3], atoi(argv[4]));
        } else if (strcmp(mode, "open") || argc != 3) {
            bench_fail("unknown mode or wrong number of arguments");
        }
    }
    printf("\"done\":true}\n");
    return 0;
}
