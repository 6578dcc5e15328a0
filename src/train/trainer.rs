//! The trainer: a model, an adapter that learns, the data it learns from.

use std::time::Instant;

use super::checkpoint::{CheckpointView, Progress};
use super::clip_grad_norm;
use super::early_stopping::{EarlyStopping, Verdict};
use super::engine::Engine;
use super::feed::Feed;
use super::lora::LoraParams;
use super::optimizer::{Optimizer, OptimizerOptions};
use super::pass::{Dropout, Loss};
use super::plan::TrainPlan;
use super::schedule::Schedule;
use super::start::Start;
use crate::adapter::Adapter;
use crate::cancel::CancelToken;
use crate::dataset::{Dataset, EncodingReport, Row};
use crate::error::{Result, bail, err};
use crate::format::Source;
use crate::model::Model;
use crate::options::TrainerOptions;

/// Fine-tunes a LoRA adapter on a model's quantized weights, step by step. Used by one thread at a time; sessions of
/// the model run beside it.
///
/// A step that fails or is cancelled changes nothing: it can be repeated, or the training saved. If its validation is
/// what was cancelled, the next call validates. Steps depend on the model, the data, the options, the number of
/// threads and the kind of processor alone, so that a resumed training gives the same adapter bit by bit as one that was
/// not interrupted.
pub struct Trainer {
    model: Model,
    options: TrainerOptions,
    engine: Engine,
    params: LoraParams,
    optimizer: Optimizer,
    schedule: Schedule,
    stopping: EarlyStopping,
    feed: Feed,
    progress: Progress,
    plan: TrainPlan,
    stopped: bool,
    /// What the last step did, as far as this trainer made it.
    last: Option<StepReport>,
}

/// What a step did. Of one whose validation alone was left to a resumed training, only the loss, the step size and the
/// validation are known: counts are 0 then, other numbers NaN.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct StepReport {
    /// Steps done, with this one.
    pub step: u64,
    /// Steps that there will be, unless early stopping ends the training.
    pub total_steps: u64,
    /// Whole passes over the examples done.
    pub epoch: u64,
    /// Mean of -ln p over the step's learned tokens, in nats, before the step.
    pub loss: f64,
    /// Share of these tokens that were the most likely ones.
    pub accuracy: f64,
    /// The step size.
    pub learning_rate: f64,
    /// L2 norm of all gradients before clipping.
    pub grad_norm: f64,
    /// Tokens that went through the model.
    pub tokens: u64,
    /// Of these, tokens that were learned.
    pub loss_tokens: u64,
    /// Seconds that the step took, validation aside.
    pub seconds: f64,
    /// The validation loss, if the step was followed by a validation.
    pub validation_loss: Option<f64>,
    /// Whether it is the best so far.
    pub best: bool,
}

/// How well a model predicts a dataset.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Evaluation {
    /// Mean of -ln p over the tokens to predict, in nats.
    pub loss: f64,
    /// e to the power of the loss.
    pub perplexity: f64,
    /// Share of the tokens that were the most likely ones.
    pub accuracy: f64,
    /// The number of tokens to predict.
    pub tokens: u64,
}

impl Trainer {
    /// A trainer for a new adapter. Without `validation`, the share `validation_fraction` of the data is held out.
    ///
    /// # Errors
    /// `Unsupported` for an architecture that cannot be trained; `InvalidOption`; `LoraTarget`, `LoraRank`,
    /// `LoraLayers`; `DoesNotFit` when it would take more memory than there is or than `memory_budget`; those of
    /// encoding the data.
    pub fn new(
        model: &Model,
        data: &Dataset,
        validation: Option<&Dataset>,
        options: &TrainerOptions,
    ) -> Result<Self> {
        Self::with(model, data, validation, Start::new(model, options)?)
    }

    /// A trainer that continues an existing adapter (GGUF LoRA), whose rank, scale and targets it keeps.
    ///
    /// # Errors
    /// As [`new`](Self::new); `AdapterMismatch` and those of adapter files.
    pub fn continue_adapter(
        model: &Model,
        data: &Dataset,
        validation: Option<&Dataset>,
        options: &TrainerOptions,
        adapter: impl Into<Source>,
    ) -> Result<Self> {
        Self::with(model, data, validation, Start::from_adapter(model, options, adapter)?)
    }

    /// A trainer that goes on where a checkpoint was saved, with its options, on the same model and data.
    ///
    /// # Errors
    /// `CheckpointFormat` for a damaged file, `CheckpointForeign` for one of another model or other data; as
    /// [`new`](Self::new).
    pub fn resume(
        model: &Model,
        data: &Dataset,
        validation: Option<&Dataset>,
        checkpoint: impl Into<Source>,
    ) -> Result<Self> {
        Self::with(model, data, validation, Start::from_checkpoint(model, data, checkpoint)?)
    }

