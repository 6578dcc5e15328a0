//! LoRA parameters in GGUF files: adapters as llama.cpp reads them, and the same tensors inside checkpoints.

use std::collections::HashMap;
use std::path::Path;

use super::decode::to_f32;
use super::lora::{LoraPair, LoraParams};
use super::target::{Target, list};
use crate::adapter::check_fit;
use crate::error::{Context, Result, bail, err};
use crate::format::gguf::{Array, Gguf, TensorInfo, Writer};
use crate::format::{AdapterFile, Source};
use crate::log::{self, Level};

/// The scale before division by the rank. The engine reads it, and the keys `general.type`,
/// `general.architecture` and `adapter.type`.
const ALPHA: &str = "adapter.lora.alpha";
const ARCHITECTURE: &str = "general.architecture";
/// What the engine does not need.
const RANK: &str = "nestling.lora.rank";
const RS_LORA: &str = "nestling.lora.rs_lora";
const TARGETS: &str = "nestling.lora.targets";

impl LoraParams {
    /// The parameters of an existing adapter, to train it further: rank, scale, targets and layers are the
    /// file's. `architecture` and `tensors` are those of the model.
    ///
    /// # Errors
    /// `AdapterFormat` and `Gguf...` for a bad file, `AdapterMismatch` for an adapter of another architecture or
    /// shape, `LoraTarget` for a weight that cannot be trained, `LoraRank` for pairs of several ranks.
    pub fn from_file<'a>(
        source: impl Into<Source>,
        architecture: &str,
        tensors: impl IntoIterator<Item = &'a TensorInfo>,
    ) -> Result<Self> {
        let source = source.into();
        let file = AdapterFile::open(&source)?;
        let weights: HashMap<&str, &TensorInfo> =
            tensors.into_iter().map(|t| (t.name.as_str(), t)).collect();
        let read = || {
            check_fit(&file, architecture, |name| weights.get(name).copied())?;
            warn_of_norms(file.gguf());
            Self::read(file.gguf(), file.pairs())
        };
        match source.as_path() {
            Some(path) => read().with_path(path),
            None => read(),
        }
    }

    /// Writes a GGUF LoRA adapter, by temp + rename. `name` becomes its `general.name`.
    ///
    /// # Errors
    /// Those of files, and `TrainingDiverged` when a parameter is not a finite number; the old file is untouched
    /// then.
    pub fn save(&self, path: impl AsRef<Path>, name: &str) -> Result<()> {
        self.check_finite()?;
        self.adapter(name).write_file(path)
    }

    /// The adapter file in memory.
    ///
    /// # Errors
    /// `TrainingDiverged` when a parameter is not a finite number.
    pub fn to_bytes(&self, name: &str) -> Result<Vec<u8>> {
        self.check_finite()?;
        self.adapter(name).to_bytes()
    }

    /// Parameters that are not numbers would make every answer nonsense: they never reach a file.
    pub(super) fn check_finite(&self) -> Result<()> {
        for (name, _, values) in self.named() {
            if let Some(bad) = values.iter().find(|v| !v.is_finite()) {
                bail!(
                    TrainingDiverged,
                    "the trained tensor {name} holds {bad}; lower learning_rate and go on from the last checkpoint"
                )
            }
        }
        Ok(())
    }

    fn adapter(&self, name: &str) -> Writer<'_> {
        let mut writer = Writer::new();
        writer.set("general.type", "adapter").set("adapter.type", "lora");
        writer.set("general.name", name);
        self.put(&mut writer);
        writer
    }

    /// Adds the parameters and what describes them.
    pub(super) fn put<'a>(&'a self, writer: &mut Writer<'a>) {
        writer.set(ARCHITECTURE, self.architecture.as_str()).set(ALPHA, self.file_alpha);
        writer.set(RANK, self.rank as u32).set(RS_LORA, self.rs_lora);
        writer.set(TARGETS, Array::strings(self.targets().iter().map(|t| t.name())));
        for (name, dims, values) in self.named() {
            writer.tensor_f32(name, &dims, values);
        }
    }

    /// The tensors in their order, with their names in files and their dimensions.
    pub(super) fn named(&self) -> impl Iterator<Item = (String, [u64; 2], &[f32])> {
        let rank = self.rank as u64;
        self.pairs.iter().flat_map(move |p| {
            let name = p.weight();
            [
                (format!("{name}.lora_a"), [p.n_in as u64, rank], &p.a[..]),
                (format!("{name}.lora_b"), [rank, p.n_out as u64], &p.b[..]),
            ]
        })
    }

    /// The parameters of a file whose pairs were found.
    pub(super) fn read<'a>(
        gguf: &Gguf,
        pairs: impl Iterator<Item = (&'a str, &'a TensorInfo, &'a TensorInfo)>,
    ) -> Result<Self> {
        let mut found = Vec::new();
        let mut ranks = Vec::new();
        for (name, a, b) in pairs {
            let Some((layer, target)) = Target::of_weight(name) else {
                bail!(
                    LoraTarget,
                    "the adapter changes {name}, which cannot be trained; only {} of a layer can",
                    list(Target::ALL)
                )
            };
            let width = |t: &TensorInfo, i: usize| t.dims.get(i).copied().unwrap_or(1) as usize;
            let (n_in, rank, n_out) = (width(a, 0), width(a, 1), width(b, 1));
            ranks.push(rank);
            let (a, b) = (to_f32(gguf, a)?, to_f32(gguf, b)?);
            if n_in.checked_mul(rank) != Some(a.len()) || rank.checked_mul(n_out) != Some(b.len()) {
                bail!(AdapterRank, "the matrices of {name} do not belong together; save them again")
            }
            found.push(LoraPair { layer, target, n_in, n_out, a, b });
        }
        let rank = ranks.first().copied().unwrap_or(0);
        if rank == 0 || ranks.iter().any(|r| *r != rank) {
            bail!(
                LoraRank,
                "the adapter's pairs have ranks from {} to {}; only adapters of one rank can be trained further",
                ranks.iter().min().copied().unwrap_or(0),
                ranks.iter().max().copied().unwrap_or(0),
            )
        }
        found.sort_by_key(|p| (p.layer, p.target));
        // The engine takes a missing alpha, and zero, for "scale 1".
        let alpha = gguf.f32(ALPHA)?.filter(|a| *a != 0.0).unwrap_or(rank as f32);
        let architecture = gguf.str(ARCHITECTURE)?;
        Ok(Self {
            architecture: architecture
                .ok_or_else(|| err!(GgufKeyMissing, "{ARCHITECTURE} is missing; save it again"))?
                .to_owned(),
            rank,
            rs_lora: gguf.bool(RS_LORA)?.unwrap_or(false),
            file_alpha: alpha,
            pairs: found,
        })
    }
}

/// The gate lets norms pass because the engine ignores them; the file that is saved will not have them.
fn warn_of_norms(gguf: &Gguf) {
    let norms = gguf.tensors().iter().filter(|t| t.name.ends_with("_norm.weight")).count();
    if norms > 0 {
        let text = format!("{norms} norms of the adapter have no effect and are left out");
        log::push(Level::Warning, &text);
    }
}
