//! Where a training starts from: a new adapter, an existing one, or a checkpoint.

use super::arch::Arch;
use super::checkpoint::{Checkpoint, Progress};
use super::lora::{LoraParams, LoraSpec};
use super::optimizer::Optimizer;
use super::schedule::auto_learning_rate;
use crate::dataset::Dataset;
use crate::error::Result;
use crate::format::Source;
use crate::model::Model;
use crate::options::{Auto, Options, TrainerOptions};

pub(super) struct Start {
    pub options: TrainerOptions,
    pub params: LoraParams,
    /// What a checkpoint goes on with.
    pub saved: Option<(Optimizer, Progress)>,
}

impl Start {
    pub(super) fn new(model: &Model, options: &TrainerOptions) -> Result<Self> {
        options.validate()?;
        // First: of a model of another architecture, the weights to adapt would be the ones to be missed.
        Arch::of(model.files())?;
        let spec = LoraSpec::new(options)?;
        let seed = options.seed.unsigned_abs();
        let arch = &model.info().architecture;
        let params = LoraParams::init(&spec, arch, model.files().tensors(), seed)?;
        Ok(Self { options: resolved(model, options), params, saved: None })
    }

    /// Rank, scale and targets are the adapter's.
    pub(super) fn from_adapter(
        model: &Model,
        options: &TrainerOptions,
        adapter: impl Into<Source>,
    ) -> Result<Self> {
        options.validate()?;
        Arch::of(model.files())?;
        let arch = &model.info().architecture;
        let params = LoraParams::from_file(adapter, arch, model.files().tensors())?;
        Ok(Self { options: resolved(model, options), params, saved: None })
    }

    /// The options are the checkpoint's.
    pub(super) fn from_checkpoint(
        model: &Model,
        data: &Dataset,
        checkpoint: impl Into<Source>,
    ) -> Result<Self> {
        let saved = Checkpoint::load(checkpoint)?;
        saved.check_origin(model.fingerprint()?, &data.digest())?;
        let Checkpoint { options, params, optimizer, progress, .. } = saved;
        Ok(Self { options, params, saved: Some((optimizer, progress)) })
    }
}

/// The options with what follows from the model alone: a checkpoint keeps it.
fn resolved(model: &Model, options: &TrainerOptions) -> TrainerOptions {
    let mut options = options.clone();
    if options.learning_rate == Auto::Auto {
        options.learning_rate = auto_learning_rate(model.info().n_embd).into();
    }
    options
}
