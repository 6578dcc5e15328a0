//! A model with an adapter that is trained, and the memory of both: rows in, losses and gradients out.

use super::adapted::Adapted;
use super::arch::Arch;
use super::layer::Network;
use super::lora::LoraParams;
use super::pass::{Dropout, Loss, Pass};
use super::row::Row;
use super::weights::Weights;
use crate::cancel::CancelToken;
use crate::dataset;
use crate::error::Result;
use crate::format::ModelFiles;
use crate::ggml::{Workspace, WorkspaceBytes};
use crate::kernels::Level;

pub(super) struct Engine {
    workspace: Workspace,
    pass: Pass,
    adapted: Adapted,
}

/// What an engine is made for.
#[derive(Debug, Clone, Copy)]
pub(super) struct EngineOptions {
    /// Tokens of a row at most.
    pub n_max: usize,
    pub dropout: bool,
    pub n_threads: i32,
    /// How many of the last layers keep what backward needs instead of computing it again.
    pub n_stored: usize,
    /// Whose kernels are used.
    pub level: Level,
}

impl Engine {
    pub(super) fn new(files: &ModelFiles, params: &LoraParams, o: EngineOptions) -> Result<Self> {
        let mut engine = Self::make(Workspace::new(o.n_threads, false)?, files, params, o)?;
        engine.workspace.start_threads()?;
        engine.adapted.write(&mut engine.workspace, params)?;
        Ok(engine)
    }

    /// What such an engine takes, without making it.
    pub(super) fn plan(
        files: &ModelFiles,
        params: &LoraParams,
        o: EngineOptions,
    ) -> Result<WorkspaceBytes> {
        let mut engine = Self::make(Workspace::new(o.n_threads, true)?, files, params, o)?;
        let row = dataset::Row {
            tokens: vec![0; o.n_max],
            positions: (0..o.n_max as i32).collect(),
            segments: vec![0; o.n_max],
            loss: vec![true; o.n_max],
            sequences: vec![0],
        };
        let dropout = o.dropout.then_some(Dropout { chance: 0.5, key: [0, 0] });
        engine.learn(&row, dropout, &CancelToken::new())?;
        Ok(engine.workspace.bytes())
    }

    fn make(
        mut workspace: Workspace,
        files: &ModelFiles,
        params: &LoraParams,
        o: EngineOptions,
    ) -> Result<Self> {
        workspace.set_level(o.level);
        let arch = Arch::of(files)?;
        let weights = Weights::load(&mut workspace, files)?;
        let stored = arch.n_layer.saturating_sub(o.n_stored);
        let adapted = Adapted::new(&mut workspace, params, o.n_max, o.dropout, stored)?;
        let network = Network { arch, weights, pairs: adapted.by_name() };
        let pass = Pass::new(&mut workspace, network, o.n_max, o.n_stored)?;
        Ok(Self { workspace, pass, adapted })
    }

    /// The loss of a row, without its gradients.
    pub(super) fn measure(&mut self, row: &dataset::Row, cancel: &CancelToken) -> Result<Loss> {
        self.pass.set_dropout(None);
        self.pass.measure(&mut self.workspace, view(row), &row.loss, cancel)
    }

    /// The loss of a row; its gradients are added to their sums.
    pub(super) fn learn(
        &mut self,
        row: &dataset::Row,
        dropout: Option<Dropout>,
        cancel: &CancelToken,
    ) -> Result<Loss> {
        self.pass.set_dropout(dropout);
        self.pass.learn(&mut self.workspace, view(row), &row.loss, cancel)
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

fn view(row: &dataset::Row) -> Row<'_> {
    Row { tokens: &row.tokens, positions: &row.positions, segments: &row.segments }
}
