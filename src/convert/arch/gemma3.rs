//! Gemma 3, its text part: norms before and after, of weights that count from one, and a sliding window.

use super::{
    ATTENTION, Arch, DECODER, DECODER_PREFIXES, Default, EMBD, Extra, GATED, HEAD, HEAD_WIDTHS,
    How, LAYERS, Line, More, VOCAB, line,
};
use crate::convert::rope;
use crate::error::{Result, bail};

const WEIGHTS: &[Line] = &[
    line("embed_tokens.weight", "token_embd.weight", &[VOCAB, EMBD]),
    line("norm.weight", "output_norm.weight", &[EMBD]).how(How::PlusOne),
    line("lm_head.weight", "output.weight", &[VOCAB, EMBD]).optional(),
];

const NORMS: &[Line] = &[
    line("layers.{}.input_layernorm.weight", "blk.{}.attn_norm.weight", &[EMBD]).how(How::PlusOne),
    line("layers.{}.post_attention_layernorm.weight", "blk.{}.post_attention_norm.weight", &[EMBD])
        .how(How::PlusOne),
    line("layers.{}.pre_feedforward_layernorm.weight", "blk.{}.ffn_norm.weight", &[EMBD])
        .how(How::PlusOne),
    line("layers.{}.post_feedforward_layernorm.weight", "blk.{}.post_ffw_norm.weight", &[EMBD])
        .how(How::PlusOne),
    line("layers.{}.self_attn.q_norm.weight", "blk.{}.attn_q_norm.weight", &[HEAD])
        .how(How::PlusOne),
    line("layers.{}.self_attn.k_norm.weight", "blk.{}.attn_k_norm.weight", &[HEAD])
        .how(How::PlusOne),
];

pub(super) const GEMMA3: Arch = Arch {
    classes: &["Gemma3ForCausalLM", "Gemma3ForConditionalGeneration"],
    name: "gemma3",
    prefixes: DECODER_PREFIXES,
    // Published configurations of the larger models leave these out.
    defaults: &[
        ("num_attention_heads", Default::Int(8)),
        ("num_key_value_heads", Default::Int(4)),
        ("head_dim", Default::Int(256)),
        ("vocab_size", Default::Int(262_208)),
        ("max_position_embeddings", Default::Int(131_072)),
        ("rms_norm_eps", Default::Float(1e-6)),
        ("rope_theta", Default::Float(1_000_000.0)),
        ("rope_local_base_freq", Default::Float(10_000.0)),
        ("sliding_window", Default::Int(4096)),
        ("tie_word_embeddings", Default::Bool(true)),
    ],
    blocks: LAYERS,
    facts: &[DECODER, HEAD_WIDTHS],
    lines: &[WEIGHTS, NORMS, ATTENTION, GATED],
    // The part that sees images goes into a file of its own.
    ignored: &[
        "*.rotary_emb.inv_freq",
        "vision_tower.*",
        "model.vision_tower.*",
        "multi_modal_projector.*",
        "model.multi_modal_projector.*",
    ],
    extra,
};

fn extra(from: &Extra<'_>, more: &mut More) -> Result<()> {
    let config = from.config;
    if config.f64(&["attn_logit_softcapping"])?.is_some() {
        bail!(
            CheckpointArchitecture,
            "config.json sets attn_logit_softcapping, which Gemma 3 does not have; is this another model?"
        )
    }
    if let Some(cap) = config.f64(&["final_logit_softcapping"])?.filter(|cap| *cap != 0.0) {
        more.set(from.key("final_logit_softcapping"), cap as f32);
    }
    if config.u64(&["sliding_window_pattern"])? != Some(1) {
        more.set(from.key("attention.sliding_window"), config.u32(&["sliding_window"])?);
    }
    rope::scaling(from, more)
}
