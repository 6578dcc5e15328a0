"""The weights of a GGUF file in transformers' own model, as 32-bit floats: llama, qwen2, qwen3, gemma3, phi3,
gpt2.

    model = load(gguf.GGUFReader(path))

PATHS says where the parts of a layer are in the model, by their names in GGUF.
"""

import json

import numpy as np
import torch
import transformers
from gguf.quants import dequantize

GATED = {
    "attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm",
    "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj",
}  # fmt: skip
SANDWICH = {
    "post_attention_norm": "post_attention_layernorm", "ffn_norm": "pre_feedforward_layernorm",
    "post_ffw_norm": "post_feedforward_layernorm",
    "attn_q_norm": "self_attn.q_norm", "attn_k_norm": "self_attn.k_norm",
}  # fmt: skip
GPT2 = {
    "attn_norm": "ln_1", "attn_qkv": "attn.c_attn", "attn_output": "attn.c_proj",
    "ffn_norm": "ln_2", "ffn_up": "mlp.c_fc", "ffn_down": "mlp.c_proj",
}  # fmt: skip
FUSED = {"attn_qkv": "self_attn.qkv_proj", "ffn_up": "mlp.gate_up_proj"}
NORMED = {name: SANDWICH[name] for name in ["attn_q_norm", "attn_k_norm"]}
PATHS = {
    "llama": GATED, "qwen2": GATED, "qwen3": GATED | NORMED, "gemma3": GATED | SANDWICH, "phi3": GATED | FUSED,
    "gpt2": GPT2,
}  # fmt: skip
WHOLE = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
WHOLE_GPT2 = {
    "token_embd": "transformer.wte", "position_embd": "transformer.wpe",
    "output_norm": "transformer.ln_f", "output": "lm_head",
}  # fmt: skip


def field(reader, name, default=None):
    return reader.fields[name].contents() if name in reader.fields else default


def heads(reader, part):
    """The heads of a part whose rows GGUF orders in another way, else None: it keeps the two halves of a rotated
    pair of llama's side by side, transformers one half after the other."""
    if field(reader, "general.architecture") != "llama":
        return None
    key = {"attn_q": "head_count", "attn_k": "head_count_kv"}.get(part)
    return key and field(reader, f"llama.attention.{key}")


def halves(rows, n):
    """GGUF's order of rows to transformers'."""
    return rows if n is None else rows.reshape(n, rows.shape[0] // n // 2, 2, -1).swapaxes(1, 2).reshape(rows.shape)


def pairs(rows, n):
    """And back."""
    return rows if n is None else rows.reshape(n, 2, rows.shape[0] // n // 2, -1).swapaxes(1, 2).reshape(rows.shape)


def config(reader):
    arch = field(reader, "general.architecture")
    get = lambda name, default=None: field(reader, f"{arch}.{name}", default)
    n_head, theta = get("attention.head_count"), float(get("rope.freq_base", 1e4))
    shared = dict(
        vocab_size=len(field(reader, "tokenizer.ggml.tokens")),
        bos_token_id=field(reader, "tokenizer.ggml.bos_token_id"),
        eos_token_id=field(reader, "tokenizer.ggml.eos_token_id"),
        tie_word_embeddings="output.weight" not in {tensor.name for tensor in reader.tensors},
    )
    if arch == "gpt2":
        return transformers.GPT2Config(
            n_positions=get("context_length"), n_embd=get("embedding_length"), n_layer=get("block_count"),
            n_head=n_head, n_inner=get("feed_forward_length"),
            layer_norm_epsilon=float(get("attention.layer_norm_epsilon")),
            resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, **shared,
        )  # fmt: skip
    shared |= dict(
        hidden_size=get("embedding_length"),
        intermediate_size=get("feed_forward_length"),
        num_hidden_layers=get("block_count"),
        num_attention_heads=n_head,
        num_key_value_heads=get("attention.head_count_kv"),
        rms_norm_eps=float(get("attention.layer_norm_rms_epsilon")),
        max_position_embeddings=get("context_length"),
    )
    if arch == "gemma3":
        rope = lambda theta: {"rope_type": "default", "rope_theta": theta}
        period = get("attention.sliding_window_pattern", 6)
        kind = lambda layer: "full_attention" if layer % period == period - 1 else "sliding_attention"
        return transformers.Gemma3TextConfig(
            head_dim=get("attention.key_length"), query_pre_attn_scalar=get("attention.key_length"),
            sliding_window=get("attention.sliding_window"),
            layer_types=[kind(layer) for layer in range(get("block_count"))],
            rope_parameters={"full_attention": rope(theta), "sliding_attention": rope(1e4)}, **shared,
        )  # fmt: skip
    make = {
        "llama": transformers.LlamaConfig, "qwen2": transformers.Qwen2Config, "qwen3": transformers.Qwen3Config,
        "phi3": transformers.Phi3Config,
    }[arch]  # fmt: skip
    if arch == "qwen3":
        shared["head_dim"] = get("attention.key_length")
    if arch == "phi3":
        shared |= dict(pad_token_id=0, sliding_window=None, original_max_position_embeddings=get("context_length"))
    return make(rope_parameters={"rope_type": "default", "rope_theta": theta}, **shared)


def state(reader):
    arch = field(reader, "general.architecture")
    whole = WHOLE_GPT2 if arch == "gpt2" else WHOLE
    layers = "transformer.h" if arch == "gpt2" else "model.layers"
    found = {}
    for tensor in reader.tensors:
        values = dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
        *words, kind = tensor.name.split(".")
        part = words[-1]
        if words[0] == "blk":
            path = f"{layers}.{words[1]}.{PATHS[arch][part]}"
            values = halves(values, heads(reader, part))
            # Its layers multiply from the other side.
            values = values.T if arch == "gpt2" and values.ndim == 2 else values
        elif part in whole:
            path = whole[part]
        else:
            # Divisors of the rotation's frequencies: none of the files here needs them.
            assert np.all(values == 1.0), tensor.name
            continue
        if arch == "gemma3" and part.endswith("norm"):
            values = values - 1.0
        found[f"{path}.{kind}"] = torch.from_numpy(np.ascontiguousarray(values))
    return found


def load(reader):
    made = config(reader)
    kind = {"gemma3_text": "Gemma3ForCausalLM", "gpt2": "GPT2LMHeadModel"}
    other = {"llama": "LlamaForCausalLM", "qwen2": "Qwen2ForCausalLM", "qwen3": "Qwen3ForCausalLM", "phi3": "Phi3ForCausalLM"}
    model = getattr(transformers, (kind | other)[made.model_type])(made).eval()
    missing, unexpected = model.load_state_dict(state(reader), strict=False)
    assert not unexpected and set(missing) <= {"lm_head.weight"}, (missing, unexpected)
    model.tie_weights()
    return model


def write(path, golden):
    """JSON with each list on one line."""
    text = json.dumps(golden, indent=1, separators=(",", ":"))
    lines, inside = [], False
    for line in text.splitlines():
        if inside:
            lines[-1] += line.strip()
        else:
            lines.append(line)
        inside = (inside or line.endswith("[")) and not line.strip().startswith("]")
    path.write_text("\n".join(lines) + "\n")
