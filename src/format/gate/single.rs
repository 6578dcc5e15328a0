//! What single architectures need besides: numbers that the engine takes for granted there.

use super::arch::Arch;
use super::hparams::Hparams;
use crate::error::{Result, bail};
use crate::format::gguf::Gguf;

/// A number that must lie in a range, if the file says it.
struct Range {
    archs: &'static [&'static str],
    key: &'static str,
    min: u32,
    max: u32,
}

/// Far more than any model has.
const MANY: u32 = 1 << 16;

const RANGES: &[Range] = &[
    Range { archs: &["deepseek4"], key: "attention.output_group_count", min: 1, max: MANY },
    Range { archs: &["deepseek4", "glm5-next"], key: "hyper_connection.count", min: 4, max: 4 },
    Range {
        archs: &["deepseek4", "glm5-next"],
        key: "hyper_connection.sinkhorn_iterations",
        min: 1,
        max: MANY,
    },
    Range { archs: &["ernie4_5-moe"], key: "interleave_moe_layer_step", min: 1, max: MANY },
    Range { archs: &["glm5-next"], key: "attention.indexer.kpool", min: 2, max: MANY },
    Range { archs: &["grovemoe"], key: "experts_per_group", min: 1, max: MANY },
    Range { archs: &["hrm_text"], key: "nextn_predict_layers", min: 0, max: 0 },
    Range { archs: &["hrm_text"], key: "hrm.layers_per_stack", min: 1, max: MANY },
    Range { archs: &["hrm_text"], key: "hrm.h_cycles", min: 1, max: MANY },
    Range { archs: &["hrm_text"], key: "hrm.l_cycles", min: 1, max: MANY },
    Range { archs: &["hy_v4"], key: "attention.key_length_mla", min: 1, max: MANY },
    Range { archs: &["hy_v4"], key: "attention.value_length_mla", min: 1, max: MANY },
    Range { archs: &["afmoe"], key: "attention.sliding_window", min: 1, max: u32::MAX },
    // Without a window it takes a scale of attention for granted that only a window brings.
    Range { archs: &["llama4"], key: "attention.sliding_window", min: 1, max: u32::MAX },
    Range { archs: &["minimax-m3"], key: "attention.indexer.block_size", min: 1, max: MANY },
    Range { archs: &["minimax-m3"], key: "attention.indexer.top_k", min: 0, max: 1 << 24 },
    Range { archs: &["plamo2"], key: "ssm.group_count", min: 0, max: 0 },
];

/// Architectures that choose experts as the file says; others have a way of their own, and some write 0.
const GATED_AS_SAID: &[&str] = &[
    "bailingmoe2",
    "bailingmoe3",
    "deepseek32",
    "deepseek4",
    "dots1",
    "dots3note",
    "exaone-moe",
    "hy_v4",
    "kimi-k3",
    "kimi-linear",
    "lfm2",
    "lfm2moe",
    "minimax-m2",
    "minimax-m3",
    "smallthinker",
];

/// Architectures whose state spaces are twice as wide as the residual stream.
const TWICE_AS_WIDE: &[&str] = &["granitehybrid", "jamba"];

/// Architectures with a gated delta rule: as many values as keys in a head, and whole groups of value heads.
const DELTA: &[&str] = &["clef", "qwen35", "qwen35moe", "qwen3next", "qwen4exp"];

