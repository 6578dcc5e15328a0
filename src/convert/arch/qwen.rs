//! Qwen 2 and 2.5, with biases on queries, keys and values; Qwen 3, with norms on queries and keys.

use super::{
    ATTENTION, Arch, DECODER, DECODER_PREFIXES, Default, ENDS, Extra, GATED, HEAD, HEAD_WIDTHS, KV,
    LAYERS, Line, More, Q, TWO_NORMS, UNUSED, line,
};
use crate::convert::rope;
use crate::error::Result;

const BIASES: &[Line] = &[
    line("layers.{}.self_attn.q_proj.bias", "blk.{}.attn_q.bias", &[Q]),
    line("layers.{}.self_attn.k_proj.bias", "blk.{}.attn_k.bias", &[KV]),
    line("layers.{}.self_attn.v_proj.bias", "blk.{}.attn_v.bias", &[KV]),
];

const NORMS: &[Line] = &[
    line("layers.{}.self_attn.q_norm.weight", "blk.{}.attn_q_norm.weight", &[HEAD]),
    line("layers.{}.self_attn.k_norm.weight", "blk.{}.attn_k_norm.weight", &[HEAD]),
];

pub(super) const QWEN2: Arch = Arch {
    classes: &["Qwen2ForCausalLM", "Qwen2Model"],
    name: "qwen2",
    prefixes: DECODER_PREFIXES,
    defaults: &[
        ("num_key_value_heads", Default::Same("num_attention_heads")),
        ("max_position_embeddings", Default::Int(32_768)),
        ("rms_norm_eps", Default::Float(1e-6)),
        ("rope_theta", Default::Float(10_000.0)),
    ],
    blocks: LAYERS,
    facts: &[DECODER, HEAD_WIDTHS],
    lines: &[ENDS, TWO_NORMS, ATTENTION, BIASES, GATED],
    ignored: UNUSED,
    extra,
};

pub(super) const QWEN3: Arch = Arch {
    classes: &["Qwen3ForCausalLM", "Qwen3Model"],
    name: "qwen3",
    defaults: &[
        ("num_key_value_heads", Default::Same("num_attention_heads")),
        ("head_dim", Default::Int(128)),
        ("max_position_embeddings", Default::Int(32_768)),
        ("rms_norm_eps", Default::Float(1e-6)),
        ("rope_theta", Default::Float(10_000.0)),
    ],
    lines: &[ENDS, TWO_NORMS, ATTENTION, NORMS, GATED],
    ..QWEN2
};

fn extra(from: &Extra<'_>, more: &mut More) -> Result<()> {
    rope::scaling(from, more)
}
