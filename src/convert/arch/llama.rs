//! Llama, and what is built like it: Mistral, SmolLM, TinyLlama.

use super::{
    Arch, DECODER, DECODER_PREFIXES, Default, EMBD, ENDS, Extra, GATED, HEAD_WIDTHS, HEADS, How,
    KV, KV_HEADS, LAYERS, Line, More, Q, TWO_NORMS, UNUSED, count, line,
};
use crate::convert::rope;
use crate::error::Result;

/// The engine rotates neighbours, transformers halves: the rows of queries and keys are put in the engine's order.
const PAIRED: &[Line] = &[
    line("layers.{}.self_attn.q_proj.weight", "blk.{}.attn_q.weight", &[Q, EMBD])
        .how(How::Rotary(HEADS)),
    line("layers.{}.self_attn.k_proj.weight", "blk.{}.attn_k.weight", &[KV, EMBD])
        .how(How::Rotary(KV_HEADS)),
    line("layers.{}.self_attn.v_proj.weight", "blk.{}.attn_v.weight", &[KV, EMBD]),
    line("layers.{}.self_attn.o_proj.weight", "blk.{}.attn_output.weight", &[EMBD, Q]),
    line("layers.{}.self_attn.q_proj.bias", "blk.{}.attn_q.bias", &[Q])
        .how(How::Rotary(HEADS))
        .optional(),
    line("layers.{}.self_attn.k_proj.bias", "blk.{}.attn_k.bias", &[KV])
        .how(How::Rotary(KV_HEADS))
        .optional(),
    line("layers.{}.self_attn.v_proj.bias", "blk.{}.attn_v.bias", &[KV]).optional(),
    line("layers.{}.self_attn.o_proj.bias", "blk.{}.attn_output.bias", &[EMBD]).optional(),
];

pub(super) const LLAMA: Arch = Arch {
    classes: &["LlamaForCausalLM", "LLaMAForCausalLM", "MistralForCausalLM", "LlamaModel"],
    name: "llama",
    prefixes: DECODER_PREFIXES,
    defaults: &[
        ("num_key_value_heads", Default::Same("num_attention_heads")),
        ("head_dim", Default::Ratio("hidden_size", "num_attention_heads")),
        ("max_position_embeddings", Default::Int(2048)),
        ("rms_norm_eps", Default::Float(1e-6)),
        ("rope_theta", Default::Float(10_000.0)),
    ],
    blocks: LAYERS,
    facts: &[
        DECODER,
        HEAD_WIDTHS,
        &[count("vocab_size", &["vocab_size"]), count("rope.dimension_count", &["head_dim"])],
    ],
    lines: &[ENDS, TWO_NORMS, PAIRED, GATED],
    ignored: UNUSED,
    extra,
};

fn extra(from: &Extra<'_>, more: &mut More) -> Result<()> {
    rope::scaling(from, more)?;
    rope::llama3(from, more)
}
