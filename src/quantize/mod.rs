//! Model files in smaller types: which type each tensor gets, its numbers in that type, and the file.

mod choose;
mod encode;
mod facts;
mod imatrix;
mod imatrix_dat;
mod importances;
mod mix;
mod ordered;
mod output;
mod piece;
mod role;
mod stored;
#[cfg(test)]
mod tests;
mod types;

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::error::Result;
use crate::format::gguf::{GgmlType, Value};
use crate::format::{Access, ModelFiles, Source, check_output};
use crate::job::Monitor;
use crate::options::{Auto, Options, QuantizeOptions};

pub(crate) use imatrix::Entry;
pub use imatrix::Imatrix;
use mix::Mix;
pub use output::Written;
pub(crate) use output::{Contents, plan, write_model};
pub(crate) use piece::{Piece, Rows};
pub(crate) use role::may_change;
pub(crate) use stored::whole;
pub(crate) use types::types_for;

/// What [`quantize`] did, or would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Quantized {
    /// The file that was written.
    pub path: PathBuf,
    /// The mix, `q4_k_m`.
    pub ftype: String,
    /// Whether nothing was written.
    pub dry_run: bool,
    /// The tensors in the file.
    #[serde(flatten)]
    pub written: Written,
}

/// Writes a model in another mix of types. `source` may be a split model; the output is one file. Metadata stays, but for
/// what says how the model is quantized. Progress is the share of the numbers that were written.
///
/// # Errors
/// `QuantizeType` for an unknown name or one that the model does not allow, `TensorValue` for a damaged model,
/// `OutputExists`, `OutputIsInput`, `SourceChanged`, `Cancelled`, the `Gguf...` codes for a bad model, and those of files.
/// The output is as it was then.
pub fn quantize(
    source: &Source,
    path: impl AsRef<Path>,
    options: &QuantizeOptions,
    monitor: &Monitor,
) -> Result<Quantized> {
    options.validate()?;
    let path = path.as_ref();
    let files = ModelFiles::open(source, Access::Read)?;
    let inputs: Vec<_> = files.parts().iter().filter_map(|part| part.path()).collect();
    check_output(path, options.force || options.dry_run, &inputs)?;
    let (mut kv, pieces) = whole(&files)?;
    write_quantized(path, &mut kv, &pieces, options, monitor)
}

/// Writes pieces in the types that the options ask for, or says what would be written. `kv` becomes the file's metadata.
///
/// # Errors
/// As [`quantize`], without those about the paths and the model.
pub(crate) fn write_quantized(
    path: &Path,
    kv: &mut Vec<(String, Value)>,
    pieces: &[Piece<'_>],
    options: &QuantizeOptions,
    monitor: &Monitor,
) -> Result<Quantized> {
    let types = types_for(pieces, kv, options)?;
    write_typed(path, kv, pieces, &types, options, monitor)
}

/// As [`write_quantized`], with the type of each piece.
///
/// # Errors
/// As [`write_quantized`].
pub(crate) fn write_typed(
    path: &Path,
    kv: &mut Vec<(String, Value)>,
    pieces: &[Piece<'_>],
    types: &[GgmlType],
    options: &QuantizeOptions,
    monitor: &Monitor,
) -> Result<Quantized> {
    say_types(kv, options)?;
    let matrix = importances::read(pieces, types, options)?;
    if let Some(matrix) = &matrix {
        importances::say(kv, matrix, options);
    }
    let written = if options.dry_run {
        plan(pieces, types)?
    } else {
        let of = |name: &str| matrix.as_ref()?.get(name);
        let contents = Contents { kv, pieces, types, importances: &of };
        write_model(path, &contents, threads(options), |_| Ok(()), monitor)?
    };
    let ftype = options.ftype.to_lowercase();
    Ok(Quantized { path: path.to_owned(), ftype, dry_run: options.dry_run, written })
}

/// The number of threads for [`write_model`].
pub(crate) fn threads(options: &QuantizeOptions) -> usize {
    match options.n_threads {
        Auto::Auto => 0,
        Auto::Value(n) => n as usize,
    }
}

/// The metadata that says how a model is quantized, as the options have it.
///
/// # Errors
/// `QuantizeType` for an unknown mix.
pub(crate) fn say_types(kv: &mut Vec<(String, Value)>, options: &QuantizeOptions) -> Result<()> {
    /// Of the layouts that ggml's types have.
    const VERSION: u32 = 2;
    if options.ftype.eq_ignore_ascii_case(types::COPY) {
        return Ok(());
    }
    let mix = Mix::from_name(&options.ftype)?;
    set(kv, "general.quantization_version", Value::U32(VERSION));
    set(kv, "general.file_type", Value::U32(mix.id()));
    Ok(())
}

/// Sets a metadata value; a key that is there keeps its place.
fn set(kv: &mut Vec<(String, Value)>, key: &str, value: Value) {
    match kv.iter_mut().find(|(k, _)| k == key) {
        Some((_, old)) => *old = value,
        None => kv.push((key.to_owned(), value)),
    }
}
