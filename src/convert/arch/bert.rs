//! BERT: an encoder with learned positions and kinds of segments, and norms behind what they belong to. The head that
//! training needs is left out, and the layer that pools for it, too.

use serde_json::Value as Json;

use super::{
    Arch, Default, Dim, EMBD, Extra, FF, HEADS, LAYERS, Line, More, VOCAB, count, line, number,
};
use crate::convert::config::object;
use crate::error::{Result, bail, err};

const CONTEXT: Dim = Dim::Of(&["max_position_embeddings"]);
const TYPES: Dim = Dim::Of(&["type_vocab_size"]);

const LINES: &[Line] = &[
    line("embeddings.word_embeddings.weight", "token_embd.weight", &[VOCAB, EMBD]),
    line("embeddings.position_embeddings.weight", "position_embd.weight", &[CONTEXT, EMBD]),
    line("embeddings.token_type_embeddings.weight", "token_types.weight", &[TYPES, EMBD]),
    line("embeddings.LayerNorm.weight", "token_embd_norm.weight", &[EMBD]),
    line("embeddings.LayerNorm.bias", "token_embd_norm.bias", &[EMBD]),
    line("encoder.layer.{}.attention.self.query.weight", "blk.{}.attn_q.weight", &[EMBD, EMBD]),
    line("encoder.layer.{}.attention.self.query.bias", "blk.{}.attn_q.bias", &[EMBD]),
    line("encoder.layer.{}.attention.self.key.weight", "blk.{}.attn_k.weight", &[EMBD, EMBD]),
    line("encoder.layer.{}.attention.self.key.bias", "blk.{}.attn_k.bias", &[EMBD]),
    line("encoder.layer.{}.attention.self.value.weight", "blk.{}.attn_v.weight", &[EMBD, EMBD]),
    line("encoder.layer.{}.attention.self.value.bias", "blk.{}.attn_v.bias", &[EMBD]),
    line(
        "encoder.layer.{}.attention.output.dense.weight",
        "blk.{}.attn_output.weight",
        &[EMBD, EMBD],
    ),
    line("encoder.layer.{}.attention.output.dense.bias", "blk.{}.attn_output.bias", &[EMBD]),
    line(
        "encoder.layer.{}.attention.output.LayerNorm.weight",
        "blk.{}.attn_output_norm.weight",
        &[EMBD],
    ),
    line(
        "encoder.layer.{}.attention.output.LayerNorm.bias",
        "blk.{}.attn_output_norm.bias",
        &[EMBD],
    ),
    line("encoder.layer.{}.intermediate.dense.weight", "blk.{}.ffn_up.weight", &[FF, EMBD]),
    line("encoder.layer.{}.intermediate.dense.bias", "blk.{}.ffn_up.bias", &[FF]),
    line("encoder.layer.{}.output.dense.weight", "blk.{}.ffn_down.weight", &[EMBD, FF]),
    line("encoder.layer.{}.output.dense.bias", "blk.{}.ffn_down.bias", &[EMBD]),
    line("encoder.layer.{}.output.LayerNorm.weight", "blk.{}.layer_output_norm.weight", &[EMBD]),
    line("encoder.layer.{}.output.LayerNorm.bias", "blk.{}.layer_output_norm.bias", &[EMBD]),
];

pub(super) const BERT: Arch = Arch {
    classes: &["BertModel", "BertForMaskedLM"],
    name: "bert",
    prefixes: &["bert."],
    defaults: &[
        ("max_position_embeddings", Default::Int(512)),
        ("type_vocab_size", Default::Int(2)),
        ("layer_norm_eps", Default::Float(1e-12)),
    ],
    blocks: LAYERS,
    facts: &[&[
        count("block_count", &["num_hidden_layers"]),
        count("context_length", &["max_position_embeddings"]),
        count("embedding_length", &["hidden_size"]),
        count("feed_forward_length", &["intermediate_size"]),
        count("attention.head_count", HEADS),
        number("attention.layer_norm_epsilon", &["layer_norm_eps"]),
    ]],
    lines: &[LINES],
    ignored: &["embeddings.position_ids", "pooler.*", "cls.*"],
    extra,
};

fn extra(from: &Extra<'_>, more: &mut More) -> Result<()> {
    for (key, usual) in [("hidden_act", "gelu"), ("position_embedding_type", "absolute")] {
        if let Some(value) = from.config.str(&[key])?.filter(|value| *value != usual) {
            bail!(
                CheckpointArchitecture,
                "config.json: {key} is {value:?}; the engine computes BERT with {usual:?} alone"
            )
        }
    }
    more.set(from.key("attention.causal"), false);
    if let Some(pooling) = pooling(from)? {
        more.set(from.key("pooling_type"), pooling);
    }
    Ok(())
}

/// How sentence-transformers makes one vector of a text: the number by which the engine knows that. modules.json names
/// the folder; where it is missing, the folder that it usually names counts.
fn pooling(from: &Extra<'_>) -> Result<Option<u32>> {
    let modules = from.dir.join("modules.json");
    let mut folder = "1_Pooling".to_owned();
    if modules.is_file() {
        let broken = |e: &dyn std::fmt::Display| {
            err!(CheckpointConfig, "modules.json: {e}; get the checkpoint again")
        };
        let text = std::fs::read(&modules).map_err(|e| broken(&e))?;
        let modules: Json = serde_json::from_slice(&text).map_err(|e| broken(&e))?;
        let field =
            |module: &Json, name: &str| module.get(name).and_then(Json::as_str).map(str::to_owned);
        let mut found = None;
        for module in modules.as_array().into_iter().flatten() {
            let kind = field(module, "type").unwrap_or_default();
            match kind.rsplit('.').next() {
                Some("Pooling") => found = Some(module),
                // The vectors' length is the caller's choice, with the option `normalize`.
                Some("Transformer" | "Normalize" | "Dropout") => (),
                _ => bail!(
                    CheckpointArchitecture,
                    "modules.json: the engine has no {kind:?}, so its vectors would be others; take a model of Transformer, \
                     Pooling and Normalize alone, or remove modules.json to get the vectors before it"
                ),
            }
        }
        let Some(module) = found else { return Ok(None) };
        folder = field(module, "path").unwrap_or(folder);
    }
    // The name comes from a file: it must not lead out of the checkpoint.
    let inside = std::path::Path::new(&folder)
        .components()
        .all(|part| matches!(part, std::path::Component::Normal(_)));
    let path = from.dir.join(&folder).join("config.json");
    if !inside || !path.is_file() {
        return Ok(None);
    }
    let pooling = object(&path)?;
    let mode = pooling.get("pooling_mode").and_then(Json::as_str).unwrap_or_default();
    let flags = pooling.iter().filter(|(_, value)| value.as_bool() == Some(true));
    let flags = flags.filter_map(|(key, _)| key.strip_prefix("pooling_mode_"));
    let modes: Vec<_> = flags.chain(Some(mode).filter(|mode| !mode.is_empty())).collect();
    // Several are put one behind the other.
    match modes[..] {
        ["mean_tokens" | "mean"] => return Ok(Some(1)),
        ["cls_token" | "cls"] => return Ok(Some(2)),
        ["lasttoken"] => return Ok(Some(3)),
        _ => (),
    }
    bail!(
        CheckpointArchitecture,
        "{}: the engine pools by the mean, the first or the last token, one of them alone; this is {}",
        path.display(),
        if modes.is_empty() { "none of them".to_owned() } else { modes.join(" and ") }
    )
}
