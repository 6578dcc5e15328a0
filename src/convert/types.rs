//! The type of each tensor: a word for all of them, or a mix of quantized types.

use crate::error::{Result, bail};
use crate::format::gguf::{GgmlType, Value};
use crate::options::{ConvertOptions, QuantizeOptions};
use crate::quantize::{Piece, may_change, types_for};

/// The word for "as the checkpoint has it".
const AUTO: &str = "auto";

/// Tensors with more than one dimension that the engine wants in 32 bits.
const KEPT: &[&str] = &["position_embd.weight", "token_types.weight"];

/// The options with `auto` decided: bf16 or f16, by the first matrix that is one; f16 for 32 bits.
///
/// # Errors
/// `QuantizeType` for `copy`, which has no meaning here.
pub(super) fn decide(options: &ConvertOptions, pieces: &[Piece<'_>]) -> Result<QuantizeOptions> {
    if options.ftype.eq_ignore_ascii_case("copy") {
        bail!(
            QuantizeType,
            "the types of a checkpoint cannot be copied as they are; give auto, f16 or a mix"
        )
    }
    let first = pieces
        .iter()
        .filter(|p| p.dims.len() > 1)
        .find(|p| matches!(p.ggml_type, GgmlType::BF16 | GgmlType::F16));
    let ftype = match first {
        _ if !options.ftype.eq_ignore_ascii_case(AUTO) => options.ftype.to_lowercase(),
        Some(piece) if piece.ggml_type == GgmlType::BF16 => "bf16".to_owned(),
        _ => "f16".to_owned(),
    };
    Ok(QuantizeOptions {
        ftype,
        tensor_types: options.tensor_types.clone(),
        output_tensor_type: options.output_tensor_type.clone(),
        token_embedding_type: options.token_embedding_type.clone(),
        imatrix: options.imatrix.clone(),
        n_threads: options.n_threads,
        dry_run: options.dry_run,
        ..QuantizeOptions::default()
    })
}

/// The type of each piece.
///
/// # Errors
/// Those of [`types_for`].
pub(super) fn types(
    pieces: &[Piece<'_>],
    kv: &[(String, Value)],
    architecture: &str,
    options: &QuantizeOptions,
) -> Result<Vec<GgmlType>> {
    // The mix does not touch these; the engine takes them in any plain type.
    let plain = match options.ftype.as_str() {
        "f32" => GgmlType::F32,
        "bf16" => GgmlType::BF16,
        _ => GgmlType::F16,
    };
    let mut types = types_for(pieces, kv, options)?;
    for (piece, to) in pieces.iter().zip(&mut types) {
        if stays_f32(piece) {
            *to = GgmlType::F32;
        } else if !may_change(&piece.name, &piece.dims, architecture) {
            *to = plain;
        }
    }
    Ok(types)
}

/// What llama.cpp's converter keeps so: vectors, norms, biases, positions.
fn stays_f32(piece: &Piece<'_>) -> bool {
    let name = piece.name.as_str();
    piece.dims.len() <= 1
        || name.ends_with("_norm.weight")
        || !name.ends_with(".weight")
        || KEPT.contains(&name)
}
