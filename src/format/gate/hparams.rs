//! Hyper-parameters: read, and checked against each other.

use super::arch::{Arch, Family};
use super::{scalars, single, widths};
use crate::error::{Result, bail, err};
use crate::format::gguf::{Gguf, ValueType};

/// The hyper-parameters that shapes follow from.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Hparams {
    /// The architecture's name, which is also the prefix of its keys.
    pub arch: String,
    pub(super) family: Option<Family>,
    /// Tokens in the vocabulary.
    pub n_vocab: u32,
    /// The context length in tokens that the model was trained for.
    pub n_ctx_train: u32,
    /// Layers.
    pub n_layer: u32,
    /// The width of the residual stream.
    pub n_embd: u32,
    /// The width of each layer's feed-forward part; zeros where a layer has none.
    pub n_ff: Vec<u32>,
    /// Query heads of each layer; zeros where a layer has no attention.
    pub n_head: Vec<u32>,
    /// Key and value heads of each layer.
    pub n_head_kv: Vec<u32>,
    /// The width of a key, and of a query.
    pub n_embd_head_k: u32,
    /// The width of a value.
    pub n_embd_head_v: u32,
    /// How many dimensions of a head are rotated.
    pub n_rot: u32,
    /// Experts; 0 for a dense model.
    pub n_expert: u32,
}

/// Reads and checks; `n_vocab` is left to the vocabulary's rules.
pub(super) fn read(gguf: &Gguf, arch: Arch) -> Result<Hparams> {
    scalars::check(gguf, arch)?;
    let int = |key: &str| gguf.u32(&arch.key(key));
    let n_layer = int("block_count")?.unwrap_or(0);
    let n_embd = int("embedding_length")?.unwrap_or(0);
    let zeros = || vec![0; n_layer as usize];
    let n_head = per_layer(gguf, arch, "attention.head_count", n_layer)?.unwrap_or_else(zeros);
    let n_head_kv = per_layer(gguf, arch, "attention.head_count_kv", n_layer)?;
    let n_head_kv = n_head_kv.unwrap_or_else(|| n_head.clone());
    let n_ff = per_layer(gguf, arch, "feed_forward_length", n_layer)?.unwrap_or_else(zeros);
    let first_heads = n_head.first().copied().unwrap_or(0);
    let even = n_embd.checked_div(first_heads).unwrap_or(0);
    let n_embd_head_k = int("attention.key_length")?.unwrap_or(even);
    let hparams = Hparams {
        arch: arch.name.to_owned(),
        family: arch.family,
        n_vocab: 0,
        n_ctx_train: int("context_length")?.unwrap_or(0),
        n_layer,
        n_embd,
        n_ff,
        n_head,
        n_head_kv,
        n_embd_head_k,
        n_embd_head_v: int("attention.value_length")?.unwrap_or(even),
        n_rot: int("rope.dimension_count")?.unwrap_or(n_embd_head_k),
        n_expert: int("expert_count")?.unwrap_or(0),
    };
    check_layers(gguf, arch, &hparams)?;
    check_experts(gguf, arch, &hparams)?;
    check_heads(arch, &hparams)?;
    if let Some(family) = arch.family {
        check_family_heads(gguf, arch, family, &hparams)?;
        check_family_layers(gguf, arch, &hparams)?;
    } else {
        widths::check(gguf, arch, &hparams)?;
        single::check(gguf, arch, &hparams)?;
    }
    Ok(hparams)
}

/// One number for all layers, or one for each.
fn per_layer(gguf: &Gguf, arch: Arch, key: &str, n_layer: u32) -> Result<Option<Vec<u32>>> {
    let key = arch.key(key);
    let Some(array) = gguf.get(&key).and_then(|v| v.as_array()) else {
        return Ok(gguf.u32(&key)?.map(|v| vec![v; n_layer as usize]));
    };
    if !matches!(array.element(), ValueType::U32 | ValueType::I32 | ValueType::Bool) {
        bail!(
            GgufArrayType,
            "{key} holds elements of type {}; u32 or i32 are expected: convert the model again",
            array.element().name()
        );
    }
    if array.len() != n_layer as usize {
        bail!(
            GgufLayerArray,
            "{key} has {} elements for {n_layer} layers; convert the model again",
            array.len()
        );
    }
    let values = if array.element() == ValueType::Bool {
        array.iter_scalars().map(|i| i.map(|v| u32::from(v.as_bool() == Some(true))).collect())
    } else {
        array.to_u32s()
    };
    values
        .map(Some)
        .ok_or_else(|| err!(GgufHyperParameter, "{key} holds a negative number; it is damaged"))
}

