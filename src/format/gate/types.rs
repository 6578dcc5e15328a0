//! Which tensor types the engine can compute with.

use super::files::Tensors;
use crate::error::{Result, bail};
use crate::format::gguf::{GgmlType, TensorInfo};

pub(super) fn check(tensors: &Tensors) -> Result<()> {
    for t in tensors.values() {
        let usable = if t.dims.iter().skip(1).all(|d| *d == 1) {
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
