"""Greedy continuations and logits of SmolLM2 by PyTorch and transformers, its weights dequantized to 32-bit floats.

usage: smollm2.py CACHE_DIR

Writes smollm2.json beside this script.
"""

import pathlib
import sys

import gguf
import numpy as np
import tokenizers
import torch
import transformers
from gguf.quants import dequantize

from tokens import SMOLLM2, byte_level_tokenizer, encode, field, write

PROMPTS = [
    "The capital of France is",
    "Once upon a time, in a small village by the sea,",
    "def fibonacci(n):\n    \"\"\"Return the n-th Fibonacci number.\"\"\"\n",
]
CHAT = [{"role": "user", "content": "Why is the sky blue? Answer in one sentence."}]
NEW_TOKENS = 32


def llama(reader):
    """The model with every weight as a 32-bit float."""
    get = lambda name, default=None: field(reader, "llama." + name, default)
    heads, kv_heads = get("attention.head_count"), get("attention.head_count_kv")
    names = {tensor.name for tensor in reader.tensors}
    config = transformers.LlamaConfig(
        hidden_size=get("embedding_length"),
        intermediate_size=get("feed_forward_length"),
        num_hidden_layers=get("block_count"),
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        rms_norm_eps=float(get("attention.layer_norm_rms_epsilon")),
        rope_parameters={"rope_type": "default", "rope_theta": float(get("rope.freq_base"))},
        max_position_embeddings=get("context_length"),
        vocab_size=len(field(reader, "tokenizer.ggml.tokens")),
        tie_word_embeddings="output.weight" not in names,
        bos_token_id=field(reader, "tokenizer.ggml.bos_token_id"),
        eos_token_id=field(reader, "tokenizer.ggml.eos_token_id"),
    )
    parts = {
        "attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm",
        "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
        "attn_output": "self_attn.o_proj",
        "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj",
    }
    whole = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
    state = {}
    for tensor in reader.tensors:
        weight = dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
        words = tensor.name.split(".")
        if words[0] != "blk":
            if words[0] in whole:
                state[whole[words[0]] + ".weight"] = torch.from_numpy(weight.copy())
            continue
        part = words[2]
        # GGUF keeps the two halves of a rotated pair side by side, transformers one half after the other.
        for name, n in (("attn_q", heads), ("attn_k", kv_heads)):
            if part == name:
                weight = weight.reshape(n, weight.shape[0] // n // 2, 2, weight.shape[1]).swapaxes(1, 2).reshape(weight.shape)
        state[f"model.layers.{words[1]}.{parts[part]}.weight"] = torch.from_numpy(np.ascontiguousarray(weight))
    model = transformers.LlamaForCausalLM(config).eval()
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert not unexpected and set(missing) <= {"lm_head.weight"}, (missing, unexpected)
    model.tie_weights()
    return model


def top5(logits):
    values, ids = torch.topk(logits, 5)
    return {"ids": ids.tolist(), "logits": [round(value, 5) for value in values.tolist()]}


@torch.no_grad()
def continuation(model, ids):
    """Greedy, by full evaluation of the prompt and then one token at a time; with the smallest lead of the best
    token over the second, which tells how much a test may rely on the choice."""
    output = model(input_ids=torch.tensor([ids]), use_cache=True)
    first, tokens, lead = top5(output.logits[0, -1]), [], float("inf")
    for _ in range(NEW_TOKENS):
        best = torch.topk(output.logits[0, -1], 2)
        lead = min(lead, float(best.values[0] - best.values[1]))
        tokens.append(int(best.indices[0]))
        output = model(input_ids=torch.tensor([tokens[-1:]]), past_key_values=output.past_key_values, use_cache=True)
    return {"prompt_ids": ids, "top5": first, "continuation": tokens, "smallest_lead": round(lead, 5)}


def main():
    torch.set_num_threads(2)
    reader = gguf.GGUFReader(pathlib.Path(sys.argv[1]) / SMOLLM2)
    model, tokenizer = llama(reader), byte_level_tokenizer(reader)
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer)
    template = field(reader, "tokenizer.chat_template")
    chat = fast.apply_chat_template(CHAT, chat_template=template, tokenize=False, add_generation_prompt=True)
    write("smollm2.json", {
        "versions": {m.__name__: m.__version__ for m in (transformers, tokenizers, torch, np)},
        "prompts": PROMPTS,
        "results": [continuation(model, encode(tokenizer, prompt)) for prompt in PROMPTS],
        "chat": CHAT,
        "chat_text": chat,
        "chat_result": continuation(model, encode(tokenizer, chat)),
    })


if __name__ == "__main__":
    main()
