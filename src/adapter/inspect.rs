//! What an adapter is, of either format, without its base model.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Serialize;

use super::fit::target;
use super::gguf;
use super::lora::Pair;
use super::peft::Peft;
use crate::error::Result;

/// An adapter, described.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// `gguf` or `peft`.
    pub format: &'static str,
    /// Its name, perhaps empty.
    pub name: String,
    /// The architecture of the models that it is for; a PEFT directory does not say it.
    pub architecture: Option<String>,
    /// What its base model is called, perhaps empty.
    pub base_model: String,
    /// The largest rank of its pairs.
    pub rank: u64,
    /// The scale of its products; the largest, where they differ.
    pub scale: f64,
    /// The scale before division by the rank (or by its root, for rsLoRA).
    pub alpha: f64,
    /// Whether the scale is alpha / sqrt(rank).
    pub rs_lora: bool,
    /// How many weights it changes.
    pub n_pairs: u64,
    /// The numbers in its pairs.
    pub n_parameters: u64,
    /// The bytes of its pairs.
    pub bytes: u64,
    /// The layers that it changes.
    pub layers: Vec<u32>,
    /// Pairs of each type of number.
    pub types: BTreeMap<&'static str, u64>,
    /// How much it changes all weights: the Frobenius norm of scale * B A.
    pub norm: f64,
    /// The weights that it changes, without their layers.
    pub targets: Vec<TargetSummary>,
}

/// The pairs of one kind of weight.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TargetSummary {
    /// `attn_q`, or `self_attn.q_proj` in a PEFT directory.
    pub target: String,
    /// In how many layers it is changed.
    pub n_layers: u64,
    /// Inputs of the weight.
    pub n_in: u64,
    /// Its outputs.
    pub n_out: u64,
    /// The largest rank.
    pub rank: u64,
    /// The Frobenius norm of scale * B A over all layers.
    pub norm: f64,
}

/// Reads an adapter, a GGUF file or a PEFT directory, and says what is in it.
///
/// # Errors
/// `PeftFormat`, `PeftUnsupported`, `PeftTensor`, `Adapter...`, `Gguf...`, `Safetensors`, `TensorValue`, and those of
/// files.
pub fn inspect(path: impl AsRef<Path>) -> Result<Summary> {
    let path = path.as_ref();
    if path.is_dir() {
        let peft = Peft::read(path)?;
        let mut found = summary("peft", &peft.pairs, peft.rs_lora);
        found.base_model = peft.base_model;
        Ok(found)
    } else {
        let lora = gguf::read(path)?;
        let mut found = summary("gguf", &lora.pairs, lora.rs_lora);
        (found.name, found.base_model) = (lora.name, lora.base_model);
        found.architecture = Some(lora.architecture);
        Ok(found)
    }
}

fn summary(format: &'static str, pairs: &BTreeMap<String, Pair>, rs_lora: bool) -> Summary {
    let mut targets: BTreeMap<&str, TargetSummary> = BTreeMap::new();
    let (mut types, mut layers) = (BTreeMap::new(), BTreeSet::new());
    let (mut n_parameters, mut bytes, mut squares) = (0, 0, 0.0);
    for (name, pair) in pairs {
        let (layer, target) = split(name);
        layers.extend(layer);
        *types.entry(pair.b.number.name()).or_default() += 1;
        n_parameters += pair.n_parameters();
        bytes += (pair.a.bytes.len() + pair.b.bytes.len()) as u64;
        let square = pair.norm().powi(2);
        squares += square;
        let found = targets.entry(target).or_insert_with(|| TargetSummary {
            target: target.to_owned(),
            n_layers: 0,
            n_in: pair.a.columns as u64,
            n_out: pair.b.rows as u64,
            rank: 0,
            norm: 0.0,
        });
        found.n_layers += 1;
        found.rank = found.rank.max(pair.rank() as u64);
        found.norm = found.norm.hypot(square.sqrt());
    }
    let largest = pairs.values().max_by(|a, b| a.scale.abs().total_cmp(&b.scale.abs()));
    let (scale, rank) = largest.map_or((0.0, 0.0), |p| (p.scale, p.rank() as f64));
    Summary {
        format,
        name: String::new(),
        architecture: None,
        base_model: String::new(),
        rank: pairs.values().map(|p| p.rank() as u64).max().unwrap_or(0),
        scale,
        alpha: scale * if rs_lora { rank.sqrt() } else { rank },
        rs_lora,
        n_pairs: pairs.len() as u64,
        n_parameters,
        bytes,
        layers: layers.into_iter().collect(),
        types,
        norm: squares.sqrt(),
        targets: targets.into_values().collect(),
    }
}

/// The layer and the target of a weight or a module.
fn split(name: &str) -> (Option<u32>, &str) {
    if let Some(rest) = name.strip_prefix("blk.") {
        let layer = rest.split_once('.').and_then(|(layer, _)| layer.parse().ok());
        return (layer, target(name));
    }
    let after = |mark: &str| name.split_once(mark).and_then(|(_, rest)| rest.split_once('.'));
    let found = after("layers.").or_else(|| after("h."));
    match found.and_then(|(layer, module)| Some((layer.parse().ok()?, module))) {
        Some((layer, module)) => (Some(layer), module),
        None => (None, target(name)),
    }
}
