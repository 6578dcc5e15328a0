//! From a Hugging Face checkpoint to a model file.
//!
//! [`convert`] reads a directory as `save_pretrained` writes it: `config.json`, the weights as safetensors, and the
//! tokenizer. A table for each architecture (`arch`) says what the tensors and the hyper-parameters become; the numbers are
//! read, put in order, rounded and written a few rows at a time, so that no model is ever in memory.

mod arch;
mod card;
mod checkpoint;
mod config;
mod fp8;
mod general;
mod model_id;
mod rope;
mod rows;
mod tensors;
mod types;
pub(crate) mod vocab;

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::error::{Code, Context, Error, Result, err};
use crate::format::check_output;
use crate::format::gguf::{GgmlType, Value};
use crate::job::Monitor;
use crate::options::{ConvertOptions, Options, QuantizeOptions};
use crate::quantize::{Piece, Written, write_typed};

use arch::{Arch, Extra, Kind, More};
use checkpoint::Checkpoint;
use config::Config;

/// What [`convert`] did, or would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Converted {
    /// The file that was written.
    pub path: PathBuf,
    /// The architecture, as the engine names it.
    pub architecture: String,
    /// The model's name.
    pub name: String,
    /// The types: `f16`, `q4_k_m`, ...
    pub ftype: String,
    /// Whether nothing was written.
    pub dry_run: bool,
    /// Tensors of the checkpoint that a model file does not need.
    pub ignored: Vec<String>,
    /// The tensors in the file.
    #[serde(flatten)]
    pub written: Written,
}

/// Makes a checkpoint one model file. Progress is the share of the numbers that were written.
///
/// # Errors
/// The `Checkpoint...` codes and `Safetensors` for a checkpoint that is damaged, incomplete or of an unknown architecture,
/// `QuantizeType`, `TensorValue`, `OutputExists`, `OutputIsInput`, `SourceChanged`, `Cancelled`, and those of files. The
/// output is as it was then.
pub fn convert(
    dir: impl AsRef<Path>,
    path: impl AsRef<Path>,
    options: &ConvertOptions,
    monitor: &Monitor,
) -> Result<Converted> {
    options.validate()?;
    let (dir, path) = (dir.as_ref(), path.as_ref());
    let mut model = prepare(dir, options)?;
    let inputs: Vec<_> = model.inputs.iter().map(PathBuf::as_path).collect();
    check_output(path, options.force || options.dry_run, &inputs)?;
    let written = model.write(path, monitor)?;
    Ok(Converted {
        path: path.to_owned(),
        architecture: model.architecture.to_owned(),
        name: model.name,
        ftype: model.options.ftype,
        dry_run: options.dry_run,
        ignored: model.ignored,
        written,
    })
}

/// A model that only has to be written.
struct Prepared {
    architecture: &'static str,
    name: String,
    kv: Vec<(String, Value)>,
    pieces: Vec<Piece<'static>>,
    types: Vec<GgmlType>,
    options: QuantizeOptions,
    ignored: Vec<String>,
    inputs: Vec<PathBuf>,
}

impl Prepared {
    fn write(&mut self, path: &Path, monitor: &Monitor) -> Result<Written> {
        let written =
            write_typed(path, &mut self.kv, &self.pieces, &self.types, &self.options, monitor)
                .map(|done| done.written);
        // A file that became shorter is noticed by reading beyond its end: what happened is said instead.
        written.map_err(|e| match e.code() {
            Code::Io => self.changed().err().unwrap_or(e),
            _ => e,
        })
    }

    fn changed(&self) -> Result<()> {
        self.pieces.iter().try_for_each(|piece| piece.rows.check_unchanged())
    }
}

/// Reads and checks everything but the numbers.
fn prepare(dir: &Path, options: &ConvertOptions) -> Result<Prepared> {
    if !dir.exists() {
        let e = std::io::Error::from(std::io::ErrorKind::NotFound);
        let what =
            "looking for a checkpoint, which is a directory with config.json and model.safetensors";
        return Err(Error::io(&e, what).with_path(dir));
    }
    if !dir.is_dir() {
        let text =
            "this is no directory; give the checkpoint's, with config.json and model.safetensors";
        return Err(err!(CheckpointFiles, "{text}").with_path(dir));
    }
    let mut config = Config::open(dir)?;
    let arch = arch::of(&config.class).with_path(dir.join("config.json"))?;
    config.complete(arch)?;
    let checkpoint = Checkpoint::open(dir)?;
    let found = tensors::pieces(&checkpoint, arch, &config).with_path(dir)?;
    let mut pieces = found.pieces;
    let more = more(dir, arch, &config)?;
    pieces.extend(more.tensors.into_iter().map(|(name, values)| tensors::made(name, values)));
    let n_parameters = pieces.iter().map(|p| p.width() * p.n_rows()).sum();
    if let Some(scale) = more.head_scale {
        pieces.push(tensors::scaled_head(&checkpoint, arch, &config, scale)?);
    }
    let mut kv = general::metadata(dir, arch.name, &config, n_parameters)?;
    let name = kv.iter().find(|(key, _)| key == "general.name");
    let name = name.and_then(|(_, value)| value.as_str()).unwrap_or_default().to_owned();
    set_all(&mut kv, facts(arch, &config)?);
    set_all(&mut kv, more.kv);
    let n_rows = pieces.iter().find(|p| p.name == "token_embd.weight").map_or(0, Piece::n_rows);
    let pre = Some(options.pre_tokenizer.as_str()).filter(|pre| !pre.is_empty());
    set_all(&mut kv, vocab::vocabulary(dir, &config.json(), n_rows, pre)?);
    let options = types::decide(options, &pieces)?;
    let types = types::types(&pieces, &kv, arch.name, &options)?;
    let mut inputs: Vec<_> = checkpoint.paths().map(Path::to_owned).collect();
    let beside = ["config.json", "tokenizer.json", "tokenizer.model", "README.md"];
    inputs.extend(beside.iter().map(|name| dir.join(name)));
    let (architecture, ignored) = (arch.name, found.ignored);
    Ok(Prepared { architecture, name, kv, pieces, types, options, ignored, inputs })
}

/// The hyper-parameters of the table.
fn facts(arch: &Arch, config: &Config) -> Result<Vec<(String, Value)>> {
    let mut kv = Vec::new();
    for fact in arch.facts.iter().copied().flatten() {
        if !fact.needed && config.get(fact.from).is_none() {
            continue;
        }
        let value = match fact.kind {
            Kind::U32 => Value::U32(config.u32(fact.from)?),
            Kind::F32 => Value::F32(config.need_f64(fact.from)? as f32),
        };
        kv.push((format!("{}.{}", arch.name, fact.key), value));
    }
    Ok(kv)
}

fn more(dir: &Path, arch: &Arch, config: &Config) -> Result<More> {
    let mut more = More::default();
    (arch.extra)(&Extra { arch: arch.name, dir, config }, &mut more)?;
    Ok(more)
}

/// Sets each key; one that is there gets the new value.
fn set_all(kv: &mut Vec<(String, Value)>, more: Vec<(String, Value)>) {
    for (key, value) in more {
        match kv.iter_mut().find(|(k, _)| *k == key) {
            Some((_, old)) => *old = value,
            None => kv.push((key, value)),
        }
    }
}
