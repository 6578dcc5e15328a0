//! Gemma 3: scaled embeddings, GEGLU, norms before and after each part, and layers that see a window only.

use super::{Arch, Rotation, key, key_f32};
use crate::error::Result;
use crate::format::ModelFiles;
use crate::format::gguf::Value;
use crate::train::ops::Activation;

/// The layers of the largest model, which scales its attention by another width.
const LAYERS_OF_27B: usize = 62;

pub(super) fn describe(files: &ModelFiles) -> Result<Arch> {
    let mut arch = Arch::base(files, true)?;
    arch.activation = Activation::Gelu;
    arch.embedding_scale = (arch.n_embd as f32).sqrt();
    if arch.n_layer == LAYERS_OF_27B {
        arch.attention_scale = 1.0 / ((arch.n_embd / arch.heads.max(1)) as f32).sqrt();
    }
    arch.logit_cap = key_f32(files, "final_logit_softcapping")?.filter(|cap| *cap != 0.0);
    arch.window = files.gguf().u32(&key(files, "attention.sliding_window"))?.filter(|w| *w > 0);
    arch.windowed = windowed(files, arch.n_layer);
    arch.rotation_windowed = Some(Rotation {
        freq_base: key_f32(files, "rope.freq_base_swa")?.unwrap_or(10_000.0),
        freq_scale: 1.0,
        ..arch.rotation.unwrap_or(super::rotation(files, true)?)
    });
    Ok(arch)
}

/// Which layers have the window: the file's list, or all but each last of a period.
fn windowed(files: &ModelFiles, n_layer: usize) -> Vec<bool> {
    let value = files.gguf().get(&key(files, "attention.sliding_window_pattern"));
    if let Some(Value::Array(list)) = value {
        let flag = |v: Value| v.as_bool().unwrap_or(v.as_u64() != Some(0));
        return list.iter_scalars().map_or_else(Vec::new, |flags| flags.map(flag).collect());
    }
    let period = value.and_then(Value::as_u64).unwrap_or(6);
    let windowed = |layer: u64| period == 0 || layer % period != period - 1;
    (0..n_layer as u64).map(windowed).collect()
}
