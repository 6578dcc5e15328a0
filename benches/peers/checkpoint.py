"""A model file (llama) as the Hugging Face directory it could have come from: checkpoint.py IN.gguf DIRECTORY [bfloat16|float32]

Weights are dequantized; the tokenizer and the chat template come along, so that converters find all that they need.
"""

import json
import pathlib
import sys

import gguf
import torch
from gguf.quants import dequantize
from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

PARTS = {
    "attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm",
    "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj",
}  # fmt: skip
WHOLE = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
CONTROL = 3


def main(source, folder, dtype="bfloat16"):
    reader = gguf.GGUFReader(source)
    field = lambda name, default=None: reader.fields[name].contents() if name in reader.fields else default
    fact = lambda name: field(f"llama.{name}")
    names = {tensor.name for tensor in reader.tensors}
    tokens = field("tokenizer.ggml.tokens")
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": fact("embedding_length"),
        "intermediate_size": fact("feed_forward_length"),
        "num_hidden_layers": fact("block_count"),
        "num_attention_heads": fact("attention.head_count"),
        "num_key_value_heads": fact("attention.head_count_kv"),
        "rms_norm_eps": float(fact("attention.layer_norm_rms_epsilon")),
        "rope_theta": float(fact("rope.freq_base")),
        "max_position_embeddings": fact("context_length"),
        "vocab_size": len(tokens),
        "tie_word_embeddings": "output.weight" not in names,
        "hidden_act": "silu",
        "torch_dtype": dtype,
        "bos_token_id": field("tokenizer.ggml.bos_token_id"),
        "eos_token_id": field("tokenizer.ggml.eos_token_id"),
        "attention_bias": False,
        "mlp_bias": False,
    }
    heads = {"attn_q": fact("attention.head_count"), "attn_k": fact("attention.head_count_kv")}
    weights = {}
    for tensor in reader.tensors:
        values = dequantize(tensor.data, tensor.tensor_type)
        name = tensor.name.removesuffix(".weight")
        if name in WHOLE:
            target = WHOLE[name]
        else:
            _, layer, part = name.split(".")
            target = f"model.layers.{layer}.{PARTS[part]}"
            if part in heads:
                # GGUF has the two halves of each head in turns.
                n, rows = heads[part], values.shape[0]
                values = values.reshape(n, rows // n // 2, 2, -1).swapaxes(1, 2).reshape(values.shape)
        weights[f"{target}.weight"] = torch.tensor(values).to(getattr(torch, dtype)).contiguous()
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer(field, tokens).save(str(folder / "tokenizer.json"))
    special = {role: tokens[config[f"{role}_id"]] for role in ("bos_token", "eos_token")}
    about = {"tokenizer_class": "PreTrainedTokenizerFast", **special, "chat_template": field("tokenizer.chat_template")}
    (folder / "tokenizer_config.json").write_text(json.dumps(about, indent=1))
    (folder / "config.json").write_text(json.dumps(config, indent=1))
    # The last: a directory that has it is whole.
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def tokenizer(field, tokens):
    merges = [tuple(merge.split(" ")) for merge in field("tokenizer.ggml.merges")]
    made = Tokenizer(models.BPE(vocab={token: i for i, token in enumerate(tokens)}, merges=merges))
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)]
    )
    made.decoder = decoders.ByteLevel()
    kinds = field("tokenizer.ggml.token_type")
    made.add_special_tokens([AddedToken(t, special=True) for t, kind in zip(tokens, kinds) if kind == CONTROL])
    return made


main(*sys.argv[1:])
