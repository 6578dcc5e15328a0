//! Adapters as GGUF files: read into memory, and written with the one alpha that the format has.

use std::collections::BTreeMap;
use std::path::Path;

use super::lora::{Lora, Matrix, Number, Pair};
use crate::error::{Result, bail, err};
use crate::format::gguf::{GgmlType, Gguf, TensorInfo, Writer};
use crate::format::{AdapterFile, Source};
use crate::{ggml, log};

/// Keys that the engine reads, and those that only we do.
const ALPHA: &str = "adapter.lora.alpha";
const RS_LORA: &str = "nestling.lora.rs_lora";
/// The weight whose pair can be attached, and nothing else.
pub(super) const EMBEDDING: &str = "token_embd.weight";
const BASE_COUNT: &str = "general.base_model.count";
const BASE_NAME: &str = "general.base_model.0.name";

/// # Errors
/// `AdapterFormat`, `Gguf...`, `PeftUnsupported` for an adapter that begins with certain tokens, `TensorValue`.
pub(super) fn read(path: &Path) -> Result<Lora> {
    let file = AdapterFile::open(&Source::path(path))?;
    let load = || {
        let gguf = file.gguf();
        if gguf.get("adapter.alora.invocation_tokens").is_some() {
            bail!(
                PeftUnsupported,
                "the adapter begins to act at certain tokens (aLoRA), which is not carried on; use one without"
            )
        }
        let norms = gguf.tensors().iter().filter(|t| t.name.ends_with("_norm.weight")).count();
        if norms > 0 {
            let text = format!("{norms} norms of the adapter have no effect and are left out");
            log::push(log::Level::Warning, &text);
        }
        let text = |key| Ok(gguf.str(key).ok().flatten().unwrap_or_default().to_owned());
        let mut pairs = BTreeMap::new();
        for (weight, a, b) in file.pairs() {
            let (a, b) = (matrix(gguf, a)?, matrix(gguf, b)?);
            let alpha = f64::from(file.alpha());
            let scale = if alpha == 0.0 { 1.0 } else { alpha / b.columns as f64 };
            // Embeddings are looked up by row: their A is the other way round.
            let a = if weight == EMBEDDING { a.transposed() } else { a };
            let pair = Pair { scale, a, b };
            pair.check(weight)?;
            pairs.insert(weight.to_owned(), pair);
        }
        Ok(Lora {
            architecture: file.arch().to_owned(),
            name: text("general.name")?,
            base_model: text(BASE_NAME)?,
            rs_lora: gguf.bool(RS_LORA)?.unwrap_or(false),
            pairs,
        })
    };
    load().map_err(|e| e.with_path(path))
}

fn matrix(gguf: &Gguf, tensor: &TensorInfo) -> Result<Matrix> {
    let dim = |i: usize| tensor.dims.get(i).copied().unwrap_or(1) as usize;
    let (columns, rows) = (dim(0), dim(1));
    let bytes = gguf.read_data(tensor)?;
    let number = match tensor.ggml_type {
        GgmlType::F32 => Number::F32,
        GgmlType::F16 => Number::F16,
        GgmlType::BF16 => Number::BF16,
        other => {
            let mut values = vec![0f32; rows * columns];
            ggml::dequantize(other.id(), &bytes, &mut values)?;
            return Ok(Matrix::from_f32(rows, columns, &values));
        }
    };
    if rows.checked_mul(columns).and_then(|n| n.checked_mul(number.bytes())) != Some(bytes.len()) {
        return Err(err!(
            AdapterShape,
            "tensor {} is not a matrix; convert the adapter again",
            tensor.name
        ));
    }
    Ok(Matrix { rows, columns, number, bytes })
}

/// Writes the file, and says how many pairs had to take a part of their scale into B: those whose scale is another than
/// the file's alpha gives.
///
/// # Errors
/// `TensorValue` where a scale makes a number too large, and those of files.
pub(super) fn write(path: &Path, lora: &Lora) -> Result<u64> {
    let alpha = common_alpha(lora);
    let mut folded = BTreeMap::new();
    for (weight, pair) in &lora.pairs {
        if alpha != 0.0 && file_alpha(pair) != alpha {
            let given = f64::from(alpha) / pair.rank() as f64;
            let b = pair.b.scaled(pair.scale / given);
            Pair { scale: given, a: pair.a.clone(), b: b.clone() }.check(weight)?;
            folded.insert(weight.as_str(), b);
        }
    }
    let mut writer = Writer::new();
    writer.set("general.type", "adapter").set("adapter.type", "lora");
    writer.set("general.architecture", lora.architecture.as_str());
    if !lora.name.is_empty() {
        writer.set("general.name", lora.name.as_str());
    }
    if !lora.base_model.is_empty() {
        writer.set(BASE_COUNT, 1u32).set(BASE_NAME, lora.base_model.as_str());
    }
    writer.set(ALPHA, alpha);
    if lora.rs_lora {
        writer.set(RS_LORA, true);
    }
    for (weight, pair) in &lora.pairs {
        let b = folded.get(weight.as_str()).unwrap_or(&pair.b);
        for (half, matrix) in [("lora_a", &pair.a), ("lora_b", b)] {
            let ggml_type = match matrix.number {
                Number::F32 => GgmlType::F32,
                Number::F16 => GgmlType::F16,
                Number::BF16 => GgmlType::BF16,
            };
            let dims = [matrix.columns as u64, matrix.rows as u64];
            writer.tensor(format!("{weight}.{half}"), &dims, ggml_type, &matrix.bytes[..]);
        }
    }
    writer.write_file(path)?;
    Ok(folded.len() as u64)
}

/// The alpha that most pairs have. To a reader 0 means that every scale is 1, whatever the ranks.
fn common_alpha(lora: &Lora) -> f32 {
    let first = lora.pairs.values().next().map(Pair::rank);
    let one_rank = lora.pairs.values().all(|p| Some(p.rank()) == first);
    if !one_rank && lora.pairs.values().all(|p| p.scale == 1.0) {
        return 0.0;
    }
    let mut counts: BTreeMap<u32, usize> = BTreeMap::new();
    for alpha in lora.pairs.values().map(file_alpha).filter(|a| *a != 0.0) {
        *counts.entry(alpha.to_bits()).or_default() += 1;
    }
    let most = counts.into_iter().max_by_key(|(bits, n)| (*n, std::cmp::Reverse(*bits)));
    most.map_or(1.0, |(bits, _)| f32::from_bits(bits))
}

/// The alpha that gives a reader of GGUF this pair's scale.
fn file_alpha(pair: &Pair) -> f32 {
    (pair.scale * pair.rank() as f64) as f32
}
