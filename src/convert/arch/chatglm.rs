//! GLM 4 and ChatGLM 2 to 4: positions turn half of each head, gate and up are one matrix.

use super::{
    ATTENTION, Arch, DECODER, DECODER_PREFIXES, Default, Dim, EMBD, ENDS, Extra, GATE_UP, HEADS,
    KV, Keys, LAYERS, Line, More, Q, TWO_NORMS, UNUSED, count, line, number,
};
use crate::convert::rope;
use crate::error::{Result, bail};

const BIASES: &[Line] = &[
    line("layers.{}.self_attn.q_proj.bias", "blk.{}.attn_q.bias", &[Q]).optional(),
    line("layers.{}.self_attn.k_proj.bias", "blk.{}.attn_k.bias", &[KV]).optional(),
    line("layers.{}.self_attn.v_proj.bias", "blk.{}.attn_v.bias", &[KV]).optional(),
];

pub(super) const GLM: Arch = Arch {
    classes: &["GlmForCausalLM"],
    name: "chatglm",
    prefixes: DECODER_PREFIXES,
    defaults: &[
        ("num_key_value_heads", Default::Same("num_attention_heads")),
        ("head_dim", Default::Ratio("hidden_size", "num_attention_heads")),
        ("max_position_embeddings", Default::Int(131_072)),
        ("rms_norm_eps", Default::Float(1.5625e-7)),
        ("rope_theta", Default::Float(10_000.0)),
    ],
    blocks: LAYERS,
    facts: &[DECODER],
    lines: &[ENDS, TWO_NORMS, ATTENTION, BIASES, GATE_UP],
    ignored: UNUSED,
    extra,
};

const N_KV: Keys = &["multi_query_group_num"];
const CHAT_FF: Keys = &["ffn_hidden_size"];
const HEAD: Keys = &["num_attention_heads"];

/// What ChatGLM's own code can be told, and what the engine computes.
const KINDS: &[(&str, bool)] = &[
    ("add_bias_linear", false),
    ("apply_residual_connection_post_layernorm", false),
    ("multi_query_attention", true),
    ("post_layer_norm", true),
    ("rmsnorm", true),
];

/// The names of the first checkpoints, before transformers had a class of its own.
const CHATGLM_LINES: &[Line] = &[
    line(
        "embedding.word_embeddings.weight",
        "token_embd.weight",
        &[Dim::Of(&["padded_vocab_size"]), EMBD],
    ),
    line("encoder.final_layernorm.weight", "output_norm.weight", &[EMBD]),
    line("output_layer.weight", "output.weight", &[Dim::Of(&["padded_vocab_size"]), EMBD]),
    line("encoder.layers.{}.input_layernorm.weight", "blk.{}.attn_norm.weight", &[EMBD]),
    line("encoder.layers.{}.post_attention_layernorm.weight", "blk.{}.ffn_norm.weight", &[EMBD]),
    line(
        "encoder.layers.{}.self_attention.query_key_value.weight",
        "blk.{}.attn_qkv.weight",
        &[Dim::Fused(HEAD, N_KV), EMBD],
    ),
    line(
        "encoder.layers.{}.self_attention.query_key_value.bias",
        "blk.{}.attn_qkv.bias",
        &[Dim::Fused(HEAD, N_KV)],
    )
    .optional(),
    line(
        "encoder.layers.{}.self_attention.dense.weight",
        "blk.{}.attn_output.weight",
        &[EMBD, Dim::Heads(HEAD)],
    ),
    line(
        "encoder.layers.{}.mlp.dense_h_to_4h.weight",
        "blk.{}.ffn_up.weight",
        &[Dim::Times(2, CHAT_FF), EMBD],
    ),
    line(
        "encoder.layers.{}.mlp.dense_4h_to_h.weight",
        "blk.{}.ffn_down.weight",
        &[EMBD, Dim::Of(CHAT_FF)],
    ),
];

pub(super) const CHATGLM: Arch = Arch {
    classes: &["ChatGLMModel", "ChatGLMForConditionalGeneration"],
    prefixes: &["transformer."],
    defaults: &[
        ("multi_query_group_num", Default::Same("num_attention_heads")),
        ("head_dim", Default::Ratio("hidden_size", "num_attention_heads")),
        ("padded_vocab_size", Default::Same("vocab_size")),
        ("seq_length", Default::Same("hidden_size")),
        ("layernorm_epsilon", Default::Float(1e-5)),
        ("rope_ratio", Default::Float(1.0)),
    ],
    blocks: &[("{}", &["num_layers", "num_hidden_layers"])],
    facts: &[&[
        count("block_count", &["num_layers", "num_hidden_layers"]),
        count("context_length", &["seq_length"]),
        count("embedding_length", &["hidden_size"]),
        count("feed_forward_length", CHAT_FF),
        count("attention.head_count", HEAD),
        count("attention.head_count_kv", N_KV),
        number("attention.layer_norm_rms_epsilon", &["layernorm_epsilon"]),
    ]],
    lines: &[CHATGLM_LINES],
    ignored: &["rotary_pos_emb.inv_freq"],
    extra: chatglm,
    ..GLM
};

/// Half of each head is turned, where nothing says another part.
fn turned(from: &Extra<'_>, more: &mut More) -> Result<()> {
    let head = from.config.need_u64(&["head_dim"])?;
    let (heads, width) = (from.config.need_u64(HEADS)?, from.config.need_u64(&["hidden_size"])?);
    if heads.checked_mul(head) != Some(width) {
        bail!(
            CheckpointArchitecture,
            "config.json: {heads} heads of {head} are not hidden_size {width}; the engine computes GLM with such heads alone"
        )
    }
    let rope = from.config.map(&["rope_parameters"])?;
    let part =
        rope.and_then(|rope| rope.get("partial_rotary_factor")).and_then(serde_json::Value::as_f64);
    let part = part.or(from.config.f64(&["partial_rotary_factor"])?).unwrap_or(0.5);
    more.set(from.key("rope.dimension_count"), (head as f64 * part) as u32);
    Ok(())
}

fn extra(from: &Extra<'_>, more: &mut More) -> Result<()> {
    turned(from, more)?;
    rope::scaling(from, more)
}

fn chatglm(from: &Extra<'_>, more: &mut More) -> Result<()> {
    for (key, known) in KINDS {
        if from.config.bool(&[key])? == Some(!known) {
            bail!(
                CheckpointArchitecture,
                "config.json: {key} is {}; the engine computes ChatGLM with {known} alone",
                !known
            )
        }
    }
    turned(from, more)?;
    more.set(
        from.key("rope.freq_base"),
        (10_000.0 * from.config.need_f64(&["rope_ratio"])?) as f32,
    );
    Ok(())
}
