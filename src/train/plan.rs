//! The memory of a training, before it is taken.

use serde::Serialize;

use super::engine::{Engine, EngineOptions};
use super::feed::Feed;
use super::lora::LoraParams;
use super::optimizer::OptimizerOptions;
use super::start::Start;
use crate::dataset::Dataset;
use crate::device;
use crate::error::{Result, bail};
use crate::format::Source;
use crate::kernels::Level;
use crate::model::Model;
use crate::options::TrainerOptions;

/// With `memory_budget=auto`, keeping layers' results may make the whole so many times what is needed at least, and this
/// share of the free memory: whoever embeds the library decides whether more speed is worth more.
const STORING_TIMES: u64 = 3;
const STORING_SHARE: u64 = 32;

/// What a training takes beside the model's weights, which stay in their mapped file. Bytes.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
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
    /// Layers, from the last on, that keep what the way back needs; the others are computed a second time.
    pub stored_layers: u64,
    /// What these layers keep.
    pub stored: u64,
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
    /// The plan of a training with a new adapter. Nothing is taken but the adapter's own parameters.
    ///
    /// # Errors
    /// Those of [`Trainer::new`](super::Trainer::new), but for `DoesNotFit`: the plan says so itself.
    pub fn new(
        model: &Model,
        data: &Dataset,
        validation: Option<&Dataset>,
        options: &TrainerOptions,
    ) -> Result<Self> {
        Self::of(model, data, validation, &Start::new(model, options)?)
    }

    /// The plan of continuing an adapter.
    ///
    /// # Errors
    /// Those of [`Trainer::continue_adapter`](super::Trainer::continue_adapter), but for `DoesNotFit`.
    pub fn continue_adapter(
        model: &Model,
        data: &Dataset,
        validation: Option<&Dataset>,
        options: &TrainerOptions,
        adapter: impl Into<Source>,
    ) -> Result<Self> {
        Self::of(model, data, validation, &Start::from_adapter(model, options, adapter)?)
    }

    /// The plan of going on from a checkpoint.
    ///
    /// # Errors
    /// Those of [`Trainer::resume`](super::Trainer::resume), but for `DoesNotFit`.
    pub fn resume(
        model: &Model,
        data: &Dataset,
        validation: Option<&Dataset>,
        checkpoint: impl Into<Source>,
    ) -> Result<Self> {
        Self::of(model, data, validation, &Start::from_checkpoint(model, data, checkpoint)?)
    }

    fn of(
        model: &Model,
        data: &Dataset,
        validation: Option<&Dataset>,
        start: &Start,
    ) -> Result<Self> {
        let feed = Feed::new(model, data, validation, &start.options)?;
        Self::make(model, &start.params, &feed, &start.options)
    }

    /// As many layers as fit into the budget keep what the way back needs. With `memory_budget=auto`, which stands
    /// for most of the free memory, they get less of it: other programs want some, too.
    pub(super) fn make(
        model: &Model,
        params: &LoraParams,
        feed: &Feed,
        o: &TrainerOptions,
    ) -> Result<Self> {
        let available = device::host_memory().available;
        let given = o.memory_budget.value().map(i64::unsigned_abs);
        let budget = given.unwrap_or(available / 10 * 9);
        let least = Self::counted(model, params, feed, o, (0, budget))?;
        let most = given.unwrap_or((available / STORING_SHARE).min(STORING_TIMES * least.total));
        let layers = u64::from(model.info().n_layer);
        // The least number that is known not to fit, and the best that does.
        let (mut above, mut best) = (layers + 1, least);
        while best.total <= most && best.stored_layers + 1 < above {
            let middle = best.stored_layers.midpoint(above);
            let plan = Self::counted(model, params, feed, o, (middle, budget))?;
            if plan.total <= most { best = plan } else { above = middle }
        }
        if !best.fits {
            best.advice = best.advise();
        }
        Ok(best)
    }

    fn counted(
        model: &Model,
        params: &LoraParams,
        feed: &Feed,
        o: &TrainerOptions,
        (stored_layers, budget): (u64, u64),
    ) -> Result<Self> {
        let n_ctx = feed.n_ctx() as u64;
        let mut plan = Self { n_ctx, stored_layers, budget, ..Self::default() };
        let bytes = Engine::plan(model.files(), params, plan.engine_options(model, o))?;
        plan.n_parameters = params.n_parameters() as u64;
        let trained = 2 * 4 * plan.n_parameters;
        let states = OptimizerOptions::from(o).state_names().len() as u64;
        plan.parameters = 2 * trained;
        plan.optimizer = 4 * plan.n_parameters * states;
        plan.activations = bytes.tensors.saturating_sub(trained);
        plan.stored = bytes.kept;
        plan.compute = bytes.compute + bytes.scratch + bytes.kernels;
        plan.buffers = 2 * 4 * u64::from(model.info().n_embd) * n_ctx + 4 * n_ctx * n_ctx;
        plan.total = plan.parameters
            + plan.optimizer
            + plan.activations
            + plan.stored
            + plan.compute
            + plan.buffers;
        plan.fits = plan.total <= budget;
        Ok(plan)
    }

    /// What the planned engine is made for.
    pub(super) fn engine_options(&self, model: &Model, o: &TrainerOptions) -> EngineOptions {
        EngineOptions {
            n_max: self.n_ctx as usize,
            dropout: o.lora_dropout > 0.0,
            n_threads: n_threads(o),
            n_stored: self.stored_layers as usize,
            level: if model.wants_kernels() { Level::current() } else { Level::None },
        }
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
fn n_threads(o: &TrainerOptions) -> i32 {
    let auto = device::performance_cores() as i64;
    i32::try_from(o.n_threads.value().unwrap_or(auto)).unwrap_or(1)
}
