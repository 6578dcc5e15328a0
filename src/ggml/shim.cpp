// The engine's entry points that can throw, wrapped: no C++ exception may cross into Rust.
//
// Every function returns a status (0: returned, 1: out of memory, 2: another exception) and, for the
// last two, writes the exception's text to `why`. What the engine itself returned goes to an out parameter.

#include "ggml-backend.h"
#include "llama.h"

#include <cstdio>
#include <cstring>
#include <exception>
#include <map>
#include <new>

// From the engine's llama-ext.h, which it does not install.
struct llama_memory_breakdown_data {
    size_t model;
    size_t context;
    size_t compute;
};
using llama_memory_breakdown = std::map<ggml_backend_buffer_type_t, llama_memory_breakdown_data>;
llama_memory_breakdown llama_get_memory_breakdown(const struct llama_context * ctx);

struct nestling_shim_memory {
    ggml_backend_buffer_type_t buft;
    size_t model;
    size_t context;
    size_t compute;
};

namespace {

constexpr size_t why_size = 512;

void write_why(char * why, const char * text) noexcept {
    std::snprintf(why, why_size, "%s", text);
}

template <class F>
int32_t guarded(char * why, F && body) noexcept {
    try {
        body();
        return 0;
    } catch (const std::bad_alloc &) {
        write_why(why, "out of memory");
        return 1;
    } catch (const std::exception & e) {
        write_why(why, e.what());
    } catch (...) {
        write_why(why, "unknown exception");
    }
    return 2;
}

} // namespace

extern "C" {

int32_t nestling_shim_load_file(FILE * file, const llama_model_params * params, llama_model ** out, char * why) {
    return guarded(why, [&] { *out = llama_model_load_from_file_ptr(file, *params); });
}

int32_t nestling_shim_load_splits(const char ** paths, size_t n, const llama_model_params * params,
                                  llama_model ** out, char * why) {
    return guarded(why, [&] { *out = llama_model_load_from_splits(paths, n, *params); });
}

int32_t nestling_shim_context_new(llama_model * model, const llama_context_params * params, llama_context ** out, char * why) {
    return guarded(why, [&] { *out = llama_init_from_model(model, *params); });
}

int32_t nestling_shim_graph_compute(ggml_backend_t backend, ggml_cgraph * graph, int32_t * out, char * why) {
    return guarded(why, [&] { *out = ggml_backend_graph_compute(backend, graph); });
}

int32_t nestling_shim_decode(llama_context * ctx, const llama_batch * batch, int32_t * out, char * why) {
    return guarded(why, [&] { *out = llama_decode(ctx, *batch); });
}

int32_t nestling_shim_encode(llama_context * ctx, const llama_batch * batch, int32_t * out, char * why) {
    return guarded(why, [&] { *out = llama_encode(ctx, *batch); });
}

int32_t nestling_shim_pooled(llama_context * ctx, llama_seq_id seq, float ** out, char * why) {
    return guarded(why, [&] { *out = llama_get_embeddings_seq(ctx, seq); });
}

int32_t nestling_shim_token_vector(llama_context * ctx, int32_t i, float ** out, char * why) {
    return guarded(why, [&] { *out = llama_get_embeddings_ith(ctx, i); });
}

int32_t nestling_shim_logits(llama_context * ctx, int32_t i, float ** out, char * why) {
    return guarded(why, [&] { *out = llama_get_logits_ith(ctx, i); });
}

int32_t nestling_shim_state_size(llama_context * ctx, llama_seq_id seq, size_t * out, char * why) {
    return guarded(why, [&] { *out = llama_state_seq_get_size(ctx, seq); });
}

int32_t nestling_shim_state_get(llama_context * ctx, llama_seq_id seq, uint8_t * data, size_t size, size_t * out, char * why) {
    return guarded(why, [&] { *out = llama_state_seq_get_data(ctx, data, size, seq); });
}

int32_t nestling_shim_state_set(llama_context * ctx, llama_seq_id seq, const uint8_t * data, size_t size, size_t * out, char * why) {
    return guarded(why, [&] { *out = llama_state_seq_set_data(ctx, data, size, seq); });
}

int32_t nestling_shim_seq_rm(llama_context * ctx, llama_seq_id seq, llama_pos from, llama_pos to, bool * out, char * why) {
    return guarded(why, [&] { *out = llama_memory_seq_rm(llama_get_memory(ctx), seq, from, to); });
}

int32_t nestling_shim_adapter_load(llama_model * model, FILE * file, llama_adapter_lora ** out, char * why) {
    return guarded(why, [&] { *out = llama_adapter_lora_init_from_file_ptr(model, file); });
}

int32_t nestling_shim_adapters_set(llama_context * ctx, llama_adapter_lora ** adapters, size_t n, float * scales,
                                   int32_t * out, char * why) {
    return guarded(why, [&] { *out = llama_set_adapters_lora(ctx, adapters, n, scales); });
}

int32_t nestling_shim_tokenize(const llama_vocab * vocab, const char * text, int32_t len, llama_token * tokens, int32_t capacity,
                               bool add_special, bool parse_special, int32_t * out, char * why) {
    return guarded(why, [&] { *out = llama_tokenize(vocab, text, len, tokens, capacity, add_special, parse_special); });
}

int32_t nestling_shim_token_to_piece(const llama_vocab * vocab, llama_token token, char * piece, int32_t size, bool special,
                                     int32_t * out, char * why) {
    return guarded(why, [&] { *out = llama_token_to_piece(vocab, token, piece, size, 0, special); });
}

int32_t nestling_shim_memory_breakdown(const llama_context * ctx, nestling_shim_memory * parts, size_t capacity,
                                       size_t * out, char * why) {
    return guarded(why, [&] {
        *out = 0;
        for (const auto & [buft, data] : llama_get_memory_breakdown(ctx)) {
            if (*out == capacity) {
                break;
            }
            parts[(*out)++] = { buft, data.model, data.context, data.compute };
        }
    });
}

} // extern "C"
