//! Pieces and metadata become one GGUF file, with progress, and whole or not at all.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use serde::Serialize;

use super::encode::{Importances, parts};
use super::ordered::ordered;
use super::piece::Piece;
use crate::error::{Error, Result, bail, err};
use crate::format::gguf::{GgmlType, Value, Writer};
use crate::format::replace_model;
use crate::job::Monitor;

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Written {
    /// The tensors in the file.
    pub n_tensors: u64,
    /// Their numbers.
    pub n_parameters: u64,
    /// Bytes that the tensors took in the source.
    pub bytes_before: u64,
    /// Bytes that they take now.
    pub bytes: u64,
    /// Tensors of each type.
    pub types: BTreeMap<String, u64>,
}

/// What a model file is made of.
pub(crate) struct Contents<'a> {
    pub kv: &'a [(String, Value)],
    pub pieces: &'a [Piece<'a>],
    /// The type of each piece.
    pub types: &'a [GgmlType],
    pub importances: &'a Importances<'a>,
}

/// Writes a model file. `n_threads` 0 means all. `check` looks at the whole file before it takes its name.
///
/// # Errors
/// `TensorValue`, `Cancelled`, those of reading the pieces, of files and of `check`: `path` is as it was then.
pub(crate) fn write_model(
    path: &Path,
    contents: &Contents<'_>,
    n_threads: usize,
    check: impl FnOnce(&File) -> Result<()>,
    monitor: &Monitor,
) -> Result<Written> {
    let Contents { pieces, types, importances, .. } = *contents;
    let written = plan(pieces, types)?;
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(n_threads)
        .thread_name(|_| "nestling-quantize".into())
        .build()
        .map_err(|e| Error::io(&std::io::Error::other(e), "starting worker threads"))?;
    let encoded = pieces.iter().zip(types).flat_map(|(piece, to)| {
        parts(piece).into_iter().map(move |part| {
            move || {
                monitor.cancel().check("writing the model")?;
                part.encode(piece, *to, importances)
            }
        })
    });
    replace_model(path, "writing the model", |out| {
        ordered(&pool, encoded, |encoded| {
            let encoded = Mutex::new(encoded);
            let (done, all) = (AtomicU64::new(0), written.n_parameters.max(1));
            let mut writer = Writer::new();
            for (key, value) in contents.kv {
                writer.set(key, value.clone());
            }
            for (piece, to) in pieces.iter().zip(types) {
                let (encoded, done) = (&encoded, &done);
                writer.tensor_made(&piece.name, &piece.dims, *to, move |out| {
                    for part in parts(piece) {
                        let bytes =
                            encoded.lock().unwrap_or_else(PoisonError::into_inner).next()??;
                        out.write_all(&bytes).map_err(|e| Error::io(&e, "writing the tensor"))?;
                        let n = part.n_numbers(piece);
                        let now = done.fetch_add(n, Ordering::Relaxed) + n;
                        monitor.report(now as f32 / all as f32);
                    }
                    Ok(())
                });
            }
            writer.write_to(out)
        })?;
        out.flush().map_err(|e| Error::io(&e, "writing the model"))?;
        pieces.iter().try_for_each(|piece| piece.rows.check_unchanged())?;
        check(out.get_ref().file())
    })?;
    Ok(written)
}

/// What would be written.
///
/// # Errors
/// `QuantizeType` for a tensor whose rows are not whole blocks of its type.
pub(crate) fn plan(pieces: &[Piece<'_>], types: &[GgmlType]) -> Result<Written> {
    if pieces.len() != types.len() {
        bail!(Internal, "{} tensors have {} types", pieces.len(), types.len())
    }
    let mut written = Written {
        n_tensors: pieces.len() as u64,
        n_parameters: 0,
        bytes_before: 0,
        bytes: 0,
        types: BTreeMap::new(),
    };
    for (piece, to) in pieces.iter().zip(types) {
        let bytes = piece.bytes_as(*to).ok_or_else(|| {
            err!(
                QuantizeType,
                "tensor {} has rows of {}, which are not whole blocks of {to} ({}); choose another type for it with \
                 tensor_types",
                piece.name,
                piece.width(),
                to.block_size()
            )
        })?;
        written.n_parameters += piece.width() * piece.n_rows();
        written.bytes_before += piece.bytes_as(piece.ggml_type).unwrap_or(0);
        written.bytes += bytes;
        *written.types.entry(to.to_string()).or_default() += 1;
    }
    Ok(written)
}
