//! A PEFT directory: its pairs, by the paths of their modules.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::config::Config;
use super::{CONFIG, PREFIX, WEIGHTS};
use crate::adapter::base::{Base, read_json};
use crate::adapter::lora::{Lora, Matrix, Number, Pair, halves, side_by_side};
use crate::adapter::names;
use crate::error::{Context, Result, bail, err};
use crate::format::safetensors::{Dtype, Safetensors, TensorInfo, n_bytes, to_f32};

/// An adapter as it is in its directory.
#[derive(Debug, Clone)]
pub(crate) struct Peft {
    pub base_model: String,
    pub rs_lora: bool,
    /// By module: `model.layers.0.self_attn.q_proj`.
    pub pairs: BTreeMap<String, Pair>,
    /// The files that were read.
    pub files: Vec<PathBuf>,
}

impl Peft {
    /// # Errors
    /// `PeftFormat`, `PeftUnsupported`, `PeftTensor`, `AdapterPair`, `AdapterShape`, `AdapterRank`, `TensorValue`,
    /// `Safetensors`, and those of files.
    pub(crate) fn read(directory: &Path) -> Result<Self> {
        let (config_path, weights) = (directory.join(CONFIG), directory.join(WEIGHTS));
        Self::check_files(directory)?;
        let value = read_json(&config_path, "the configuration").with_path(&config_path)?;
        let config = Config::read(&value).with_path(&config_path)?;
        let file = Safetensors::open(&weights)?;
        let pairs = pairs(&file, &config).with_path(&weights)?;
        let Config { base_model, rs_lora, .. } = config;
        Ok(Self { base_model, rs_lora, pairs, files: vec![config_path, weights] })
    }

    fn check_files(directory: &Path) -> Result<()> {
        let missing = |name: &str| !directory.join(name).is_file();
        let what = if !directory.is_dir() {
            "this is not a directory; give the one that PEFT saved".to_owned()
        } else if missing(CONFIG) {
            format!("{CONFIG} is missing; give the directory that PEFT saved")
        } else if missing(WEIGHTS) && directory.join("adapter_model.bin").is_file() {
            format!(
                "the weights are a pickle, which can run any program; save them as {WEIGHTS} with PEFT"
            )
        } else if missing(WEIGHTS) {
            format!("{WEIGHTS} is missing; save the adapter again with PEFT")
        } else {
            return Ok(());
        };
        Err(err!(PeftFormat, "{what}").with_path(directory))
    }

    /// The adapter with GGUF's names and order of rows.
    ///
    /// # Errors
    /// `PeftTensor`, `AdapterMismatch`.
    pub(crate) fn into_lora(self, base: &Base) -> Result<Lora> {
        let mut pairs = BTreeMap::new();
        for (module, mut pair) in self.pairs {
            let weight = names::to_gguf(&base.architecture, &module)?;
            base.check_pair(&weight, &pair)?;
            if let Some(head) = base.reordered_heads(&weight, pair.b.rows)? {
                pair.b = pair.b.reordered(|row| halves(row, head));
            }
            if pairs.insert(weight, pair).is_some() {
                bail!(
                    PeftTensor,
                    "the module {module} is there under two names; save the adapter again with PEFT"
                )
            }
        }
        Ok(Lora {
            architecture: base.architecture.clone(),
            name: String::new(),
            base_model: self.base_model,
            rs_lora: self.rs_lora,
            pairs,
        })
    }

    /// The other way round.
    ///
    /// # Errors
    /// `AdapterTensor`, `AdapterMismatch`.
    pub(crate) fn of(lora: &Lora, base: &Base) -> Result<BTreeMap<String, Pair>> {
        base.check(lora)?;
        let mut pairs = BTreeMap::new();
        for (weight, pair) in &lora.pairs {
            let module = names::to_peft(&lora.architecture, weight)?;
            let mut pair = pair.clone();
            if let Some(head) = base.reordered_heads(weight, pair.b.rows)? {
                pair.b = pair.b.reordered(|row| side_by_side(row, head));
            }
            pairs.insert(module, pair);
        }
        Ok(pairs)
    }
}

