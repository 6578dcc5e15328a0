//! Tensors of a GGUF file, as pieces.

use std::time::SystemTime;

use super::piece::{Piece, Rows};
use crate::error::{Result, bail, err};
use crate::format::ModelFiles;
use crate::format::gguf::{Gguf, TensorInfo, Value};
use crate::ggml;

/// A tensor where it lies in its file. It is read and not mapped: a file that gets shorter meanwhile is an error then.
struct Stored {
    gguf: Gguf,
    tensor: TensorInfo,
    stamp: Option<(u64, SystemTime)>,
}

/// A metadata key and its value.
pub(crate) type Pair = (String, Value);

/// A model as it is, whether split or not: its metadata for one file, and its tensors.
///
/// # Errors
/// Those of files.
pub(crate) fn whole(files: &ModelFiles) -> Result<(Vec<Pair>, Vec<Piece<'static>>)> {
    let kv = files.gguf().kv().filter(|(key, _)| !key.starts_with("split."));
    let kv = kv.map(|(key, value)| (key.to_owned(), value.clone())).collect();
    let mut pieces = Vec::new();
    for part in files.parts() {
        for tensor in part.gguf().tensors() {
            pieces.push(stored(part.gguf(), tensor)?);
        }
    }
    Ok((kv, pieces))
}

/// A tensor of a file under its own name.
///
/// # Errors
/// Those of files.
pub(super) fn stored(gguf: &Gguf, tensor: &TensorInfo) -> Result<Piece<'static>> {
    let stamp = gguf.opened().stamp()?;
    Ok(Piece {
        name: tensor.name.clone(),
        dims: tensor.dims.clone(),
        ggml_type: tensor.ggml_type,
        rows: Box::new(Stored { gguf: gguf.clone(), tensor: tensor.clone(), stamp }),
    })
}

impl Rows for Stored {
    fn read(&self, first: u64, out: &mut [f32]) -> Result<()> {
        let stored_as = self.tensor.ggml_type;
        let row = self.tensor.dims.first().and_then(|width| stored_as.row_bytes(*width));
        let n_bytes = stored_as.row_bytes(out.len() as u64);
        let (Some(row), Some(n_bytes)) = (row, n_bytes) else {
            return Err(err!(Internal, "tensor {} has no whole rows", self.tensor.name));
        };
        let mut bytes = vec![0u8; n_bytes as usize];
        self.read_bytes(first * row, &mut bytes)?;
        ggml::dequantize(stored_as.id(), &bytes, out)
    }

    fn is_stored(&self) -> bool {
        true
    }

    fn read_bytes(&self, at: u64, out: &mut [u8]) -> Result<()> {
        self.gguf.opened().read_exact_at(out, self.tensor.offset + at)
    }

    fn check_unchanged(&self) -> Result<()> {
        if self.gguf.opened().stamp()? != self.stamp {
            bail!(
                SourceChanged,
                "the file that tensor {} is in was written to meanwhile; wait until it is whole, then start again",
                self.tensor.name
            )
        }
        Ok(())
    }
}
