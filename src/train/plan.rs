//! The memory of a training, before it is taken.

use serde::Serialize;

use super::engine::Engine;
use super::feed::Feed;
use super::lora::LoraParams;
use super::optimizer::OptimizerOptions;
use crate::device;
use crate::error::{Result, bail};
use crate::model::Model;
use crate::options::TrainerOptions;

/// What a training takes beside the model's weights, which stay in their mapped file. Bytes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TrainPlan {
    /// Tokens in a row at most.
    pub n_ctx: u64,
    /// Parameters that are trained.
    pub n_parameters: u64,
    /// The parameters with their gradients, each twice: where it is computed, and for the optimizer.
    pub parameters: u64,
    /// What the optimizer keeps.
    pub optimizer: u64,
    /// The inputs of all layers, masks, and the other tensors that a row goes through.
    pub activations: u64,
    /// Intermediate results of the layer that takes most.
    pub compute: u64,
    /// Gradients and states on their way between steps of the computation.
    pub buffers: u64,
    /// All of it.
    pub total: u64,
    /// What may be taken: the option `memory_budget`, or nine tenths of what is free.
    pub budget: u64,
    /// Whether it fits.
    pub fits: bool,
    /// What to change if it does not; empty if it does.
    pub advice: String,
}

impl TrainPlan {
    pub(super) fn make(
        model: &Model,
        params: &LoraParams,
        feed: &Feed,
        o: &TrainerOptions,
    ) -> Result<Self> {
        let n_ctx = feed.n_ctx();
        let dropout = o.lora_dropout > 0.0;
        let bytes = Engine::plan(model.files(), params, n_ctx, dropout, n_threads(o))?;
        let n_parameters = params.n_parameters() as u64;
        let trained = 2 * 4 * n_parameters;
        let states = OptimizerOptions::from(o).state_names().len() as u64;
        let width = u64::from(model.info().n_embd);
        let square = 4 * (n_ctx * n_ctx) as u64;
        let mut plan = Self {
            n_ctx: n_ctx as u64,
            n_parameters,
            parameters: 2 * trained,
            optimizer: 4 * n_parameters * states,
            activations: bytes.tensors.saturating_sub(trained),
            compute: bytes.compute + bytes.scratch,
            buffers: 2 * 4 * width * n_ctx as u64 + square,
            total: 0,
            budget: match o.memory_budget.value() {
                Some(bytes) => bytes.unsigned_abs(),
                None => device::host_memory().available / 10 * 9,
            },
            fits: true,
            advice: String::new(),
        };
        plan.total =
            plan.parameters + plan.optimizer + plan.activations + plan.compute + plan.buffers;
        plan.fits = plan.total <= plan.budget;
        if !plan.fits {
            plan.advice = plan.advise();
        }
        Ok(plan)
    }

    /// What takes most is to be changed first.
    fn advise(&self) -> String {
        let rows = self.activations + self.compute + self.buffers;
        let smaller_rows = format!("set a smaller n_ctx than {}", self.n_ctx);
        let smaller_adapter = "set a smaller lora_rank, or lora_targets=attention";
        match rows > self.parameters + self.optimizer {
            true => format!("{smaller_rows}, or {smaller_adapter}"),
            false => format!("{smaller_adapter}, or {smaller_rows}"),
        }
    }

    /// # Errors
    /// `DoesNotFit`.
    pub(super) fn check(&self) -> Result<()> {
        if self.fits {
            return Ok(());
        }
        bail!(
            DoesNotFit,
            "the training would take {} MiB beside the model, {} MiB may be taken; {}",
            self.total >> 20,
            self.budget >> 20,
            self.advice
        )
    }
}

/// The threads that a training computes with.
pub(super) fn n_threads(o: &TrainerOptions) -> i32 {
    let auto = device::performance_cores() as i64;
    i32::try_from(o.n_threads.value().unwrap_or(auto)).unwrap_or(1)
}
