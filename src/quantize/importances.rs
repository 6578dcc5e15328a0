//! The importance matrix that rounding is told of: its file, whether it fits the model, and where it is needed.

use std::path::Path;

use super::imatrix::Imatrix;
use super::mix::Mix;
use super::piece::Piece;
use super::role::Role;
use crate::error::{Result, bail};
use crate::format::gguf::{GgmlType, Value};
use crate::options::QuantizeOptions;

/// The matrix that the options name, if they do.
///
/// # Errors
/// `QuantizeType` for a tensor that cannot do without, `ImatrixFormat` for a matrix of another model, those of its file.
pub(super) fn read(
    pieces: &[Piece<'_>],
    types: &[GgmlType],
    options: &QuantizeOptions,
) -> Result<Option<Imatrix>> {
    let matrix = match options.imatrix.as_str() {
        "" => None,
        path => Some(Imatrix::open(Path::new(path))?),
    };
    for (piece, to) in pieces.iter().zip(types).filter(|(p, to)| **to != p.ggml_type) {
        let found = matrix.as_ref().and_then(|m| m.get(&piece.name));
        let looked_up = matches!(Role::of(&piece.name), Role::TokenEmbedding | Role::Output);
        if found.is_none() && needs(*to, options) && !looked_up {
            let where_ =
                if matrix.is_some() { ", and the one given says nothing of it" } else { "" };
            bail!(
                QuantizeType,
                "tensor {} in the type {to} needs an importance matrix{where_}; make one with `nestling imatrix` and name \
                 it with imatrix, or choose a mix of more bits",
                piece.name
            )
        }
        // One row for each expert.
        let wanted = piece.width() * piece.dims.get(2).copied().unwrap_or(1);
        if let Some(found) = found.filter(|m| m.len() as u64 != wanted) {
            bail!(
                ImatrixFormat,
                "{}: the importance matrix has {} columns for {}, the model {wanted}; it was made for another model",
                options.imatrix,
                found.len(),
                piece.name
            )
        }
    }
    Ok(matrix)
}

/// Types of so few bits that rounding must know which columns matter.
fn needs(to: GgmlType, options: &QuantizeOptions) -> bool {
    use GgmlType::{IQ1_M, IQ1_S, IQ2_S, IQ2_XS, IQ2_XXS, IQ3_XXS, Q2_K};
    let is_q2_k_s = options.ftype.eq_ignore_ascii_case(Mix::Q2_K_S.name());
    matches!(to, IQ3_XXS | IQ2_XXS | IQ2_XS | IQ2_S | IQ1_M | IQ1_S) || (to == Q2_K && is_q2_k_s)
}

/// Notes in the metadata which matrix was used, as llama.cpp does.
pub(super) fn say(kv: &mut Vec<(String, Value)>, matrix: &Imatrix, options: &QuantizeOptions) {
    let n_entries = matrix.names().count() as u32;
    super::set(kv, "quantize.imatrix.file", options.imatrix.as_str().into());
    if let Some(dataset) = matrix.datasets().first() {
        super::set(kv, "quantize.imatrix.dataset", dataset.as_str().into());
    }
    super::set(kv, "quantize.imatrix.entries_count", n_entries.into());
    super::set(kv, "quantize.imatrix.chunks_count", matrix.chunk_count().into());
}