pub(super) fn check(gguf: &Gguf, arch: Arch, h: &Hparams) -> Result<()> {
    let int = |key: &str| Ok(gguf.u32(&arch.key(key))?.unwrap_or(0));
    for Range { key, min, max, .. } in RANGES.iter().filter(|r| r.archs.contains(&arch.name)) {
        let key = arch.key(key);
        if let Some(v) = gguf.u32(&key)?.filter(|v| !(*min..=*max).contains(v)) {
            bail!(
                GgufHyperParameter,
                "{key} is {v}; it must be from {min} to {max} in {} models: convert the model again",
                arch.name
            );
        }
    }
    let gating = arch.key("expert_gating_func");
    if h.n_expert > 0 && GATED_AS_SAID.contains(&arch.name) && gguf.u32(&gating)? == Some(0) {
        bail!(
            GgufExperts,
            "{gating} is 0, which does not say how experts are chosen; convert the model again"
        );
    }
    let fits = match arch.name {
        "glm-dsa" | "glm5-next" => {
            let pool = int("attention.indexer.kpool")?;
            let whole = int("attention.indexer.top_k")?.checked_rem(pool).unwrap_or(0) == 0;
            // Layers without an index of their own use that of one before.
            let attention = h.n_head_kv.iter().position(|n| *n > 0).unwrap_or(0);
            whole && in_layer(gguf, &arch.key("attention.indexer.types"), attention) != Some(0)
        }
        "hrm_text" => {
            let layers = int("hrm.layers_per_stack")?.checked_mul(int("hrm.h_cycles")?);
            let cycles = int("hrm.l_cycles")?.checked_add(1);
            layers.zip(cycles).and_then(|(a, b)| a.checked_mul(b)) == Some(h.n_layer)
        }
        "minicpm3" | "plm" => h.n_head == h.n_head_kv,
        // The last layer has fewer rows than the pictures that would be added there.
        "qwen3vl" | "qwen3vlmoe" => int("n_deepstack_layers")? < h.n_layer,
        name if TWICE_AS_WIDE.contains(&name) => {
            h.n_embd.checked_mul(2) == Some(int("ssm.inner_size")?)
        }
        name if DELTA.contains(&name) => {
            let (values, keys) = (int("ssm.time_step_rank")?, int("ssm.group_count")?);
            values.checked_rem(keys) == Some(0)
                && values.checked_mul(int("ssm.state_size")?) == Some(int("ssm.inner_size")?)
                && (name != "qwen4exp" || has_whole_ngrams(gguf, arch, h)?)
        }
        _ => true,
    };
    if !fits {
        bail!(
            GgufHyperParameter,
            "the numbers of layers, heads, groups and widths of this {} model do not fit together; convert the model \
             again",
            arch.name
        );
    }
    check_others(gguf, arch)
}

/// Whether the embeddings of a token's n-grams, one behind the other, are as wide as the residual stream.
fn has_whole_ngrams(gguf: &Gguf, arch: Arch, h: &Hparams) -> Result<bool> {
    let int = |key: &str| gguf.u32(&arch.key(key));
    let Some(longest) = int("ple.ngram_size")?.filter(|n| *n > 1) else { return Ok(true) };
    let heads = int("ple.heads_per_ngram")?.unwrap_or(0).checked_mul(longest - 1);
    let width = heads.and_then(|n| n.checked_mul(int("embedding_length_per_layer_input").ok()??));
    Ok(width == Some(h.n_embd))
}

/// The number of one layer; the array may have none for layers that are no part of the model proper.
fn in_layer(gguf: &Gguf, key: &str, layer: usize) -> Option<u32> {
    let value = gguf.get(key)?;
    match value.as_array() {
        Some(array) => array.to_u32s()?.get(layer).copied(),
        None => gguf.u32(key).ok()?,
    }
}

/// What are no integers.
fn check_others(gguf: &Gguf, arch: Arch) -> Result<()> {
    let key = arch.key("attention.temperature_length");
    let scaled = gguf.f32(&arch.key("attention.temperature_scale"))?.is_some_and(|v| v != 0.0);
    if matches!(arch.name, "deepseek2" | "deepseek2-ocr" | "mistral4")
        && scaled
        && gguf.u32(&key)?.unwrap_or(0) == 0
    {
        bail!(
            GgufHyperParameter,
            "{key} is 0 or missing, but attention is scaled with the position; convert the model again"
        );
    }
    if arch.name == "bailingmoe3" {
        let key = arch.key("kda.safe_gate");
        if gguf.bool(&key)? == Some(false) {
            bail!(GgufHyperParameter, "{key} must be true; the engine runs no other gate");
        }
        let key = arch.key("kda.gate_lower_bound");
        if !gguf.f32(&key)?.is_some_and(|v| v < 0.0) {
            bail!(GgufHyperParameter, "{key} must be below zero; convert the model again");
        }
    }
    Ok(())
}
