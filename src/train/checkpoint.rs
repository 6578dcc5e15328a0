//! Checkpoints: everything that a training needs to go on bit by bit, in one file.
//!
//! A GGUF file of the type `nestling.checkpoint`: the options as text, the LoRA parameters under the names that an
//! adapter gives them, the optimizer's state, how far the training came, what it belongs to, and a checksum.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;

use super::lora::LoraParams;
use super::optimizer::Optimizer;
use super::{checkpoint_file, seal};
use crate::error::{Context, Result, bail};
use crate::format::gguf::Gguf;
use crate::format::{Access, Source, replace_file};
use crate::options::TrainerOptions;

/// How far a training came.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Progress {
    /// Optimizer steps done.
    pub step: u64,
    /// Whole passes over the examples done.
    pub epoch: u64,
    /// Examples of the current pass done, in its order.
    pub cursor: u64,
    /// Tokens seen.
    pub tokens: u64,
    /// The training loss of each step.
    pub losses: Vec<f64>,
    /// The validation losses, each with the number of steps before it.
    pub validation: Vec<(u64, f64)>,
    /// The best validation loss, for early stopping and for keeping the best adapter.
    pub best_validation_loss: Option<f64>,
    /// Validations since the best one.
    pub without_improvement: u64,
    /// The states of random number generators by name, as their owners write them.
    #[serde(skip)]
    pub rng: BTreeMap<String, String>,
}

/// A training's state by reference: what is saved.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CheckpointView<'a> {
    /// The options, which the resumed training keeps.
    pub options: &'a TrainerOptions,
    /// The adapter.
    pub params: &'a LoraParams,
    /// The optimizer, made from the same options for the same parameters.
    pub optimizer: &'a Optimizer,
    /// How far the training came.
    pub progress: &'a Progress,
    /// The model's fingerprint.
    pub model: &'a str,
    /// The digest of the training data.
    pub dataset: &'a str,
}

impl CheckpointView<'_> {
    /// Writes the checkpoint by temp + rename; on Unix only the user can read it (mode 0600).
    ///
    /// # Errors
    /// Those of files; `TrainingDiverged` when a parameter is not a finite number; `InvalidArgument` when the
    /// optimizer is not that of the options and parameters. The old file is untouched then.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let writer = checkpoint_file::writer(self)?;
        replace_file(path.as_ref(), "writing the checkpoint", |out| {
            seal::seal(out, |sealing| writer.write_to(sealing))
        })
    }

    /// The checkpoint in memory.
    ///
    /// # Errors
    /// As [`save`](Self::save), without those of files.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let (writer, mut bytes) = (checkpoint_file::writer(self)?, Vec::new());
        seal::seal(&mut bytes, |sealing| writer.write_to(sealing))?;
        Ok(bytes)
    }
}

/// A training's state as it was loaded.
#[derive(Debug, Clone, PartialEq)]
pub struct Checkpoint {
    /// The options.
    pub options: TrainerOptions,
    /// The adapter.
    pub params: LoraParams,
    /// The optimizer with its state.
    pub optimizer: Optimizer,
    /// How far the training came.
    pub progress: Progress,
    /// The fingerprint of the model it was made with.
    pub model: String,
    /// The digest of the data it was made with.
    pub dataset: String,
}

impl Checkpoint {
    /// Loads and checks a checkpoint. Every number is the one that was saved, bit by bit.
    ///
    /// # Errors
    /// `CheckpointFormat` for another kind of file, another version or a damaged file; those of files.
    pub fn load(source: impl Into<Source>) -> Result<Self> {
        let source = source.into();
        let opened = source.open()?;
        let read = || {
            let gguf = Gguf::from_opened(opened, Access::Read).map_err(checkpoint_file::damaged)?;
            checkpoint_file::check_kind(&gguf).map_err(checkpoint_file::damaged)?;
            seal::verify(&gguf)?;
            checkpoint_file::read(&gguf).map_err(checkpoint_file::damaged)
        };
        match source.as_path() {
            Some(path) => read().with_path(path),
            None => read(),
        }
    }

    /// Checks that the checkpoint was made with this model (its fingerprint) and this data (its digest).
    ///
    /// # Errors
    /// `CheckpointForeign`.
    pub fn check_origin(&self, model: &str, dataset: &str) -> Result<()> {
        let short = |digest: &str| digest.chars().take(12).collect::<String>();
        if self.model != model {
            bail!(
                CheckpointForeign,
                "the checkpoint was made with the model {:?}, this is {:?}; open the model it was made with",
                short(&self.model),
                short(model)
            )
        }
        if self.dataset != dataset {
            bail!(
                CheckpointForeign,
                "the checkpoint was made with the training data {:?}, this is {:?}; give the same files and dataset \
                 options to resume, or start a new training from its adapter",
                short(&self.dataset),
                short(dataset)
            )
        }
        Ok(())
    }

    /// What would be saved.
    pub fn view(&self) -> CheckpointView<'_> {
        CheckpointView {
            options: &self.options,
            params: &self.params,
            optimizer: &self.optimizer,
            progress: &self.progress,
            model: &self.model,
            dataset: &self.dataset,
        }
    }
}

#[cfg(test)]
#[path = "checkpoint_tests.rs"]
mod tests;
