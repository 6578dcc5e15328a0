//! Writes a PEFT directory, whole or not at all.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, TensorView, serialize};
use serde_json::{Value, json};

use super::{CONFIG, PREFIX, WEIGHTS};
use crate::adapter::lora::{Lora, Matrix, Number, Pair};
use crate::adapter::names;
use crate::error::{Error, Result, bail, err};

/// Refuses a directory where the user cannot mean it: one that is there, unless `force` and it is an adapter's.
///
/// # Errors
/// `OutputExists`, `AdapterDirectory`, those of files.
pub(crate) fn check(directory: &Path, force: bool) -> Result<()> {
    if fs::symlink_metadata(directory).is_err() {
        return Ok(());
    }
    let refuse = |e: Error| Err(e.with_path(directory));
    if !force {
        return refuse(err!(
            OutputExists,
            "this is there already; give another output, or say that it may be replaced (force)"
        ));
    }
    let entries =
        fs::read_dir(directory).map_err(|e| io(&e, "looking into the directory", directory))?;
    for entry in entries {
        let entry = entry.map_err(|e| io(&e, "looking into the directory", directory))?;
        let name = entry.file_name();
        if name != CONFIG && name != WEIGHTS {
            return refuse(err!(
                AdapterDirectory,
                "this directory also holds {}, which would be lost; give another output",
                name.display()
            ));
        }
    }
    Ok(())
}

/// Writes `pairs`, which are those of `lora` by module. A directory that is there is replaced: see [`check`].
///
/// # Errors
/// Those of files; what was there stays as it was then.
pub(crate) fn write(
    directory: &Path,
    lora: &Lora,
    pairs: &BTreeMap<String, Pair>,
    n_layer: u32,
    base_model: &str,
) -> Result<()> {
    const DOING: &str = "writing the adapter";
    let config = config(lora, pairs, n_layer, base_model)?;
    let weights = weights(pairs)?;
    let parent = match directory.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let made = tempfile::Builder::new()
        .prefix(".nestling-")
        .tempdir_in(parent)
        .map_err(|e| io(&e, DOING, directory))?;
    for (name, bytes) in [(CONFIG, config.as_bytes()), (WEIGHTS, &weights)] {
        let put = || {
            let mut file = File::create(made.path().join(name))?;
            file.write_all(bytes)?;
            file.sync_all()
        };
        put().map_err(|e| io(&e, DOING, directory))?;
    }
    put_in_place(made, parent, directory).map_err(|e| io(&e, DOING, directory))
}

/// Renames the finished directory. One that is there moves away first, and back if that fails.
fn put_in_place(made: tempfile::TempDir, parent: &Path, directory: &Path) -> std::io::Result<()> {
    if fs::symlink_metadata(directory).is_err() {
        fs::rename(made.path(), directory)?;
    } else {
        let away = tempfile::Builder::new().prefix(".nestling-").tempdir_in(parent)?;
        let old: PathBuf = away.path().join("old");
        fs::rename(directory, &old)?;
        if let Err(e) = fs::rename(made.path(), directory) {
            fs::rename(&old, directory)?;
            return Err(e);
        }
    }
    // It is no temporary directory any more.
    let _moved = made.keep();
    Ok(())
}

fn io(error: &std::io::Error, doing: &str, path: &Path) -> Error {
    Error::io(error, doing).with_path(path)
}

fn weights(pairs: &BTreeMap<String, Pair>) -> Result<Vec<u8>> {
    let mut views = Vec::new();
    for (module, pair) in pairs {
        for (half, matrix) in [("lora_A", &pair.a), ("lora_B", &pair.b)] {
            views.push((format!("{PREFIX}{module}.{half}.weight"), view(matrix)?));
        }
    }
    let metadata = [("format".to_owned(), "pt".to_owned())].into();
    serialize(views, Some(metadata)).map_err(|e| err!(Internal, "writing safetensors: {e}"))
}

fn view(matrix: &Matrix) -> Result<TensorView<'_>> {
    let dtype = match matrix.number {
        Number::F32 => Dtype::F32,
        Number::F16 => Dtype::F16,
        Number::BF16 => Dtype::BF16,
    };
    TensorView::new(dtype, vec![matrix.rows, matrix.columns], &matrix.bytes)
        .map_err(|e| err!(Internal, "writing safetensors: {e}"))
}

fn config(
    lora: &Lora,
    pairs: &BTreeMap<String, Pair>,
    n_layer: u32,
    base_model: &str,
) -> Result<String> {
    let Some(first) = pairs.values().next() else {
        bail!(Internal, "an adapter without pairs is to be written")
    };
    let (r, alpha) = (first.rank(), alpha(first, lora.rs_lora));
    let (mut ranks, mut alphas) = (json!({}), json!({}));
    for (module, pair) in pairs {
        if pair.rank() != r {
            ranks[module] = pair.rank().into();
        }
        if self::alpha(pair, lora.rs_lora) != alpha {
            alphas[module] = number(self::alpha(pair, lora.rs_lora));
        }
    }
    let weights = lora.pairs.keys().map(String::as_str);
    let base_model = if base_model.is_empty() { &lora.base_model } else { base_model };
    let config = json!({
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": if base_model.is_empty() { Value::Null } else { base_model.into() },
        "r": r,
        "lora_alpha": number(alpha),
        "lora_dropout": 0.0,
        "target_modules": names::target_modules(&lora.architecture, n_layer, weights)?,
        "rank_pattern": ranks,
        "alpha_pattern": alphas,
        "bias": "none",
        // GPT-2's layers multiply from the other side.
        "fan_in_fan_out": lora.architecture == "gpt2",
        "use_rslora": lora.rs_lora,
        "use_dora": false,
        "modules_to_save": null,
        "init_lora_weights": true,
        "inference_mode": true,
    });
    Ok(format!("{config:#}\n"))
}

/// The alpha that gives PEFT this pair's scale. The scale came from a 32-bit alpha: rounding finds it again.
fn alpha(pair: &Pair, rs_lora: bool) -> f64 {
    let rank = pair.rank() as f64;
    let alpha = pair.scale * if rs_lora { rank.sqrt() } else { rank };
    let short = (alpha * 65536.0).round() / 65536.0;
    if (short - alpha).abs() <= alpha.abs() * 2e-7 { short } else { alpha }
}

/// Whole numbers as such: that is what PEFT's are.
fn number(value: f64) -> Value {
    if value.fract() == 0.0 && value.abs() < 1e9 { (value as i64).into() } else { value.into() }
}