    fn with(
        model: &Model,
        data: &Dataset,
        validation: Option<&Dataset>,
        start: Start,
    ) -> Result<Self> {
        let Start { options, params, saved } = start;
        let feed = Feed::new(model, data, validation, &options)?;
        let plan = TrainPlan::make(model, &params, &feed, &options)?;
        plan.check()?;
        let made_for = plan.engine_options(model, &options);
        let mut trainer = Self {
            model: model.clone(),
            engine: Engine::new(model.files(), &params, made_for)?,
            optimizer: Optimizer::new(OptimizerOptions::from(&options), &params.sizes()),
            schedule: Schedule::from(&options),
            stopping: EarlyStopping::from(&options),
            feed,
            progress: Progress::default(),
            plan,
            stopped: false,
            last: None,
            options,
            params,
        };
        if let Some((optimizer, progress)) = saved {
            trainer.go_on(optimizer, progress);
        }
        Ok(trainer)
    }

    fn go_on(&mut self, optimizer: Optimizer, progress: Progress) {
        let (best, without) = (progress.best_validation_loss, progress.without_improvement);
        let patience = self.options.early_stopping_patience.unsigned_abs();
        self.stopped = patience > 0 && without >= patience;
        self.stopping = EarlyStopping::from(&self.options).resumed(best, without);
        self.optimizer = optimizer;
        self.progress = progress;
    }

    /// The memory that the training takes.
    pub fn plan(&self) -> &TrainPlan {
        &self.plan
    }

    /// How far it came.
    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    /// The options.
    pub fn options(&self) -> &TrainerOptions {
        &self.options
    }

    /// The adapter's parameters as they are now.
    pub fn params(&self) -> &LoraParams {
        &self.params
    }

    /// What became of the examples when they were encoded.
    pub fn encoding(&self) -> &EncodingReport {
        self.feed.report()
    }

    /// Steps that there will be in all, unless early stopping ends the training.
    pub fn total_steps(&self) -> u64 {
        self.feed.total_steps()
    }

    /// Whether all steps are done, or early stopping ended the training.
    pub fn is_finished(&self) -> bool {
        self.stopped || (self.progress.step >= self.total_steps() && !self.is_validation_missing())
    }

    /// One optimizer step, and the validation that is due after it. `None` when the training is finished.
    ///
    /// # Errors
    /// `Cancelled` within one operation of a layer; `TrainingDiverged` when a loss or a gradient is not a finite
    /// number. The adapter is then what it was before the step.
    pub fn step(&mut self, cancel: &CancelToken) -> Result<Option<StepReport>> {
        if self.is_finished() {
            return Ok(None);
        }
        if !self.is_validation_missing() {
            self.last = Some(self.learn(cancel)?);
        }
        let mut report = self.last.unwrap_or_else(|| self.remembered());
        if self.is_validation_missing() {
            (report.validation_loss, report.best) = self.validate(cancel)?;
        }
        Ok(Some(report))
    }

    /// A step without its validation.
    fn learn(&mut self, cancel: &CancelToken) -> Result<StepReport> {
        let begin = Instant::now();
        let step = self.progress.step;
        let batch = self.feed.batch(self.progress.epoch, self.progress.cursor, cancel)?;
        let (loss, tokens) = self.accumulate(&batch.rows, cancel)?;
        if !loss.sum.is_finite() {
            bail!(
                TrainingDiverged,
                "the loss of step {} is not a finite number; lower learning_rate, and resume from the last \
                 checkpoint: the adapter is as it was before the step",
                step + 1
            )
        }
        let factor = 1.0 / loss.tokens.max(1) as f32;
        let mut gradients = self.engine.gradients(&self.params, factor)?;
        let mut slices: Vec<&mut [f32]> = gradients.iter_mut().map(Vec::as_mut_slice).collect();
        let grad_norm = clip_grad_norm(&mut slices, self.options.max_grad_norm)
            .map_err(|e| err!(TrainingDiverged, "step {}: {}", step + 1, e.message()))?;
        let learning_rate = self.schedule.learning_rate(step, self.total_steps());
        let pairs = self.params.tensors_mut().zip(gradients.iter().map(Vec::as_slice));
        self.optimizer.step(learning_rate, pairs)?;
        self.engine.set_params(&self.params)?;

        let p = &mut self.progress;
        (p.epoch, p.cursor) = batch.next;
        p.step += 1;
        p.tokens += tokens;
        p.losses.push(loss.mean());
        Ok(StepReport {
            step: step + 1,
            total_steps: self.total_steps(),
            epoch: self.progress.epoch,
            loss: loss.mean(),
            accuracy: loss.correct as f64 / loss.tokens.max(1) as f64,
            learning_rate,
            grad_norm,
            tokens,
            loss_tokens: loss.tokens,
            seconds: begin.elapsed().as_secs_f64(),
            validation_loss: None,
            best: false,
        })
    }

