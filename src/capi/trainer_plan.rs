//! The memory of a training, before it is taken.

use super::dataset::nest_dataset;
use super::error::nest_error;
use super::guard::guard;
use super::handle::{handle, optional};
use super::model::nest_model;
use super::options::{self, nest_options};
use super::out::{fill, first_version, out, struct_size};
use super::string::nest_string;
use super::trainer::nest_trainer;
use crate::error::Result;
use crate::options::TrainerOptions;
use crate::train::TrainPlan;

/// What a training takes beside the model's weights, which stay in their mapped file. Bytes, where nothing else is said.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct nest_training_plan {
    /// sizeof(nest_training_plan), set by the caller.
    pub struct_size: u32,
    /// Whether it fits: 0 or 1. nest_trainer_plan_json says what to change if not.
    pub fits: i32,
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
    /// What may be taken: the option `memory_budget`, or a share of what is free.
    pub budget: u64,
}
first_version!(nest_training_plan, budget: u64);

/// The memory that a training with a new adapter would take, and whether it fits. Nothing is allocated for it but the
/// adapter's own parameters. `validation` may be NULL; `options` of the kind "trainer".
///
/// Fills `plan`. Any thread. Errors: STRUCT_SIZE, and those of nest_trainer_new without DOES_NOT_FIT.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn nest_trainer_plan(
    model: *const nest_model,
    data: *const nest_dataset,
    validation: *const nest_dataset,
    options: *const nest_options,
    plan: *mut nest_training_plan,
) -> *mut nest_error {
    // SAFETY: the caller keeps the conventions for every pointer.
    guard(|| unsafe {
        struct_size(plan, "plan")?;
        fill(plan, (&planned(model, data, validation, options)?).into(), "plan")
    })
}

/// As nest_trainer_plan, as a JSON object with the advice what to change if it does not fit.
///
/// Gives `json`. Any thread. Errors: those of nest_trainer_new without DOES_NOT_FIT.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn nest_trainer_plan_json(
    model: *const nest_model,
    data: *const nest_dataset,
    validation: *const nest_dataset,
    options: *const nest_options,
    json: *mut *mut nest_string,
) -> *mut nest_error {
    // SAFETY: the caller keeps the conventions for every pointer.
    guard(|| unsafe {
        let out = out(json, "json")?;
        out.set(nest_string::json(&planned(model, data, validation, options)?)?);
        Ok(())
    })
}

/// The memory that a trainer takes.
///
/// Fills `plan`. Exclusive: `trainer`. Errors: NULL_POINTER, STRUCT_SIZE, BUSY.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn nest_trainer_get_plan(
    trainer: *mut nest_trainer,
    plan: *mut nest_training_plan,
) -> *mut nest_error {
    // SAFETY: the caller keeps the conventions for every pointer.
    guard(|| unsafe {
        struct_size(plan, "plan")?;
        let found = handle(trainer, "trainer")?.0.lock("trainer")?.plan().into();
        fill(plan, found, "plan")
    })
}

/// # Safety
/// As [`handle`].
unsafe fn planned(
    model: *const nest_model,
    data: *const nest_dataset,
    validation: *const nest_dataset,
    options: *const nest_options,
) -> Result<TrainPlan> {
    // SAFETY: passed on.
    let (model, data) = unsafe { (handle(model, "model")?, handle(data, "data")?) };
    // SAFETY: passed on.
    let (validation, options) =
        unsafe { (optional(validation), options::of::<TrainerOptions>(options)?) };
    TrainPlan::new(&model.0, &data.data, validation.as_ref().map(|v| &v.data), &options)
}

impl From<&TrainPlan> for nest_training_plan {
    fn from(plan: &TrainPlan) -> Self {
        Self {
            struct_size: 0,
            fits: plan.fits.into(),
            n_ctx: plan.n_ctx,
            n_parameters: plan.n_parameters,
            parameters: plan.parameters,
            optimizer: plan.optimizer,
            activations: plan.activations,
            stored_layers: plan.stored_layers,
            stored: plan.stored,
            compute: plan.compute,
            buffers: plan.buffers,
            total: plan.total,
            budget: plan.budget,
        }
    }
}
