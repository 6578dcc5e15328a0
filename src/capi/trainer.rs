//! Trainers: a LoRA adapter that learns from a dataset, step by step, on the model's quantized weights. Sessions of the
//! model run beside it. A step depends on the model, the data, the options and the number of threads alone.

use std::ffi::c_char;

use super::adapter::nest_adapter;
use super::argument::text;
use super::dataset::nest_dataset;
use super::error::nest_error;
use super::guard::{guard, guard_or};
use super::handle::{Exclusive, Handle, free, handle, optional};
use super::model::nest_model;
use super::option_set::OptionSet;
use super::options::{self, nest_options};
use super::out::out;
use super::source::nest_source;
use crate::format::Source;
use crate::options::TrainerOptions;
use crate::train::Trainer;

/// A training; keeps the model and the examples alive.
pub struct nest_trainer(pub(super) Exclusive<Trainer>);

impl Handle for nest_trainer {
    const NAME: &'static str = "nest_trainer";

    fn close(&self) {
        self.0.close();
    }
}

/// A trainer for a new adapter. It maps the model's weights itself: a model opened with `vocab_only` can be trained, too,
/// without the memory of an open one. `validation` may be NULL: then the share `validation_fraction` of the data is held
/// out, if that option is set. `options` of the kind "trainer".
///
/// Gives `trainer`. Any thread. Errors: NULL_POINTER, INVALID_OPTION, UNSUPPORTED for an architecture that cannot be
/// trained, LORA_TARGET, LORA_RANK, LORA_LAYERS, DOES_NOT_FIT says what would make it fit, those of making the examples
/// tokens (DATASET_EMPTY, DATASET_EXAMPLE, DATASET_TOO_LONG, NO_TEMPLATE, TEMPLATE_...), OUT_OF_MEMORY, BUSY for options
/// that are being changed.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn nest_trainer_new(
    model: *const nest_model,
    data: *const nest_dataset,
    validation: *const nest_dataset,
    options: *const nest_options,
    trainer: *mut *mut nest_trainer,
) -> *mut nest_error {
    // SAFETY: the caller keeps the conventions for every pointer.
    guard(|| unsafe {
        let out = out(trainer, "trainer")?;
        let (model, data) = (handle(model, "model")?, handle(data, "data")?);
        let (validation, options) = (optional(validation), options::of::<TrainerOptions>(options)?);
        let validation = validation.as_ref().map(|v| &v.data);
        out.set(Trainer::new(&model.0, &data.data, validation, &options)?.into());
        Ok(())
    })
}

/// As nest_trainer_new, but goes on with an existing adapter (GGUF LoRA), whose rank, scale, targets and layers it keeps.
/// A file of nest_trainer_save_adapter is one.
///
/// Gives `trainer`. Any thread. Errors: as nest_trainer_new, ADAPTER_... and GGUF_... for a bad file, ADAPTER_MISMATCH for
/// one of another model, and those of files.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn nest_trainer_continue_adapter(
    model: *const nest_model,
    data: *const nest_dataset,
    validation: *const nest_dataset,
    options: *const nest_options,
    adapter: *const nest_source,
    trainer: *mut *mut nest_trainer,
) -> *mut nest_error {
    // SAFETY: the caller keeps the conventions for every pointer.
    guard(|| unsafe {
        let out = out(trainer, "trainer")?;
        let (model, data) = (handle(model, "model")?, handle(data, "data")?);
        let (validation, options) = (optional(validation), options::of::<TrainerOptions>(options)?);
        let validation = validation.as_ref().map(|v| &v.data);
        let (data, file) = (&data.data, handle(adapter, "adapter")?.0.clone());
        let new = Trainer::continue_adapter(&model.0, data, validation, &options, file)?;
        out.set(new.into());
        Ok(())
    })
}

