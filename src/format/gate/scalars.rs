//! Hyper-parameters with a range, as one table.

use super::arch::Arch;
use crate::error::{Result, bail, err};
use crate::format::gguf::Gguf;

/// An integer that must lie in a range if it is there.
struct Int {
    key: &'static str,
    min: u32,
    max: u32,
    required: bool,
}

const fn required(key: &'static str, min: u32, max: u32) -> Int {
    Int { key, min, max, required: true }
}

const fn optional(key: &'static str, min: u32, max: u32) -> Int {
    Int { key, min, max, required: false }
}

/// The most layers that the engine has room for.
pub(super) const MAX_LAYERS: u32 = 512;
/// The engine multiplies a window by up to 256 sequences in 32 bits.
const MAX_WINDOW: u32 = 1 << 23;
const MAX_WIDTH: u32 = 1 << 24;
const MAX_HEAD: u32 = 1 << 16;

/// What the engine's own writer says for a model that does not pool.
pub(crate) const NO_POOLING: u32 = u32::MAX;

const INTS: &[Int] = &[
    required("block_count", 1, MAX_LAYERS),
    required("embedding_length", 1, MAX_WIDTH),
    required("context_length", 1, i32::MAX as u32),
    optional("embedding_length_out", 1, MAX_WIDTH),
    optional("vocab_size", 1, 1 << 24),
    optional("attention.key_length", 1, MAX_HEAD),
    optional("attention.value_length", 1, MAX_HEAD),
    optional("attention.key_length_swa", 1, MAX_HEAD),
    optional("attention.value_length_swa", 1, MAX_HEAD),
    optional("rope.dimension_count", 0, MAX_HEAD),
    optional("rope.dimension_count_swa", 0, MAX_HEAD),
    optional("rope.scaling.original_context_length", 0, i32::MAX as u32),
    optional("attention.sliding_window", 0, MAX_WINDOW),
    optional("expert_count", 0, 1024),
    optional("expert_shared_count", 0, 1024),
    optional("expert_group_count", 0, 1024),
    optional("expert_group_used_count", 0, 1024),
    optional("expert_gating_func", 0, 4),
    optional("leading_dense_block_count", 0, MAX_LAYERS),
    optional("nextn_predict_layers", 0, MAX_LAYERS),
];

/// A float that must be finite, and above its bound, if it is there.
struct Float {
    key: &'static str,
    /// The value itself is allowed only when `inclusive`.
    above: f32,
    inclusive: bool,
}

const fn above_zero(key: &'static str) -> Float {
    Float { key, above: 0.0, inclusive: false }
}

const fn from_zero(key: &'static str) -> Float {
    Float { key, above: 0.0, inclusive: true }
}

const fn finite(key: &'static str) -> Float {
    Float { key, above: f32::MIN, inclusive: true }
}

const FLOATS: &[Float] = &[
    // The engine's own writer says 0 for norms that a model does not have.
    from_zero("attention.layer_norm_epsilon"),
    from_zero("attention.layer_norm_rms_epsilon"),
    from_zero("attention.group_norm_epsilon"),
    above_zero("rope.freq_base"),
    above_zero("rope.freq_base_swa"),
    from_zero("rope.scaling.factor"),
    from_zero("rope.scale_linear"),
    from_zero("rope.scaling.attn_factor"),
    finite("rope.scaling.alpha"),
    finite("rope.scaling.yarn_log_multiplier"),
    finite("attention.scale"),
    finite("attention.temperature_scale"),
    from_zero("attention.max_alibi_bias"),
    from_zero("attention.clamp_kqv"),
    from_zero("attn_logit_softcapping"),
    from_zero("final_logit_softcapping"),
    from_zero("router_logit_softcapping"),
    finite("logit_scale"),
    finite("residual_scale"),
    finite("embedding_scale"),
    finite("expert_weights_scale"),
];

const BOOLS: &[&str] = &["attention.causal", "rope.scaling.finetuned", "expert_weights_norm"];

pub(super) fn check(gguf: &Gguf, arch: Arch) -> Result<()> {
    for int in INTS {
        check_int(gguf, arch, int)?;
    }
    let pooling = optional("pooling_type", 0, 4);
    if gguf.u32(&arch.key(pooling.key))? != Some(NO_POOLING) {
        check_int(gguf, arch, &pooling)?;
    }
    for float in FLOATS {
        let key = arch.key(float.key);
        let Some(v) = gguf.f32(&key)? else { continue };
        if !v.is_finite() || v < float.above || (v == float.above && !float.inclusive) {
            bail!(
                GgufHyperParameter,
                "{key} is {v}, which is out of range; the file is damaged or was converted wrongly"
            );
        }
    }
    for key in BOOLS {
        gguf.bool(&arch.key(key))?;
    }
    let key = arch.key("rope.scaling.type");
    match gguf.str(&key)? {
        None | Some("none" | "linear" | "yarn" | "longrope") => Ok(()),
        Some(other) => bail!(
            GgufHyperParameter,
            "{key} is {other:?}; the engine knows none, linear, yarn and longrope"
        ),
    }
}

fn check_int(gguf: &Gguf, arch: Arch, int: &Int) -> Result<()> {
    let key = arch.key(int.key);
    match gguf.u32(&key)? {
        None if int.required => {
            Err(err!(GgufKeyMissing, "{key} is missing; convert the model again"))
        }
        Some(v) if !(int.min..=int.max).contains(&v) => Err(err!(
            GgufHyperParameter,
            "{key} is {v}; it must be from {} to {}: the file is damaged or was converted wrongly",
            int.min,
            int.max
        )),
        _ => Ok(()),
    }
}