    /// The last step, of which only the progress is left.
    fn remembered(&self) -> StepReport {
        let Progress { step, epoch, ref losses, .. } = self.progress;
        StepReport {
            step,
            total_steps: self.total_steps(),
            epoch,
            loss: losses.last().copied().unwrap_or(f64::NAN),
            accuracy: f64::NAN,
            learning_rate: self.schedule.learning_rate(step.saturating_sub(1), self.total_steps()),
            grad_norm: f64::NAN,
            tokens: 0,
            loss_tokens: 0,
            seconds: 0.0,
            validation_loss: None,
            best: false,
        }
    }

    /// Sums up the losses and gradients of a step's rows.
    fn accumulate(&mut self, rows: &[Row], cancel: &CancelToken) -> Result<(Loss, u64)> {
        self.engine.clear(&self.params)?;
        let (mut sum, mut tokens) = (Loss::default(), 0);
        for (index, row) in rows.iter().enumerate() {
            let key = [self.options.seed.unsigned_abs(), (self.progress.step << 20) + index as u64];
            let chance = self.options.lora_dropout;
            let dropout = (chance > 0.0).then_some(Dropout { chance, key });
            sum.add(self.engine.learn(row, dropout, cancel)?);
            tokens += row.tokens.len() as u64;
        }
        Ok((sum, tokens))
    }

    /// Whether the last step is to be followed by a validation that was not made yet.
    fn is_validation_missing(&self) -> bool {
        let p = &self.progress;
        let due = match self.options.validate_every.unsigned_abs() {
            0 => p.cursor == 0,
            every => p.step.is_multiple_of(every),
        };
        let due = p.step > 0 && (due || p.step >= self.total_steps());
        due && self.feed.has_validation() && p.validation.last().is_none_or(|v| v.0 < p.step)
    }

    fn validate(&mut self, cancel: &CancelToken) -> Result<(Option<f64>, bool)> {
        let loss = measure(&mut self.engine, self.feed.validation(), cancel)?.mean();
        let verdict = self.stopping.observe(loss);
        self.stopped = verdict == Verdict::Stop;
        let p = &mut self.progress;
        p.validation.push((p.step, loss));
        p.best_validation_loss = self.stopping.best();
        p.without_improvement = self.stopping.without_improvement();
        Ok((Some(loss), verdict == Verdict::Improved))
    }

    /// How well the model predicts a dataset with the adapter as it is now.
    ///
    /// # Errors
    /// Those of encoding the data; `Cancelled`.
    pub fn evaluate(&mut self, data: &Dataset, cancel: &CancelToken) -> Result<Evaluation> {
        let rows = self.feed.rows_of(data, cancel)?;
        let loss = measure(&mut self.engine, &rows, cancel)?;
        Ok(Evaluation {
            loss: loss.mean(),
            perplexity: loss.mean().exp(),
            accuracy: loss.correct as f64 / loss.tokens.max(1) as f64,
            tokens: loss.tokens,
        })
    }

    /// The adapter as it is now, ready to be attached to sessions of the model.
    ///
    /// # Errors
    /// `OutOfMemory`; `WrongState` for a `vocab_only` model, which can be trained but not run.
    pub fn adapter(&self) -> Result<Adapter> {
        Adapter::open(&self.model, Source::memory(self.params.to_bytes("trained")?))
    }

    /// Writes the adapter as a GGUF LoRA file, by temp + rename.
    ///
    /// # Errors
    /// Those of files.
    pub fn save_adapter(&self, path: impl AsRef<std::path::Path>, name: &str) -> Result<()> {
        self.params.save(path, name)
    }

    /// Writes a checkpoint that [`resume`](Self::resume) goes on from, by temp + rename.
    ///
    /// # Errors
    /// Those of files; the old checkpoint is untouched then.
    pub fn save(&self, path: impl AsRef<std::path::Path>) -> Result<()> {
        let view = CheckpointView {
            options: &self.options,
            params: &self.params,
            optimizer: &self.optimizer,
            progress: &self.progress,
            model: self.model.fingerprint()?,
            dataset: self.feed.digest(),
        };
        view.save(path)
    }
}

/// The loss of rows together.
fn measure(engine: &mut Engine, rows: &[Row], cancel: &CancelToken) -> Result<Loss> {
    let mut sum = Loss::default();
    for row in rows {
        sum.add(engine.measure(row, cancel)?);
    }
    Ok(sum)
}

impl std::fmt::Debug for Trainer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Trainer").field("step", &self.progress.step).finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "trainer_tests.rs"]
mod tests;
