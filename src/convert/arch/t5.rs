//! T5: an encoder, and mostly a decoder that attends to it; positions are in a bias that the first block has for all.

use super::{Arch, Default, Dim, Extra, Keys, Line, More, VOCAB, count, line, maybe, number};
use crate::error::{Result, bail};

const EMBD: Dim = Dim::Of(&["d_model"]);
const FF: Dim = Dim::Of(&["d_ff"]);
const N_HEADS: Keys = &["num_heads"];
const HEADS: Dim = Dim::Heads(N_HEADS);
const BIAS: &[Dim] = &[Dim::Of(&["relative_attention_num_buckets"]), Dim::Of(N_HEADS)];

macro_rules! attention {
    ($from:literal, $to:literal) => {
        &[
            line(concat!($from, ".q.weight"), concat!($to, "attn_q.weight"), &[HEADS, EMBD]),
            line(concat!($from, ".k.weight"), concat!($to, "attn_k.weight"), &[HEADS, EMBD]),
            line(concat!($from, ".v.weight"), concat!($to, "attn_v.weight"), &[HEADS, EMBD]),
            line(concat!($from, ".o.weight"), concat!($to, "attn_o.weight"), &[EMBD, HEADS]),
        ]
    };
}
/// With a gate or without: `wi` stands in the place of `wi_1` then.
macro_rules! feed_forward {
    ($from:literal, $to:literal) => {
        &[
            line(concat!($from, ".wi.weight"), concat!($to, "ffn_up.weight"), &[FF, EMBD])
                .optional(),
            line(concat!($from, ".wi_0.weight"), concat!($to, "ffn_gate.weight"), &[FF, EMBD])
                .optional(),
            line(concat!($from, ".wi_1.weight"), concat!($to, "ffn_up.weight"), &[FF, EMBD])
                .optional(),
            line(concat!($from, ".wo.weight"), concat!($to, "ffn_down.weight"), &[EMBD, FF]),
        ]
    };
}

const ENCODER: &[Line] = &[
    line("shared.weight", "token_embd.weight", &[VOCAB, EMBD]),
    line("encoder.final_layer_norm.weight", "enc.output_norm.weight", &[EMBD]),
    line(
        "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight",
        "enc.blk.0.attn_rel_b.weight",
        BIAS,
    ),
    line("encoder.block.{e}.layer.0.layer_norm.weight", "enc.blk.{e}.attn_norm.weight", &[EMBD]),
    line("encoder.block.{e}.layer.1.layer_norm.weight", "enc.blk.{e}.ffn_norm.weight", &[EMBD]),
];
const ENCODER_ATTENTION: &[Line] =
    attention!("encoder.block.{e}.layer.0.SelfAttention", "enc.blk.{e}.");
const ENCODER_FF: &[Line] =
    feed_forward!("encoder.block.{e}.layer.1.DenseReluDense", "enc.blk.{e}.");

const DECODER: &[Line] = &[
    line("lm_head.weight", "output.weight", &[VOCAB, EMBD]).optional(),
    line("decoder.final_layer_norm.weight", "dec.output_norm.weight", &[EMBD]),
    line(
        "decoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight",
        "dec.blk.0.attn_rel_b.weight",
        BIAS,
    ),
    // Old checkpoints have it though nothing uses it.
    line(
        "decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight",
        "dec.blk.0.cross_attn_rel_b.weight",
        BIAS,
    )
    .optional(),
    line("decoder.block.{d}.layer.0.layer_norm.weight", "dec.blk.{d}.attn_norm.weight", &[EMBD]),
    line(
        "decoder.block.{d}.layer.1.layer_norm.weight",
        "dec.blk.{d}.cross_attn_norm.weight",
        &[EMBD],
    ),
    line("decoder.block.{d}.layer.2.layer_norm.weight", "dec.blk.{d}.ffn_norm.weight", &[EMBD]),
];
const DECODER_ATTENTION: &[Line] =
    attention!("decoder.block.{d}.layer.0.SelfAttention", "dec.blk.{d}.");
const CROSS_ATTENTION: &[Line] =
    attention!("decoder.block.{d}.layer.1.EncDecAttention", "dec.blk.{d}.cross_");
