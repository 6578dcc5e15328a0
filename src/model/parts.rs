//! What each part of a model takes.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::format::gguf::{GgmlType, TensorInfo};

/// The size of one part of a model.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PartInfo {
    /// `embeddings`, `attention`, `feed-forward`, `norms`, `output` or `other`.
    pub part: &'static str,
    /// Its tensors.
    pub tensors: u32,
    /// Its weights.
    pub params: u64,
    /// Its size.
    pub bytes: u64,
    /// Bits of a weight, on average.
    pub bits_per_weight: f64,
    /// Its types, the largest share first.
    pub types: Vec<PartType>,
}

/// The share of one type in a part.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PartType {
    /// The type's name.
    pub r#type: &'static str,
    /// Tensors of that type.
    pub tensors: u32,
    /// Their size.
    pub bytes: u64,
}

/// The parts in the order of the flow.
const PARTS: &[&str] = &["embeddings", "attention", "feed-forward", "norms", "output", "other"];

/// The parts that there are.
pub(super) fn parts<'a>(tensors: impl Iterator<Item = &'a TensorInfo>) -> Vec<PartInfo> {
    let mut found: BTreeMap<&str, (PartInfo, BTreeMap<u32, PartType>)> = BTreeMap::new();
    for tensor in tensors {
        let name = part_of(&tensor.name);
        let new = || {
            let part = PartInfo {
                part: name,
                tensors: 0,
                params: 0,
                bytes: 0,
                bits_per_weight: 0.0,
                types: Vec::new(),
            };
            (part, BTreeMap::new())
        };
        let (part, types) = found.entry(name).or_insert_with(new);
        part.tensors += 1;
        part.params += tensor.n_elements();
        part.bytes += tensor.n_bytes;
        let r#type = GgmlType::name(tensor.ggml_type);
        let new = PartType { r#type, tensors: 0, bytes: 0 };
        let share = types.entry(tensor.ggml_type.id()).or_insert(new);
        share.tensors += 1;
        share.bytes += tensor.n_bytes;
    }
    let finish = |name: &&'static str| {
        let (mut part, types) = found.remove(name)?;
        part.bits_per_weight = bits(part.bytes, part.params);
        part.types = types.into_values().collect();
        part.types.sort_by_key(|share| std::cmp::Reverse(share.bytes));
        Some(part)
    };
    PARTS.iter().filter_map(finish).collect()
}

/// Bits of a weight, on average.
pub(super) fn bits(bytes: u64, params: u64) -> f64 {
    8.0 * bytes as f64 / params.max(1) as f64
}

/// The part that a tensor belongs to, by its name.
fn part_of(tensor: &str) -> &'static str {
    let words: Vec<_> = tensor.split('.').collect();
    // The kind (`weight`, `bias`) comes last; layers come first (`blk.0`, `enc.blk.0`).
    let name = match words.iter().position(|word| *word == "blk") {
        Some(at) => words.get(at + 2).copied().unwrap_or_default(),
        None => words.iter().rev().nth(1).or(words.first()).copied().unwrap_or_default(),
    };
    let begins = |prefixes: &[&str]| prefixes.iter().any(|prefix| name.starts_with(prefix));
    if name.contains("norm") {
        "norms"
    } else if begins(&["token_embd", "position_embd", "token_types", "per_layer_token_embd"]) {
        "embeddings"
    } else if begins(&["attn", "cross_attn", "attention"]) {
        "attention"
    } else if begins(&["ffn", "layer_output", "exp_probs"]) {
        "feed-forward"
    } else if name == "output" || tensor.starts_with("cls") {
        "output"
    } else {
        "other"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_the_part() {
        for (tensor, part) in [
            ("token_embd.weight", "embeddings"),
            ("token_embd_norm.weight", "norms"),
            ("position_embd.weight", "embeddings"),
            ("blk.0.attn_q.weight", "attention"),
            ("blk.0.attn_q_norm.weight", "norms"),
            ("blk.11.attn_output.bias", "attention"),
            ("blk.3.ffn_down_exps.weight", "feed-forward"),
            ("blk.3.ffn_norm.weight", "norms"),
            ("enc.blk.0.ffn_up.weight", "feed-forward"),
            ("dec.blk.0.cross_attn_q.weight", "attention"),
            ("enc.output_norm.weight", "norms"),
            ("output_norm.weight", "norms"),
            ("output.weight", "output"),
            ("cls.output.weight", "output"),
            ("rope_freqs.weight", "other"),
            ("blk.0.ssm_in.weight", "other"),
            ("odd", "other"),
        ] {
            assert_eq!(part_of(tensor), part, "{tensor}");
        }
    }

    #[test]
    fn parts_add_up() {
        let tensor = |name: &str, ggml_type: GgmlType, n: u64| TensorInfo {
            name: name.into(),
            dims: vec![n],
            ggml_type,
            offset: 0,
            n_bytes: ggml_type.row_bytes(n).unwrap(),
        };
        let found = parts(
            [
                tensor("blk.0.attn_q.weight", GgmlType::F32, 32),
                tensor("blk.0.attn_k.weight", GgmlType::Q8_0, 96),
                tensor("token_embd.weight", GgmlType::F16, 64),
            ]
            .iter(),
        );
        let names: Vec<_> = found.iter().map(|part| part.part).collect();
        assert_eq!(names, ["embeddings", "attention"]);
        assert_eq!((found[0].bytes, found[0].bits_per_weight), (128, 16.0));
        assert_eq!((found[1].tensors, found[1].params, found[1].bytes), (2, 128, 128 + 102));
        let types: Vec<_> = found[1].types.iter().map(|share| share.r#type).collect();
        assert_eq!(types, ["F32", "Q8_0"]);
    }
}