/// A trainer that goes on where nest_trainer_save wrote the file, with its options, on the same model and data: it ends
/// with the same adapter, bit by bit, as if it had not been interrupted. `validation` may be NULL, as it was.
///
/// Gives `trainer`. Any thread. Errors: as nest_trainer_new, CHECKPOINT_FORMAT for a damaged file or one of another kind,
/// CHECKPOINT_FOREIGN for one of another model or other data, and those of files.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn nest_trainer_resume(
    model: *const nest_model,
    data: *const nest_dataset,
    validation: *const nest_dataset,
    path: *const c_char,
    trainer: *mut *mut nest_trainer,
) -> *mut nest_error {
    // SAFETY: the caller keeps the conventions for every pointer.
    guard(|| unsafe {
        let out = out(trainer, "trainer")?;
        let (model, data) = (handle(model, "model")?, handle(data, "data")?);
        let (validation, path) = (optional(validation), text(path, "path")?);
        let validation = validation.as_ref().map(|v| &v.data);
        let resumed = Trainer::resume(&model.0, &data.data, validation, Source::path(path))?;
        out.set(resumed.into());
        Ok(())
    })
}

/// A copy of the training's options, to be read with nest_options_get: those of the checkpoint after resuming.
///
/// Gives `options`. Exclusive: `trainer`. Errors: NULL_POINTER, BUSY.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn nest_trainer_get_options(
    trainer: *mut nest_trainer,
    options: *mut *mut nest_options,
) -> *mut nest_error {
    // SAFETY: the caller keeps the conventions for every pointer.
    guard(|| unsafe {
        let out = out(options, "options")?;
        let found = handle(trainer, "trainer")?.0.lock("trainer")?.options().clone();
        out.set(nest_options::of(OptionSet::of(found)));
        Ok(())
    })
}

/// The adapter as it is now, for sessions of the same model: attach it with nest_options_add_adapter. Later steps do not
/// change it.
///
/// Gives `adapter`. Exclusive: `trainer`. Errors: NULL_POINTER, BUSY, OUT_OF_MEMORY, WRONG_STATE for a vocab_only model,
/// UNSUPPORTED on Windows.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn nest_trainer_adapter(
    trainer: *mut nest_trainer,
    adapter: *mut *mut nest_adapter,
) -> *mut nest_error {
    // SAFETY: the caller keeps the conventions for every pointer.
    guard(|| unsafe {
        let out = out(adapter, "adapter")?;
        let trainer = handle(trainer, "trainer")?;
        out.set(nest_adapter(trainer.0.lock("trainer")?.adapter()?));
        Ok(())
    })
}

/// Writes the adapter as it is now as a GGUF LoRA file, whole or not at all; `name` becomes its `general.name`.
///
/// Exclusive: `trainer`. Errors: NULL_POINTER, INVALID_UTF8, BUSY, and those of files: what was there before stays.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn nest_trainer_save_adapter(
    trainer: *mut nest_trainer,
    path: *const c_char,
    name: *const c_char,
) -> *mut nest_error {
    // SAFETY: the caller keeps the conventions for every pointer.
    guard(|| unsafe {
        let trainer = handle(trainer, "trainer")?;
        let (path, name) = (text(path, "path")?, text(name, "name")?);
        trainer.0.lock("trainer")?.save_adapter(path, name)
    })
}

/// Writes a checkpoint, which nest_trainer_resume goes on from, to a file that only the user can read, whole or not at all.
///
/// Exclusive: `trainer`. Errors: NULL_POINTER, INVALID_UTF8, BUSY, and those of files: what was there before stays.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn nest_trainer_save(
    trainer: *mut nest_trainer,
    path: *const c_char,
) -> *mut nest_error {
    // SAFETY: the caller keeps the conventions for every pointer.
    guard(|| unsafe {
        let (trainer, path) = (handle(trainer, "trainer")?, text(path, "path")?);
        trainer.0.lock("trainer")?.save(path)
    })
}

/// Frees a trainer; what is not saved is lost. NULL is fine.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nest_trainer_free(trainer: *mut nest_trainer) {
    // SAFETY: NULL, or the caller's own trainer, given back.
    guard_or((), || unsafe { free(trainer) });
}

impl From<Trainer> for nest_trainer {
    fn from(trainer: Trainer) -> Self {
        Self(Exclusive::new(trainer))
    }
}
