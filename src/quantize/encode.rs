//! A tensor's numbers in the bytes of another type, a few rows at a time.

use super::piece::Piece;
use crate::error::{Result, bail, err};
use crate::format::gguf::GgmlType;
use crate::ggml;

/// The largest number of half precision, which the scales of all quantized types have.
const MAX_F16: f32 = 65504.0;

/// A tensor's importances by its name: one for each column, of each matrix of the third dimension.
pub(crate) type Importances<'a> = dyn Fn(&str) -> Option<&'a [f32]> + Sync + 'a;

/// Some rows of a tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Part {
    first: u64,
    n_rows: u64,
}

/// A tensor in parts of whole rows. The rows of one part are of one matrix, so that they share its importances.
pub(super) fn parts(piece: &Piece<'_>) -> Vec<Part> {
    let matrix_rows = piece.matrix_rows();
    let rows = (piece.rows.part() / piece.width().max(1)).clamp(1, matrix_rows);
    let mut parts = Vec::new();
    let mut first = 0;
    while first < piece.n_rows() {
        let n_rows = rows.min(matrix_rows - first % matrix_rows).min(piece.n_rows() - first);
        parts.push(Part { first, n_rows });
        first += n_rows;
    }
    parts
}

impl Part {
    /// The numbers in it.
    pub fn n_numbers(self, piece: &Piece<'_>) -> u64 {
        self.n_rows * piece.width()
    }

    /// Its bytes in the type `to`.
    ///
    /// # Errors
    /// `TensorValue` for a number that is not finite or too large, and those of reading.
    pub fn encode(
        self,
        piece: &Piece<'_>,
        to: GgmlType,
        importances: &Importances<'_>,
    ) -> Result<Vec<u8>> {
        let width = piece.width();
        if to == piece.ggml_type && piece.rows.is_stored() {
            let row = to.row_bytes(width).ok_or_else(|| {
                err!(Internal, "the rows of {} are not whole blocks of {to}", piece.name)
            })?;
            let mut bytes = vec![0u8; (self.n_rows * row) as usize];
            piece.rows.read_bytes(self.first * row, &mut bytes)?;
            return Ok(bytes);
        }
        let mut values = vec![0f32; self.n_numbers(piece) as usize];
        piece.rows.read(self.first, &mut values)?;
        check(&piece.name, to, &values)?;
        let at = (self.first / piece.matrix_rows() * width) as usize;
        let matrix = importances(&piece.name).and_then(|m| m.get(at..at + width as usize));
        ggml::quantize(to.id(), &values, width as usize, matrix)
    }
}

/// Numbers that the type cannot hold would become nonsense in the file, or end the process in the engine.
fn check(name: &str, to: GgmlType, values: &[f32]) -> Result<()> {
    let largest = if matches!(to, GgmlType::F32 | GgmlType::BF16) { f32::MAX } else { MAX_F16 };
    let is_bad = |v: f32| v.is_nan() | (v.abs() > largest);
    // Without a way out of it, the loop is one of vectors.
    if !values.iter().fold(false, |bad, v| bad | is_bad(*v)) {
        return Ok(());
    }
    match values.iter().find(|v| is_bad(**v)) {
        Some(bad) if bad.is_finite() => bail!(
            TensorValue,
            "tensor {name} holds {bad}, which {to} cannot hold; keep it with tensor_types={name}=F32"
        ),
        bad => bail!(
            TensorValue,
            "tensor {name} holds {}; the model is damaged, or its training failed: get it again",
            bad.copied().unwrap_or(f32::NAN)
        ),
    }
}