fn check_layers(gguf: &Gguf, arch: Arch, h: &Hparams) -> Result<()> {
    let nextn = gguf.u32(&arch.key("nextn_predict_layers"))?.unwrap_or(0);
    if nextn >= h.n_layer {
        bail!(
            GgufHyperParameter,
            "{} is {nextn} of {} layers; none would be left",
            arch.key("nextn_predict_layers"),
            h.n_layer
        );
    }
    if let Some(ff) = h.n_ff.iter().find(|ff| **ff > 1 << 24) {
        bail!(
            GgufHyperParameter,
            "{} is {ff}, which is out of range; the file is damaged",
            arch.key("feed_forward_length")
        );
    }
    check_window(gguf, arch, h)
}

/// A window needs a layer that slides. (Phi-3 has its window switched off by the engine.)
fn check_window(gguf: &Gguf, arch: Arch, h: &Hparams) -> Result<()> {
    let key = arch.key("attention.sliding_window_pattern");
    let slides = match gguf.get(&key).and_then(|v| v.as_array()) {
        None => gguf.u32(&key)? != Some(1),
        Some(array) => {
            if !matches!(array.element(), ValueType::U32 | ValueType::I32 | ValueType::Bool) {
                bail!(GgufArrayType, "{key} holds elements of type {}", array.element().name());
            }
            if array.len() > scalars::MAX_LAYERS as usize {
                bail!(
                    GgufLayerArray,
                    "{key} has {} elements for {} layers",
                    array.len(),
                    h.n_layer
                );
            }
            let layers = array.element().size().unwrap_or(1) * h.n_layer as usize;
            array.bytes().iter().take(layers).any(|byte| *byte != 0)
        }
    };
    let window = gguf.u32(&arch.key("attention.sliding_window"))?.unwrap_or(0);
    if window > 0 && !slides && h.family != Some(Family::Phi3) {
        bail!(
            GgufHyperParameter,
            "{key} lets no layer use the sliding window of {window} tokens; convert the model again"
        );
    }
    Ok(())
}

fn check_experts(gguf: &Gguf, arch: Arch, h: &Hparams) -> Result<()> {
    let int = |key: &str| Ok(gguf.u32(&arch.key(key))?.unwrap_or(0));
    let used = per_layer(gguf, arch, "expert_used_count", h.n_layer)?.unwrap_or_default();
    let used = used.into_iter().max().unwrap_or(0);
    let (groups, groups_used) = (int("expert_group_count")?, int("expert_group_used_count")?);
    let n = h.n_expert;
    // One expert or none is no mixture in some families: the engine forgets the counts there.
    let forgotten = n <= 1 && groups == 0 && matches!(arch.name, "hunyuan_vl" | "hunyuan-dense");
    let good = if n == 0 {
        used == 0 && groups == 0
    } else {
        (1..=n).contains(&used)
            && groups < n
            && (groups <= 1
                || (n.is_multiple_of(groups) && groups_used > 0 && groups_used < groups))
    };
    if !good && !forgotten {
        bail!(
            GgufExperts,
            "{n} experts, {used} used at once, {groups} groups with {groups_used} used do not fit \
             together; convert the model again"
        );
    }
    Ok(())
}

