//! Training, step by step, and measuring in between.

use super::cancel::{nest_cancel, token};
use super::dataset::nest_dataset;
use super::error::nest_error;
use super::guard::guard;
use super::handle::handle;
use super::out::{fill, first_version, put, struct_size};
use super::trainer::nest_trainer;
use crate::train::{Evaluation, StepReport};

/// What a step of a training did. Of one whose validation alone was left to a resumed training, only the loss, the step
/// size and the validation are known: counts are 0 then, other numbers NaN.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct nest_training_step {
    /// sizeof(nest_training_step), set by the caller.
    pub struct_size: u32,
    /// Whether it was the last one: 0 or 1.
    pub finished: i32,
    /// Steps done, with this one.
    pub step: u64,
    /// Steps that there will be, unless early stopping ends the training.
    pub total_steps: u64,
    /// Whole passes over the examples done.
    pub epoch: u64,
    /// Mean of -ln p over the step's learned tokens, in nats, before the step.
    pub loss: f64,
    /// Share of these tokens that were the most likely ones, 0 to 1.
    pub accuracy: f64,
    /// The step size.
    pub learning_rate: f64,
    /// L2 norm of all gradients before clipping.
    pub grad_norm: f64,
    /// Tokens that went through the model.
    pub tokens: u64,
    /// Of these: tokens that were learned.
    pub loss_tokens: u64,
    /// Seconds that the step took, validation aside.
    pub seconds: f64,
    /// The validation loss in nats; NaN if the step was not followed by a validation.
    pub validation_loss: f64,
    /// Whether the step was followed by a validation: 0 or 1.
    pub validated: i32,
    /// Whether the validation loss is the best so far: 0 or 1. Then is the time for nest_trainer_save_adapter.
    pub best: i32,
}
first_version!(nest_training_step, best: i32);

/// How well a model with an adapter predicts a dataset.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct nest_training_evaluation {
    /// sizeof(nest_training_evaluation), set by the caller.
    pub struct_size: u32,
    /// Always 0.
    pub reserved: u32,
    /// Mean of -ln p over the tokens to predict, in nats.
    pub loss: f64,
    /// e to the power of the loss.
    pub perplexity: f64,
    /// Share of the tokens that were the most likely ones, 0 to 1.
    pub accuracy: f64,
    /// The number of tokens to predict.
    pub tokens: u64,
}
first_version!(nest_training_evaluation, tokens: u64);

/// One step, and the validation that is due after it. `has_step` becomes 1 when there was one; 0 when the training is
/// finished: `step` is then as it was. After an error the adapter is what it was before the step, or, if the validation
/// was cancelled, the step is done and the next call validates: call again, or save. Between two steps a training is
/// paused, as long as the caller likes.
///
/// Fills `step`. Exclusive: `trainer`. Errors: NULL_POINTER, STRUCT_SIZE, BUSY, CANCELLED, TRAINING_DIVERGED when the loss
/// or a gradient is not a finite number.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn nest_trainer_step(
    trainer: *mut nest_trainer,
    cancel: *const nest_cancel,
    step: *mut nest_training_step,
    has_step: *mut i32,
) -> *mut nest_error {
    // SAFETY: the caller keeps the conventions for every pointer.
    guard(|| unsafe {
        put(has_step, 0, "has_step")?;
        struct_size(step, "step")?;
        let trainer = handle(trainer, "trainer")?;
        let cancel = trainer.0.token(&token(cancel));
        let mut trainer = trainer.0.lock("trainer")?;
        let Some(done) = trainer.step(&cancel)? else { return Ok(()) };
        fill(step, nest_training_step::new(&done, trainer.is_finished()), "step")?;
        put(has_step, 1, "has_step")
    })
}

/// How well the model predicts a dataset with the adapter as it is now; the training does not change. Its options say how
/// examples become tokens.
///
/// Fills `evaluation`. Exclusive: `trainer`. Errors: NULL_POINTER, STRUCT_SIZE, BUSY, CANCELLED, and those of making the
/// examples tokens, as nest_trainer_new.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn nest_trainer_evaluate(
    trainer: *mut nest_trainer,
    data: *const nest_dataset,
    cancel: *const nest_cancel,
    evaluation: *mut nest_training_evaluation,
) -> *mut nest_error {
    // SAFETY: the caller keeps the conventions for every pointer.
    guard(|| unsafe {
        struct_size(evaluation, "evaluation")?;
        let (trainer, data) = (handle(trainer, "trainer")?, handle(data, "data")?);
        let cancel = trainer.0.token(&token(cancel));
        let found = trainer.0.lock("trainer")?.evaluate(&data.data, &cancel)?;
        fill(evaluation, nest_training_evaluation::from(&found), "evaluation")
    })
}

impl nest_training_step {
    pub(super) fn new(step: &StepReport, finished: bool) -> Self {
        Self {
            struct_size: 0,
            finished: finished.into(),
            step: step.step,
            total_steps: step.total_steps,
            epoch: step.epoch,
            loss: step.loss,
            accuracy: step.accuracy,
            learning_rate: step.learning_rate,
            grad_norm: step.grad_norm,
            tokens: step.tokens,
            loss_tokens: step.loss_tokens,
            seconds: step.seconds,
            validation_loss: step.validation_loss.unwrap_or(f64::NAN),
            validated: step.validation_loss.is_some().into(),
            best: step.best.into(),
        }
    }
}

impl From<&Evaluation> for nest_training_evaluation {
    fn from(evaluation: &Evaluation) -> Self {
        Self {
            struct_size: 0,
            reserved: 0,
            loss: evaluation.loss,
            perplexity: evaluation.perplexity,
            accuracy: evaluation.accuracy,
            tokens: evaluation.tokens,
        }
    }
}
