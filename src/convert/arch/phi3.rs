//! Phi 3 and 4: queries, keys and values in one matrix, gate and up in another, long rope factors.

use super::{
    Arch, DECODER, DECODER_PREFIXES, Default, Dim, EMBD, ENDS, Extra, GATE_UP, HEADS, KV_HEADS,
    LAYERS, Line, More, Q, TWO_NORMS, UNUSED, count, line,
};
use crate::convert::rope;
use crate::error::Result;

const FUSED: &[Line] = &[
    line(
        "layers.{}.self_attn.qkv_proj.weight",
        "blk.{}.attn_qkv.weight",
        &[Dim::Fused(HEADS, KV_HEADS), EMBD],
    ),
    line("layers.{}.self_attn.o_proj.weight", "blk.{}.attn_output.weight", &[EMBD, Q]),
];

pub(super) const PHI3: Arch = Arch {
    classes: &["Phi3ForCausalLM"],
    name: "phi3",
    prefixes: DECODER_PREFIXES,
    defaults: &[
        ("num_key_value_heads", Default::Same("num_attention_heads")),
        ("head_dim", Default::Ratio("hidden_size", "num_attention_heads")),
        ("max_position_embeddings", Default::Int(4096)),
        ("original_max_position_embeddings", Default::Int(4096)),
        ("rms_norm_eps", Default::Float(1e-5)),
        ("rope_theta", Default::Float(10_000.0)),
        ("sliding_window", Default::Int(0)),
    ],
    blocks: LAYERS,
    facts: &[
        DECODER,
        // Zero tells the engine that there is none.
        &[count("attention.sliding_window", &["sliding_window"])],
    ],
    lines: &[ENDS, TWO_NORMS, FUSED, GATE_UP],
    ignored: UNUSED,
    extra,
};

fn extra(from: &Extra<'_>, more: &mut More) -> Result<()> {
    rope::long(from, more)
}
