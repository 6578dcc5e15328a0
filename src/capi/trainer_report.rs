//! What became of a training's examples, and how far it came.

use serde::Serialize;

use super::error::nest_error;
use super::guard::guard;
use super::handle::handle;
use super::out::{fill, first_version, out, struct_size};
use super::string::nest_string;
use super::trainer::nest_trainer;
use crate::dataset::EncodingReport;
use crate::train::{Progress, Trainer};

/// What became of the training examples when they were made tokens.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct nest_encoding_report {
    /// sizeof(nest_encoding_report), set by the caller.
    pub struct_size: u32,
    /// Always 0.
    pub reserved: u32,
    /// Examples that became tokens, truncated ones included.
    pub encoded: u64,
    /// Examples whose end was cut off.
    pub truncated: u64,
    /// Examples dropped because they are longer than a row.
    pub too_long: u64,
    /// Examples dropped because nothing to learn was left of them in the row.
    pub nothing_to_learn: u64,
    /// Examples dropped because they cannot be put into the model's chat format.
    pub bad: u64,
    /// Tokens of all examples.
    pub tokens: u64,
    /// Tokens that are to be learned.
    pub loss_tokens: u64,
}
first_version!(nest_encoding_report, loss_tokens: u64);

/// How far a training came.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct nest_training_progress {
    /// sizeof(nest_training_progress), set by the caller.
    pub struct_size: u32,
    /// Whether all steps are done, or early stopping ended the training: 0 or 1.
    pub finished: i32,
    /// Steps done.
    pub step: u64,
    /// Steps that there will be, unless early stopping ends the training.
    pub total_steps: u64,
    /// Whole passes over the examples done.
    pub epoch: u64,
    /// Examples of the current pass done.
    pub cursor: u64,
    /// Tokens that went through the model.
    pub tokens: u64,
    /// The best validation loss in nats; NaN before the first validation.
    pub best_validation_loss: f64,
    /// Validations since the best one.
    pub without_improvement: u64,
}
first_version!(nest_training_progress, without_improvement: u64);

/// What became of the training examples when they were made tokens.
///
/// Fills `report`. Exclusive: `trainer`. Errors: NULL_POINTER, STRUCT_SIZE, BUSY.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn nest_trainer_get_encoding(
    trainer: *mut nest_trainer,
    report: *mut nest_encoding_report,
) -> *mut nest_error {
    // SAFETY: the caller keeps the conventions for every pointer.
    guard(|| unsafe {
        struct_size(report, "report")?;
        let found = handle(trainer, "trainer")?.0.lock("trainer")?.encoding().into();
        fill(report, found, "report")
    })
}

/// As nest_trainer_get_encoding, as a JSON object with the reasons for the first 20 examples that are bad.
///
/// Gives `json`. Exclusive: `trainer`. Errors: NULL_POINTER, BUSY.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn nest_trainer_encoding_json(
    trainer: *mut nest_trainer,
    json: *mut *mut nest_string,
) -> *mut nest_error {
    // SAFETY: the caller keeps the conventions for every pointer.
    guard(|| unsafe {
        let out = out(json, "json")?;
        let trainer = handle(trainer, "trainer")?;
        out.set(nest_string::json(trainer.0.lock("trainer")?.encoding())?);
        Ok(())
    })
}

/// How far the training came.
///
/// Fills `progress`. Exclusive: `trainer`. Errors: NULL_POINTER, STRUCT_SIZE, BUSY.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn nest_trainer_get_progress(
    trainer: *mut nest_trainer,
    progress: *mut nest_training_progress,
) -> *mut nest_error {
    // SAFETY: the caller keeps the conventions for every pointer.
    guard(|| unsafe {
        struct_size(progress, "progress")?;
        let found = (&*handle(trainer, "trainer")?.0.lock("trainer")?).into();
        fill(progress, found, "progress")
    })
}

/// As nest_trainer_get_progress, as a JSON object with the `losses` of all steps, and as `validation` the pairs of a
/// step's number and the validation loss after it: what a curve is drawn from, also after resuming.
///
/// Gives `json`. Exclusive: `trainer`. Errors: NULL_POINTER, BUSY.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn nest_trainer_progress_json(
    trainer: *mut nest_trainer,
    json: *mut *mut nest_string,
) -> *mut nest_error {
    // SAFETY: the caller keeps the conventions for every pointer.
    guard(|| unsafe {
        let out = out(json, "json")?;
        let trainer = handle(trainer, "trainer")?;
        out.set(nest_string::json(&Whole::from(&*trainer.0.lock("trainer")?))?);
        Ok(())
    })
}

impl From<&EncodingReport> for nest_encoding_report {
    fn from(report: &EncodingReport) -> Self {
        Self {
            struct_size: 0,
            reserved: 0,
            encoded: report.encoded,
            truncated: report.truncated,
            too_long: report.too_long,
            nothing_to_learn: report.nothing_to_learn,
            bad: report.bad,
            tokens: report.tokens,
            loss_tokens: report.loss_tokens,
        }
    }
}

impl From<&Trainer> for nest_training_progress {
    fn from(trainer: &Trainer) -> Self {
        let progress = trainer.progress();
        Self {
            struct_size: 0,
            finished: trainer.is_finished().into(),
            step: progress.step,
            total_steps: trainer.total_steps(),
            epoch: progress.epoch,
            cursor: progress.cursor,
            tokens: progress.tokens,
            best_validation_loss: progress.best_validation_loss.unwrap_or(f64::NAN),
            without_improvement: progress.without_improvement,
        }
    }
}

#[derive(Serialize)]
struct Whole<'a> {
    finished: bool,
    total_steps: u64,
    #[serde(flatten)]
    progress: &'a Progress,
}

impl<'a> From<&'a Trainer> for Whole<'a> {
    fn from(trainer: &'a Trainer) -> Self {
        Self {
            finished: trainer.is_finished(),
            total_steps: trainer.total_steps(),
            progress: trainer.progress(),
        }
    }
}
