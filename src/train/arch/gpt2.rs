//! GPT-2: layer norms, biases, learned positions, a plain GELU, one weight for queries, keys and values.

use super::{Arch, Gate, key_f32};
use crate::error::Result;
use crate::format::ModelFiles;
use crate::train::ops::Activation;

pub(super) fn describe(files: &ModelFiles) -> Result<Arch> {
    let mut arch = Arch::base(files, false)?;
    arch.eps = key_f32(files, "attention.layer_norm_epsilon")?.unwrap_or(1e-5);
    arch.centred_norms = true;
    arch.activation = Activation::Gelu;
    arch.fused_qkv = true;
    arch.gate = Gate::None;
    arch.rotation = None;
    Ok(arch)
}