const DECODER_FF: &[Line] =
    feed_forward!("decoder.block.{d}.layer.2.DenseReluDense", "dec.blk.{d}.");

pub(super) const T5: Arch = Arch {
    classes: &["T5ForConditionalGeneration", "T5WithLMHeadModel"],
    name: "t5",
    prefixes: &[],
    defaults: &[
        ("n_positions", Default::Int(512)),
        ("num_decoder_layers", Default::Same("num_layers")),
        ("head_dim", Default::Same("d_kv")),
        ("relative_attention_num_buckets", Default::Int(32)),
        ("layer_norm_epsilon", Default::Float(1e-6)),
        ("decoder_start_token_id", Default::Int(0)),
        ("tie_word_embeddings", Default::Bool(true)),
    ],
    blocks: &[("{e}", &["num_layers"]), ("{d}", &["num_decoder_layers"])],
    facts: &[&[
        count("context_length", &["n_positions"]),
        count("embedding_length", &["d_model"]),
        count("feed_forward_length", &["d_ff"]),
        count("block_count", &["num_layers"]),
        maybe(count("decoder_block_count", &["num_decoder_layers"])),
        count("attention.head_count", N_HEADS),
        count("attention.key_length", &["d_kv"]),
        count("attention.value_length", &["d_kv"]),
        number("attention.layer_norm_epsilon", &["layer_norm_epsilon"]),
        count("attention.relative_buckets_count", &["relative_attention_num_buckets"]),
        number("attention.layer_norm_rms_epsilon", &["layer_norm_epsilon"]),
        maybe(count("decoder_start_token_id", &["decoder_start_token_id"])),
    ]],
    lines: &[
        ENCODER,
        ENCODER_ATTENTION,
        ENCODER_FF,
        DECODER,
        DECODER_ATTENTION,
        CROSS_ATTENTION,
        DECODER_FF,
    ],
    // The embeddings again.
    ignored: &["encoder.embed_tokens.weight", "decoder.embed_tokens.weight"],
    extra,
};

pub(super) const T5_ENCODER: Arch = Arch {
    classes: &["T5EncoderModel"],
    name: "t5encoder",
    defaults: &[
        ("n_positions", Default::Int(512)),
        ("head_dim", Default::Same("d_kv")),
        ("relative_attention_num_buckets", Default::Int(32)),
        ("layer_norm_epsilon", Default::Float(1e-6)),
    ],
    blocks: &[("{e}", &["num_layers"])],
    facts: &[&[
        count("context_length", &["n_positions"]),
        count("embedding_length", &["d_model"]),
        count("feed_forward_length", &["d_ff"]),
        count("block_count", &["num_layers"]),
        count("attention.head_count", N_HEADS),
        count("attention.key_length", &["d_kv"]),
        count("attention.value_length", &["d_kv"]),
        number("attention.layer_norm_epsilon", &["layer_norm_epsilon"]),
        count("attention.relative_buckets_count", &["relative_attention_num_buckets"]),
        number("attention.layer_norm_rms_epsilon", &["layer_norm_epsilon"]),
    ]],
    lines: &[ENCODER, ENCODER_ATTENTION, ENCODER_FF],
    extra: distance,
    ..T5
};

/// With one matrix for embedding and output transformers scales what goes into the output; the engine does not, so the
/// matrix itself is scaled.
fn extra(from: &Extra<'_>, more: &mut More) -> Result<()> {
    // New configurations call every model tied, and say this beside it.
    let scaled = from.config.bool(&["scale_decoder_outputs"])?;
    let tied = from.config.bool(&["tie_word_embeddings"])? == Some(true);
    if tied && scaled != Some(false) {
        more.head_scale = Some((from.config.need_u64(&["d_model"])? as f64).powf(-0.5));
    }
    distance(from, more)
}

fn distance(from: &Extra<'_>, _: &mut More) -> Result<()> {
    // The engine takes the bias of positions over the usual distance.
    if let Some(distance) =
        from.config.u64(&["relative_attention_max_distance"])?.filter(|d| *d != 128)
    {
        bail!(
            CheckpointArchitecture,
            "config.json: relative_attention_max_distance is {distance}; the engine computes T5 with 128 alone"
        )
    }
    Ok(())
}
