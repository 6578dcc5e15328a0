//! Phi-3 and Phi-4: one weight for queries, keys and values, one for gate and up.

use super::{Arch, Gate};
use crate::error::Result;
use crate::format::ModelFiles;

pub(super) fn describe(files: &ModelFiles) -> Result<Arch> {
    let mut arch = Arch::base(files, true)?;
    arch.fused_qkv = true;
    arch.gate = Gate::Fused;
    if let Some(rotation) = &mut arch.rotation {
        // Rows are never longer than the context before it was stretched.
        let short = "rope_factors_short.weight";
        rotation.factors = files.tensor(short).map(|_| short).or(rotation.factors);
    }
    Ok(arch)
}
