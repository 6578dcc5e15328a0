"""A model of random weights as F16: what matters of it is its size. 1B is Llama-3.2-1B with a small vocabulary, MoE a mixture
of experts, of which each token is given 8.

    target/peers/torch/bin/python benches/peers/synthetic.py VOCABULARY_OF.gguf TARGET 1B|MoE

The tokenizer is copied from another model, so that texts can be read.
"""

import sys

import gguf
import numpy as np

# Width, layers, width of the hidden layer (of an expert), heads, key heads, experts.
SHAPES = {"1B": (2048, 16, 8192, 32, 8, 0), "MoE": (1024, 12, 512, 16, 4, 32)}
USED = 8


def main():
    width, layers, hidden, heads, groups, experts = SHAPES[sys.argv[3]]
    reader = gguf.GGUFReader(sys.argv[1])
    writer = gguf.GGUFWriter(sys.argv[2], "llama")
    for name, field in reader.fields.items():
        if not name.startswith("tokenizer."):
            continue
        inner = field.types[-1] if field.types[0] == gguf.GGUFValueType.ARRAY else None
        writer.add_key_value(name, field.contents(), field.types[0], sub_type=inner)
    vocabulary = len(reader.fields["tokenizer.ggml.tokens"].contents())
    writer.add_context_length(8192)
    writer.add_embedding_length(width)
    writer.add_block_count(layers)
    writer.add_feed_forward_length(hidden)
    writer.add_head_count(heads)
    writer.add_head_count_kv(groups)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(width // heads)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    writer.add_vocab_size(vocabulary)
    if experts:
        writer.add_expert_count(experts)
        writer.add_expert_used_count(USED)

    random = np.random.default_rng(1)

    def matrix(name, *shape):
        values = random.standard_normal(shape, dtype=np.float32) * (shape[-1] ** -0.5)
        writer.add_tensor(name, values.astype(np.float16))

    def norm(name):
        writer.add_tensor(name, np.ones(width, dtype=np.float32))

    matrix("token_embd.weight", vocabulary, width)
    norm("output_norm.weight")
    keys = width // heads * groups
    for layer in range(layers):
        norm(f"blk.{layer}.attn_norm.weight")
        norm(f"blk.{layer}.ffn_norm.weight")
        parts = [("attn_q", width, width), ("attn_k", keys, width), ("attn_v", keys, width), ("attn_output", width, width)]
        if experts:
            parts.append(("ffn_gate_inp", experts, width))
        for part, rows, columns in (("ffn_gate", hidden, width), ("ffn_up", hidden, width), ("ffn_down", width, hidden)):
            parts.append((f"{part}_exps", experts, rows, columns) if experts else (part, rows, columns))
        for part, *shape in parts:
            matrix(f"blk.{layer}.{part}.weight", *shape)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


main()
