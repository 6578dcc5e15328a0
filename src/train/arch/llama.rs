//! Llama, Mistral, SmolLM and their relatives.

use super::{Arch, key_f32};
use crate::error::Result;
use crate::format::ModelFiles;

pub(super) fn describe(files: &ModelFiles) -> Result<Arch> {
    let mut arch = Arch::base(files, false)?;
    if let Some(scale) = key_f32(files, "attention.scale")?.filter(|s| *s != 0.0) {
        arch.attention_scale = scale;
    }
    Ok(arch)
}
