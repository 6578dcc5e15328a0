//! Which tensor types the engine can compute with.

use super::files::Tensors;
use crate::error::{Result, bail};
use crate::format::gguf::{GgmlType, TensorInfo};

pub(super) fn check(tensors: &Tensors) -> Result<()> {
    for t in tensors.values() {
        // A classifier of one label is a matrix of one row.
        let is_row = t.dims.iter().skip(1).all(|d| *d == 1) && t.name != "cls.output.weight";
        let usable = if is_row || is_elementwise(&t.name) {
            // Norms, biases and scales enter sums and products, which exist for F32 only.
            matches!(t.ggml_type, GgmlType::F32 | GgmlType::I32 | GgmlType::I64)
        } else {
            is_weight(t.ggml_type) || matches!(t.ggml_type, GgmlType::I32 | GgmlType::I64)
        };
        if !usable {
            bail!(
                GgufTensorRole,
                "tensor {} has type {}, with which the engine cannot compute here; quantize the model \
                 again",
                t.name,
                t.ggml_type
            );
        }
    }
    check_scales(tensors)
}

/// Parts of a layer that are no matrices to multiply with, although they have rows: the engine adds them, multiplies element
/// by element, or filters along the tokens.
const ELEMENTWISE: &[&str] = &[
    "attn_conv_base",
    "attn_res_score",
    "attn_sinks",
    "exp_probs_b",
    "ffn.act",
    "ffn_conv_base",
    "ffn_res_score",
    "hrm.z_l_init",
    "indexer_compressor_ape",
    "output_res_score",
    "shortconv.conv",
    "ssm_a",
    "ssm_conv1d",
    "ssm_conv1d_k",
    "ssm_conv1d_q",
    "ssm_conv1d_v",
    "ssm_d",
    "time_mix_a0",
    "time_mix_decay",
    "time_mix_first",
    "time_mix_k_a",
    "time_mix_k_k",
    "time_mix_ln",
    "time_mix_r_k",
    "time_mix_v0",
    "time_mix_w0",
];

/// Whether a tensor of this name is used element by element, in any architecture.
fn is_elementwise(name: &str) -> bool {
    let layer = name.split_once("blk.").and_then(|(_, rest)| rest.split_once('.'));
    let part = layer.map_or(name, |(_, part)| part);
    if part.ends_with(".bias") {
        return true;
    }
    let part = part.strip_suffix(".weight").unwrap_or(part);
    let last = part.rsplit('.').next().unwrap_or(part);
    last.split('_').any(|word| matches!(word, "norm" | "enorm" | "hnorm" | "norm1" | "norm2"))
        || part.starts_with("time_mix_lerp_")
        || part.starts_with("channel_mix_lerp_")
        || part.ends_with("_scale")
        || part.starts_with("hc_") && part.ends_with("_base")
        || ELEMENTWISE.contains(&part)
}

/// Whether a matrix of this type can be multiplied.
pub(super) fn is_weight(ggml_type: GgmlType) -> bool {
    use GgmlType as T;
    !matches!(ggml_type, T::I8 | T::I16 | T::I32 | T::I64 | T::F64 | T::Q8_1 | T::Q8_K)
}

/// NVFP4 weights keep a scale beside them, which the engine cannot combine with everything.
fn check_scales(tensors: &Tensors) -> Result<()> {
    let is_nvfp4 = |t: &&&TensorInfo| t.ggml_type == GgmlType::NVFP4;
    for t in tensors.values().filter(is_nvfp4) {
        let Some(base) = t.name.strip_suffix(".weight") else { continue };
        let has = |suffix: &str| tensors.contains_key(format!("{base}.{suffix}").as_str());
        let tied = base == "token_embd" && !tensors.contains_key("output.weight");
        let output_scale =
            tensors.contains_key("output.scale") || tensors.contains_key("output.input_scale");
        if (has("scale") && has("bias")) || (tied && output_scale) {
            bail!(
                GgufTensorRole,
                "tensor {} of type NVFP4 has a scale where the engine cannot apply one; quantize the \
                 model again",
                t.name
            );
        }
    }
    Ok(())
}
