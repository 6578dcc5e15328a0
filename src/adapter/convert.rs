//! From PEFT's directories to GGUF files and back.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::base::{Base, refuse_embeddings};
use super::gguf;
use super::lora::Lora;
use super::peft::{self, Peft};
use crate::error::{Result, bail};
use crate::format::check_output;
use crate::job::Monitor;
use crate::options::{AdapterFormat, AdapterOptions, Options as _};

/// What was written.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Converted {
    /// `gguf` or `peft`.
    pub format: &'static str,
    /// The architecture of the models that the adapter is for.
    pub architecture: String,
    /// How many weights it changes.
    pub n_pairs: u64,
    /// The numbers in its pairs.
    pub n_parameters: u64,
    /// The largest rank of its pairs.
    pub rank: u64,
    /// Pairs whose B took a part of the scale, as 32-bit floats, since a GGUF file has one alpha for all.
    pub n_folded: u64,
}

/// Converts an adapter: `input` and `output` are a GGUF file and a PEFT directory, in either order. The tensors are
/// carried bit for bit, but for an order of rows, and for types that the other format does not have.
///
/// # Errors
/// `PeftFormat`, `PeftUnsupported`, `PeftTensor`, `Adapter...`, `Gguf...`, `Safetensors`, `TensorValue`, `OutputExists`,
/// `OutputIsInput`, `AdapterDirectory`, `Cancelled` and those of files: the output is as it was then.
pub fn convert(
    input: impl AsRef<Path>,
    output: impl AsRef<Path>,
    options: &AdapterOptions,
    monitor: &Monitor,
) -> Result<Converted> {
    options.validate()?;
    let (input, output) = (input.as_ref(), output.as_ref());
    let format = match (options.format, input.is_dir()) {
        (AdapterFormat::Auto, true) => AdapterFormat::Gguf,
        (AdapterFormat::Auto, false) => AdapterFormat::Peft,
        (given, _) => given,
    };
    let source = Input::open(input, &options.base)?;
    source.check_output(format, output, options.force)?;
    let lora = source.lora()?;
    monitor.report(0.5);
    monitor.cancel().check("converting the adapter")?;
    write(format, output, &lora, source.base.as_ref(), &options.base_model_name)
}

/// An adapter that was read, and its base model where one is known.
pub(super) struct Input {
    adapter: Either,
    pub base: Option<Base>,
    files: Vec<PathBuf>,
}

enum Either {
    Gguf(Lora),
    Peft(Peft),
}

impl Input {
    fn read(path: &Path) -> Result<Self> {
        let (adapter, files) = if path.is_dir() {
            let peft = Peft::read(path)?;
            let files = peft.files.clone();
            (Either::Peft(peft), files)
        } else {
            (Either::Gguf(gguf::read(path)?), vec![path.to_owned()])
        };
        Ok(Self { adapter, base: None, files })
    }

    /// `base` is a path, or empty.
    pub(super) fn open(path: &Path, base: &str) -> Result<Self> {
        let mut input = Self::read(path)?;
        input.base = match (&input.adapter, base) {
            (Either::Gguf(_), "") => None,
            (Either::Peft(peft), "") => find_base(path, &peft.base_model)?,
            (_, base) => Some(Base::open(Path::new(base))?),
        };
        input.files.extend(input.base.iter().flat_map(|b| b.files.iter().cloned()));
        Ok(input)
    }

    /// For a base model that is open; `output` is what it becomes with the adapter.
    pub(super) fn for_model(path: &Path, output: &Path, force: bool) -> Result<Self> {
        let input = Self::read(path)?;
        input.check_output(AdapterFormat::Gguf, output, force)?;
        Ok(input)
    }

    /// With GGUF's names, and checked against the base model.
    pub(super) fn lora_for(self, base: &Base) -> Result<Lora> {
        match self.adapter {
            Either::Gguf(lora) => base.check(&lora).map(|()| lora),
            Either::Peft(peft) => peft.into_lora(base),
        }
    }

    /// With GGUF's names, and checked against the base model where it is known.
    pub(super) fn lora(&self) -> Result<Lora> {
        match (&self.adapter, &self.base) {
            (Either::Gguf(lora), Some(base)) => base.check(lora).map(|()| lora.clone()),
            (Either::Gguf(lora), None) => {
                lora.pairs.keys().try_for_each(|weight| refuse_embeddings(weight))?;
                Ok(lora.clone())
            }
            (Either::Peft(peft), Some(base)) => peft.clone().into_lora(base),
            (Either::Peft(peft), None) => bail!(
                AdapterBase,
                "the architecture and the heads of the base model are not known, which the names and the rows of an \
                 adapter depend on; give the base model{}: its GGUF file, its Hugging Face directory or its config.json",
                if peft.base_model.is_empty() {
                    String::new()
                } else {
                    format!(" ({})", peft.base_model)
                }
            ),
        }
    }

    pub(super) fn check_output(
        &self,
        format: AdapterFormat,
        output: &Path,
        force: bool,
    ) -> Result<()> {
        if format == AdapterFormat::Peft && output.is_dir() {
            // Its files are checked, too: one of them may be read.
            let inside = [output.join(peft::CONFIG), output.join(peft::WEIGHTS)];
            let inputs: Vec<&Path> = self.files.iter().map(PathBuf::as_path).collect();
            inside
                .iter()
                .filter(|f| f.exists())
                .try_for_each(|f| check_output(f, true, &inputs))?;
        }
        let inputs: Vec<&Path> = self.files.iter().map(PathBuf::as_path).collect();
        match format {
            AdapterFormat::Peft => {
                // A file that is read is never a directory's place.
                if output.is_file() {
                    check_output(output, false, &inputs)?;
                }
                peft::check(output, force)
            }
            _ => check_output(output, force, &inputs),
        }
    }
}

/// The configuration of the base model that a PEFT directory has beside it, or names.
fn find_base(directory: &Path, name: &str) -> Result<Option<Base>> {
    let named = Path::new(name);
    let found = [directory, named].into_iter().find(|d| d.join("config.json").is_file());
    match found {
        Some(found) if !found.as_os_str().is_empty() => Base::open(found).map(Some),
        _ => Ok(None),
    }
}

/// Writes an adapter in a format; a PEFT directory needs the base model.
pub(super) fn write(
    format: AdapterFormat,
    output: &Path,
    lora: &Lora,
    base: Option<&Base>,
    base_model: &str,
) -> Result<Converted> {
    let mut n_folded = 0;
    let word = if format == AdapterFormat::Peft {
        let Some(base) = base else {
            bail!(
                AdapterBase,
                "the heads and layers of the base model are not known, which the names and the rows of a PEFT adapter \
                 depend on; give the base model: its GGUF file, its Hugging Face directory or its config.json"
            )
        };
        let pairs = Peft::of(lora, base)?;
        peft::write(output, lora, &pairs, base.n_layer, base_model)?;
        "peft"
    } else {
        n_folded = gguf::write(output, lora)?;
        "gguf"
    };
    Ok(Converted {
        format: word,
        architecture: lora.architecture.clone(),
        n_pairs: lora.pairs.len() as u64,
        n_parameters: lora.pairs.values().map(|p| p.n_parameters()).sum(),
        rank: lora.pairs.values().map(|p| p.rank() as u64).max().unwrap_or(0),
        n_folded,
    })
}
