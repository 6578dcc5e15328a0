//! A model with an adapter that is trained, and the memory of both: rows in, losses and gradients out.

use super::adapted::Adapted;
use super::arch::Arch;
use super::layer::Network;
use super::lora::LoraParams;
use super::pass::{Dropout, Loss, Pass, Row};
use super::weights::Weights;
use crate::cancel::CancelToken;
use crate::dataset;
use crate::error::Result;
use crate::format::ModelFiles;
use crate::ggml::{Workspace, WorkspaceBytes};

pub(super) struct Engine {
    workspace: Workspace,
    pass: Pass,
    adapted: Adapted,
}

impl Engine {
    /// An engine for rows of up to `n_max` tokens.
    pub(super) fn new(
        files: &ModelFiles,
        params: &LoraParams,
        n_max: usize,
        dropout: bool,
        n_threads: i32,
    ) -> Result<Self> {
        let mut engine =
            Self::make(Workspace::new(n_threads, false)?, files, params, n_max, dropout)?;
        engine.workspace.start_threads()?;
        engine.adapted.write(&mut engine.workspace, params)?;
        Ok(engine)
    }

    /// What such an engine takes, without making it.
    pub(super) fn plan(
        files: &ModelFiles,
        params: &LoraParams,
        n_max: usize,
        dropout: bool,
        n_threads: i32,
    ) -> Result<WorkspaceBytes> {
        let mut engine =
            Self::make(Workspace::new(n_threads, true)?, files, params, n_max, dropout)?;
        let row = dataset::Row {
            tokens: vec![0; n_max],
            positions: (0..n_max as i32).collect(),
            segments: vec![0; n_max],
            loss: vec![true; n_max],
            sequences: vec![0],
        };
        engine.learn(&row, None, &CancelToken::new())?;
        Ok(engine.workspace.bytes())
    }

    fn make(
        mut workspace: Workspace,
        files: &ModelFiles,
        params: &LoraParams,
        n_max: usize,
        dropout: bool,
    ) -> Result<Self> {
        let arch = Arch::of(files)?;
        let weights = Weights::load(&mut workspace, files)?;
        let adapted = Adapted::new(&mut workspace, params, n_max, dropout)?;
        let network = Network { arch, weights, pairs: adapted.by_name() };
        let pass = Pass::new(&mut workspace, network, n_max)?;
        Ok(Self { workspace, pass, adapted })
    }

    /// The loss of a row, without its gradients.
    pub(super) fn measure(&mut self, row: &dataset::Row, cancel: &CancelToken) -> Result<Loss> {
        self.pass.set_dropout(None);
        self.run(row, false, cancel)
    }

    /// The loss of a row; its gradients are added to their sums.
    pub(super) fn learn(
        &mut self,
        row: &dataset::Row,
        dropout: Option<Dropout>,
        cancel: &CancelToken,
    ) -> Result<Loss> {
        self.pass.set_dropout(dropout);
        self.run(row, true, cancel)
    }

    fn run(&mut self, row: &dataset::Row, back: bool, cancel: &CancelToken) -> Result<Loss> {
        let view = Row { tokens: &row.tokens, positions: &row.positions, segments: &row.segments };
        self.pass.forward(&mut self.workspace, view, cancel)?;
        self.pass.loss(&mut self.workspace, view, &row.loss, back, cancel)
    }

    /// Sets the sums of the gradients to zero.
    pub(super) fn clear(&mut self, params: &LoraParams) -> Result<()> {
        self.adapted.clear(&mut self.workspace, params)
    }

    /// The gradients, multiplied with `factor`, in the parameters' order.
    pub(super) fn gradients(&mut self, params: &LoraParams, factor: f32) -> Result<Vec<Vec<f32>>> {
        self.adapted.read(&mut self.workspace, params, factor)
    }

    /// Computes with these parameters from now on.
    pub(super) fn set_params(&mut self, params: &LoraParams) -> Result<()> {
        self.adapted.write(&mut self.workspace, params)
    }
}