fn pairs(file: &Safetensors, config: &Config) -> Result<BTreeMap<String, Pair>> {
    let mut halves: BTreeMap<String, [Option<Matrix>; 2]> = BTreeMap::new();
    for (name, info) in file.tensors() {
        let (module, i) = half(name)?;
        let slot = halves.entry(module.to_owned()).or_default();
        let matrix = matrix(file, name, info)?;
        if let Some(slot) = slot.get_mut(i) {
            *slot = Some(matrix);
        }
    }
    if halves.is_empty() {
        bail!(PeftTensor, "the adapter has no tensors; save it again with PEFT")
    }
    let pairs = halves.into_iter().map(|(module, [a, b])| {
        let missing = |half| {
            err!(
                AdapterPair,
                "{PREFIX}{module}.{half}.weight is missing; save the adapter again with PEFT"
            )
        };
        let (a, b) = (a.ok_or_else(|| missing("lora_A"))?, b.ok_or_else(|| missing("lora_B"))?);
        let scale = config.scale(&module, b.columns)?;
        let pair = Pair { scale, a, b };
        pair.check(&module)?;
        Ok((module, pair))
    });
    pairs.collect()
}

/// The module that a tensor belongs to, and which half of its pair it is.
fn half(name: &str) -> Result<(&str, usize)> {
    let path = name.strip_prefix(PREFIX);
    let of = |end: &str| path.and_then(|path| path.strip_suffix(end));
    if let Some(module) = of(".lora_A.weight") {
        return Ok((module, 0));
    }
    if let Some(module) = of(".lora_B.weight") {
        return Ok((module, 1));
    }
    let is = |part: &str| name.contains(part);
    if is("lora_embedding_") || is("embed_tokens") || is(".wte.") {
        bail!(
            PeftUnsupported,
            "the adapter changes the embeddings ({name}), which is not carried between the formats; train without them"
        )
    }
    if is("lora_magnitude_vector") {
        bail!(
            PeftUnsupported,
            "{name} is of DoRA, which a GGUF adapter cannot carry; train without it"
        )
    }
    if name.ends_with(".bias") {
        bail!(
            PeftUnsupported,
            "{name} is a bias, which a GGUF adapter cannot carry; train with bias=\"none\""
        )
    }
    bail!(
        PeftTensor,
        "tensor {name} is neither a lora_A nor a lora_B of a module; weights that were trained whole cannot be carried \
         into a GGUF adapter: train without modules_to_save"
    )
}

fn matrix(file: &Safetensors, name: &str, info: &TensorInfo) -> Result<Matrix> {
    let &[rows, columns] = info.shape.as_slice() else {
        bail!(
            AdapterShape,
            "tensor {name} has the shape {:?}; an adapter holds matrices",
            info.shape
        )
    };
    if rows == 0 || columns == 0 {
        bail!(AdapterShape, "tensor {name} has the shape {:?}: it is empty", info.shape)
    }
    let number = match info.dtype {
        Dtype::F32 | Dtype::F64 => Number::F32,
        Dtype::F16 => Number::F16,
        Dtype::BF16 => Number::BF16,
        other => bail!(
            PeftTensor,
            "tensor {name} holds {other:?}; F32, F16, BF16 and F64 can be read: save the adapter in one of these"
        ),
    };
    let length = (rows as u64)
        .checked_mul(columns as u64)
        .and_then(|n| n.checked_mul(n_bytes(info.dtype)?))
        .filter(|n| *n == (info.data_offsets.1 - info.data_offsets.0) as u64)
        .ok_or_else(|| {
            err!(Safetensors, "the bytes of tensor {name} are not its shape; get the file again")
        })?;
    let mut bytes = vec![0; length as usize];
    file.read_bytes(info, 0, &mut bytes)?;
    if info.dtype == Dtype::F64 {
        let mut values = vec![0f32; rows * columns];
        to_f32(info.dtype, &bytes, &mut values)?;
        return Ok(Matrix::from_f32(rows, columns, &values));
    }
    Ok(Matrix { rows, columns, number, bytes })
}
