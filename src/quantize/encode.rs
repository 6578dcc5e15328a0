//! A tensor's numbers in the bytes of another type, on all threads, a few rows at a time.

use std::io::Write;

use rayon::ThreadPool;
use rayon::iter::{IntoParallelRefIterator, ParallelIterator};

use super::piece::Piece;
use crate::error::{Error, Result, bail, err};
use crate::format::gguf::GgmlType;
use crate::ggml;

/// Numbers that a thread encodes at a time.
const TASK: u64 = 1 << 18;
/// Bytes that are copied at a time.
const COPY: u64 = 4 << 20;
/// The largest number of half precision, which the scales of all quantized types have.
const MAX_F16: f32 = 65504.0;

/// Writes the tensor in the type `to`. `matrix` has the importance of each column, for each matrix of the third
/// dimension. `copied` is told each time how many numbers were written, and can end the work.
///
/// # Errors
/// `TensorValue` for a number that is not finite or too large, those of reading and writing, and of `copied`.
pub(super) fn encode(
    piece: &Piece<'_>,
    to: GgmlType,
    matrix: Option<&[f32]>,
    pool: &ThreadPool,
    out: &mut dyn Write,
    copied: &(dyn Fn(u64) -> Result<()> + Sync),
) -> Result<()> {
    if to == piece.ggml_type && piece.rows.is_stored() {
        return copy(piece, to, out, copied);
    }
    let width = piece.width().max(1);
    // The rows of one matrix share its importances.
    let matrix_rows = piece.dims.get(1).copied().unwrap_or(1).max(1);
    let rows = (TASK / width).clamp(1, matrix_rows);
    let mut tasks = Vec::new();
    let mut first = 0;
    while first < piece.n_rows() {
        let n = rows.min(matrix_rows - first % matrix_rows);
        tasks.push((first, n));
        first += n;
    }
    for batch in tasks.chunks(4 * pool.current_num_threads()) {
        let one = |(first, n): &(u64, u64)| {
            let at = (first / matrix_rows * width) as usize;
            copied(0)?;
            let matrix = matrix.and_then(|m| m.get(at..at + width as usize));
            rows_as(piece, *first, *n, to, matrix)
        };
        let encoded: Vec<Vec<u8>> =
            pool.install(|| batch.par_iter().map(one).collect::<Result<_>>())?;
        for ((_, n), bytes) in batch.iter().zip(encoded) {
            out.write_all(&bytes).map_err(|e| Error::io(&e, "writing the tensor"))?;
            copied(n * width)?;
        }
    }
    Ok(())
}

fn rows_as(
    piece: &Piece<'_>,
    first: u64,
    n: u64,
    to: GgmlType,
    matrix: Option<&[f32]>,
) -> Result<Vec<u8>> {
    let mut values = vec![0f32; (n * piece.width()) as usize];
    piece.rows.read(first, &mut values)?;
    check(&piece.name, to, &values)?;
    ggml::quantize(to.id(), &values, piece.width() as usize, matrix)
}

/// Numbers that the type cannot hold would become nonsense in the file, or end the process in the engine.
fn check(name: &str, to: GgmlType, values: &[f32]) -> Result<()> {
    let largest = if matches!(to, GgmlType::F32 | GgmlType::BF16) { f32::MAX } else { MAX_F16 };
    match values.iter().find(|v| v.is_nan() || v.abs() > largest) {
        None => Ok(()),
        Some(bad) if bad.is_finite() => bail!(
            TensorValue,
            "tensor {name} holds {bad}, which {to} cannot hold; keep it with tensor_types={name}=F32"
        ),
        Some(bad) => bail!(
            TensorValue,
            "tensor {name} holds {bad}; the model is damaged, or its training failed: get it again"
        ),
    }
}

fn copy(
    piece: &Piece<'_>,
    ggml_type: GgmlType,
    out: &mut dyn Write,
    copied: &(dyn Fn(u64) -> Result<()> + Sync),
) -> Result<()> {
    let total = piece.bytes_as(ggml_type).ok_or_else(|| {
        err!(Internal, "the rows of {} are not whole blocks of {ggml_type}", piece.name)
    })?;
    let mut buffer = vec![0u8; COPY.min(total) as usize];
    let mut at = 0;
    while at < total {
        let n = (total - at).min(COPY);
        let chunk = buffer.get_mut(..n as usize).unwrap_or_default();
        piece.rows.read_bytes(at, chunk)?;
        out.write_all(chunk).map_err(|e| Error::io(&e, "writing the tensor"))?;
        at += n;
        copied(n / ggml_type.type_size() * ggml_type.block_size())?;
    }
    Ok(())
}
