"""Models of random weights as F16 with the layers of other families than Llama: 8 layers of width 1,024.

    target/peers/torch/bin/python benches/peers/families.py VOCABULARY_OF.gguf TARGET FAMILY

latent: attention of DeepSeek's kind. long: heads of 512 elements. alibi: linear biases, as MPT has them. delta: gated delta rules,
as Qwen3.5 has them. conv: short convolutions, as LFM2 has them. The tokenizer is copied from another model.
"""

import sys

import gguf
import numpy as np

WIDTH, LAYERS = 1024, 8
# The architecture, the width of the hidden layer, and the heads.
FAMILIES = {
    "latent": ("deepseek2", 3072, 16),
    "long": ("gemma3", 3072, 4),
    "alibi": ("mpt", 3072, 16),
    "delta": ("qwen35", 3584, 8),
    "conv": ("lfm2", 4608, 16),
}


class Model:
    def __init__(self, source, target, arch):
        self.writer = gguf.GGUFWriter(target, arch)
        self.random = np.random.default_rng(1)
        self.layer = ""
        reader = gguf.GGUFReader(source)
        for name, field in reader.fields.items():
            if name.startswith("tokenizer."):
                inner = field.types[-1] if field.types[0] == gguf.GGUFValueType.ARRAY else None
                self.writer.add_key_value(name, field.contents(), field.types[0], sub_type=inner)
        self.vocabulary = len(reader.fields["tokenizer.ggml.tokens"].contents())

    def matrix(self, name, *shape, kind=np.float16):
        values = self.random.standard_normal(shape, dtype=np.float32) * (shape[-1] ** -0.5)
        self.writer.add_tensor(f"{self.layer}{name}.weight", values.astype(kind))

    def same(self, name, size=WIDTH, value=1.0, suffix=".weight"):
        self.writer.add_tensor(f"{self.layer}{name}{suffix}", np.full(size, value, dtype=np.float32))

    def attention(self, queries, keys, values, normed=0):
        self.matrix("attn_q", queries, WIDTH)
        self.matrix("attn_k", keys, WIDTH)
        self.matrix("attn_v", keys, WIDTH)
        self.matrix("attn_output", WIDTH, values)
        if normed:
            self.same("attn_q_norm", normed)
            self.same("attn_k_norm", normed)

    def network(self, hidden, gated=True):
        if gated:
            self.matrix("ffn_gate", hidden, WIDTH)
        self.matrix("ffn_up", hidden, WIDTH)
        self.matrix("ffn_down", WIDTH, hidden)


def metadata(writer, family, arch):
    """What the family has besides what all have."""
    if family == "latent":
        writer.add_head_count_kv(1)
        writer.add_key_length(576)
        writer.add_value_length(512)
        writer.add_key_length_mla(192)
        writer.add_value_length_mla(128)
        writer.add_q_lora_rank(768)
        writer.add_kv_lora_rank(512)
        writer.add_rope_dimension_count(64)
        writer.add_leading_dense_block_count(LAYERS)
        writer.add_expert_count(2)
        writer.add_expert_used_count(1)
        writer.add_expert_shared_count(1)
        writer.add_expert_feed_forward_length(64)
        writer.add_expert_weights_scale(1.0)
    elif family == "long":
        writer.add_head_count_kv(1)
        writer.add_key_length(512)
        writer.add_value_length(512)
        writer.add_sliding_window(512)
    elif family == "alibi":
        writer.add_head_count_kv(16)
        writer.add_layer_norm_eps(1e-5)
        writer.add_max_alibi_bias(8.0)
        writer.add_clamp_kqv(0.0)
    elif family == "delta":
        writer.add_head_count_kv(2)
        writer.add_key_length(256)
        writer.add_value_length(256)
        writer.add_rope_dimension_count(64)
        writer.add_array(f"{arch}.rope.dimension_sections", [11, 11, 10, 0])
        sizes = {"inner_size": 2048, "conv_kernel": 4, "state_size": 128, "time_step_rank": 16, "group_count": 16}
        for name, size in sizes.items():
            writer.add_uint32(f"{arch}.ssm.{name}", size)
        writer.add_uint32(f"{arch}.full_attention_interval", 4)
    else:
        writer.add_array(f"{arch}.attention.head_count_kv", [8 if i % 4 == 2 else 0 for i in range(LAYERS)])
        writer.add_uint32(f"{arch}.shortconv.l_cache", 3)


def layer(model, family, i, hidden):
    model.layer = f"blk.{i}."
    model.same("attn_norm")
    model.same("post_attention_norm" if family == "delta" else "ffn_norm")
    if family == "latent":
        model.matrix("attn_q_a", 768, WIDTH)
        model.same("attn_q_a_norm", 768)
        model.matrix("attn_q_b", 16 * 192, 768)
        model.matrix("attn_kv_a_mqa", 576, WIDTH)
        model.same("attn_kv_a_norm", 512)
        model.matrix("attn_k_b", 16, 512, 128)
        model.matrix("attn_v_b", 16, 128, 512)
        model.matrix("attn_output", WIDTH, 16 * 128)
    elif family == "long":
        model.attention(4 * 512, 512, 4 * 512, 512)
        model.same("post_attention_norm")
        model.same("post_ffw_norm")
    elif family == "alibi":
        model.matrix("attn_qkv", 3 * WIDTH, WIDTH)
        model.matrix("attn_output", WIDTH, WIDTH)
    elif family == "delta" and i % 4 == 3:
        # Queries, each with a gate.
        model.attention(2 * 8 * 256, 512, 8 * 256, 256)
    elif family == "delta":
        model.same("ssm_norm", 128)
        model.matrix("attn_qkv", 3 * 2048, WIDTH)
        model.matrix("attn_gate", 2048, WIDTH)
        model.same("ssm_dt", 16, suffix=".bias")
        model.matrix("ssm_out", WIDTH, 2048)
        model.matrix("ssm_conv1d", 3 * 2048, 4, kind=np.float32)
        model.same("ssm_a", 16, -1.0, suffix="")
        model.matrix("ssm_alpha", 16, WIDTH)
        model.matrix("ssm_beta", 16, WIDTH)
    elif i % 4 == 2:
        model.attention(WIDTH, 512, WIDTH, 64)
    else:
        model.matrix("shortconv.conv", WIDTH, 3, kind=np.float32)
        model.matrix("shortconv.in_proj", 3 * WIDTH, WIDTH)
        model.matrix("shortconv.out_proj", WIDTH, WIDTH)
    model.network(hidden, gated=family != "alibi")


def main():
    source, target, family = sys.argv[1:]
    arch, hidden, heads = FAMILIES[family]
    model = Model(source, target, arch)
    writer = model.writer
    writer.add_context_length(8192)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(hidden)
    writer.add_head_count(heads)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_freq_base(1e6)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    writer.add_vocab_size(model.vocabulary)
    metadata(writer, family, arch)
    model.matrix("token_embd", model.vocabulary, WIDTH)
    model.same("token_embd_norm" if family == "conv" else "output_norm")
    if family == "latent":
        model.matrix("output", model.vocabulary, WIDTH)
    for i in range(LAYERS):
        layer(model, family, i, hidden)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


main()
