//! A model's weights as tensors of a workspace: mapped from the file where they lie well, else copied.

use std::collections::HashMap;
use std::sync::Arc;

use crate::cancel::CancelToken;
use crate::error::{Result, err};
use crate::format::gguf::{GgmlType, TensorInfo};
use crate::format::{ModelFiles, Part};
use crate::ggml::{ALIGNMENT, F32, Held, I32, Shape, Tensor, Workspace};

/// Every weight by its name in the file.
pub(super) struct Weights(HashMap<String, (Tensor, i64)>);

impl Weights {
    pub(super) fn load(workspace: &mut Workspace, files: &ModelFiles) -> Result<Self> {
        let mut all = HashMap::new();
        for part in files.parts() {
            let infos: Vec<&TensorInfo> = part.gguf().tensors().iter().collect();
            let tensors = load_part(workspace, part, &infos)?;
            for (info, tensor) in infos.into_iter().zip(tensors) {
                let tensor = if info.dims.len() < 2 && info.ggml_type != GgmlType::F32 {
                    as_f32(workspace, tensor, info)?
                } else {
                    tensor
                };
                let rows = info.dims.get(1).copied().unwrap_or(1);
                all.insert(info.name.clone(), (tensor, rows as i64));
            }
        }
        Ok(Self(all))
    }

    #[cfg(test)]
    pub(super) fn replace(&mut self, name: &str, tensor: Tensor) {
        if let Some((place, _)) = self.0.get_mut(name) {
            *place = tensor;
        }
    }

    pub(super) fn get(&self, name: &str) -> Option<Tensor> {
        self.0.get(name).map(|(tensor, _)| *tensor)
    }

    /// The rows of every weight whose name begins so.
    pub(super) fn rows(&self, prefix: &str) -> impl Iterator<Item = i64> {
        self.0.iter().filter(move |(name, _)| name.starts_with(prefix)).map(|(_, (_, rows))| *rows)
    }

    /// # Errors
    /// `Internal`: the gate has seen to it that a model has its weights.
    pub(super) fn need(&self, name: &str) -> Result<Tensor> {
        self.get(name).ok_or_else(|| err!(Internal, "the model has no tensor {name}"))
    }
}

fn load_part(workspace: &mut Workspace, part: &Part, infos: &[&TensorInfo]) -> Result<Vec<Tensor>> {
    let shape = |t: &TensorInfo| -> (u32, Vec<u64>) { (t.ggml_type.id(), t.dims.clone()) };
    let shapes: Vec<_> = infos.iter().map(|t| shape(t)).collect();
    let shapes: Vec<Shape<'_>> = shapes.iter().map(|(id, dims)| (*id, dims.as_slice())).collect();
    let bytes = Arc::new(part.gguf().opened().map()?);
    let aligned = bytes.as_slice().as_ptr().addr() % ALIGNMENT == 0
        && infos.iter().all(|t| t.offset % ALIGNMENT as u64 == 0);
    if aligned {
        let list: Vec<_> = shapes.iter().zip(infos).map(|(shape, t)| (*shape, t.offset)).collect();
        return workspace.mapped(bytes as Held, &list);
    }
    let tensors = workspace.tensors(&shapes)?;
    if !workspace.is_planning() {
        for (tensor, info) in tensors.iter().zip(infos) {
            workspace.write_bytes(*tensor, &part.gguf().read_data(info)?)?;
        }
    }
    Ok(tensors)
}

/// Norms and biases in a type other than f32, dequantized once.
fn as_f32(workspace: &mut Workspace, tensor: Tensor, info: &TensorInfo) -> Result<Tensor> {
    let n = info.dims.first().copied().unwrap_or(1);
    let made = workspace.tensors(&[(F32, &[n]), (I32, &[1])])?;
    let [to, first] = made.as_slice() else { return Ok(tensor) };
    let g = workspace.graph(4)?;
    let copy = g.copy(g.get_rows(tensor, *first), *to);
    g.run(&[copy], &CancelToken::new())?;
    Ok(*to)
}