/// What holds for every architecture.
fn check_heads(arch: Arch, h: &Hparams) -> Result<()> {
    for (layer, (q, kv)) in h.n_head.iter().zip(&h.n_head_kv).enumerate() {
        let shared = kv.checked_rem(*kv).is_none() || q.checked_rem(*kv) == Some(0);
        if *q > 1 << 16 || *kv > 1 << 16 || !shared || (*kv > *q && *q > 0) {
            bail!(
                GgufHeadCount,
                "layer {layer} has {q} heads over {kv} key and value heads ({}), which do not divide; \
                 convert the model again",
                arch.key("attention.head_count")
            );
        }
    }
    Ok(())
}

/// What the known families need besides.
fn check_family_heads(gguf: &Gguf, arch: Arch, family: Family, h: &Hparams) -> Result<()> {
    let uniform = |v: &[u32]| v.windows(2).all(|w| w.first() == w.last());
    let (q, kv) = (first(&h.n_head), first(&h.n_head_kv));
    if q == 0 || kv == 0 || !uniform(&h.n_head) || !uniform(&h.n_head_kv) {
        bail!(
            GgufHeadCount,
            "{} needs the same number of heads, above zero, in every layer; found {q} and {kv} in the \
             first: convert the model again",
            arch.name
        );
    }
    let (k, v) = (h.n_embd_head_k, h.n_embd_head_v);
    let square = !matches!(family, Family::Llama | Family::Qwen3 | Family::Gemma3);
    let width = u64::from(k) * u64::from(q);
    if k == 0 || k != v || (square && width != u64::from(h.n_embd)) {
        bail!(
            GgufHeadCount,
            "{q} heads of {k} (keys) and {v} (values) do not make up an embedding of {}; convert the \
             model again",
            h.n_embd
        );
    }
    let whole = matches!(family, Family::Llama | Family::Qwen2 | Family::Qwen3);
    let rotates = family != Family::Gpt2;
    if rotates
        && (h.n_rot > k || !h.n_rot.is_multiple_of(2) || h.n_rot == 0 || (whole && h.n_rot != k))
    {
        bail!(
            GgufHeadCount,
            "{} is {} for heads of {k}; convert the model again",
            arch.key("rope.dimension_count"),
            h.n_rot
        );
    }
    for (key, full) in [
        ("attention.key_length_swa", k),
        ("attention.value_length_swa", v),
        ("rope.dimension_count_swa", h.n_rot),
    ] {
        if gguf.u32(&arch.key(key))?.is_some_and(|swa| swa != full) {
            bail!(GgufHeadCount, "{} must be {full}, as in the other layers", arch.key(key));
        }
    }
    Ok(())
}

fn check_family_layers(gguf: &Gguf, arch: Arch, h: &Hparams) -> Result<()> {
    if first(&h.n_ff) == 0 || h.n_ff.windows(2).any(|w| w.first() != w.last()) {
        bail!(
            GgufHyperParameter,
            "{} must be the same number above zero in every layer; convert the model again",
            arch.key("feed_forward_length")
        );
    }
    let norm = if h.family == Some(Family::Gpt2) {
        "attention.layer_norm_epsilon"
    } else {
        "attention.layer_norm_rms_epsilon"
    };
    let norm = arch.key(norm);
    match gguf.f32(&norm)? {
        None => bail!(GgufKeyMissing, "{norm} is missing; convert the model again"),
        Some(0.0) => bail!(GgufHyperParameter, "{norm} is 0; convert the model again"),
        Some(_) => {}
    }
    if gguf.u32(&arch.key("nextn_predict_layers"))?.unwrap_or(0) > 0 {
        bail!(
            GgufHyperParameter,
            "{} is above zero, which {} models cannot have",
            arch.key("nextn_predict_layers"),
            arch.name
        );
    }
    if gguf.bool(&arch.key("attention.causal"))? == Some(false) {
        bail!(
            GgufHyperParameter,
            "{} is false: an encoder cannot generate text; give a generative model",
            arch.key("attention.causal")
        );
    }
    if h.n_expert > 0 && h.family != Some(Family::Llama) {
        bail!(
            GgufExperts,
            "{} has {} experts, which {} models cannot have",
            arch.key("expert_count"),
            h.n_expert,
            arch.name
        );
    }
    Ok(())
}

fn first(values: &[u32]) -> u32 {
    values.first().copied().unwrap_or(0)
}
