//! The memory of a training, before it is taken.

use super::error::nest_error;
use super::guard::guard;
use super::handle::handle;
use super::out::{fill, first_version, struct_size};
use super::trainer::nest_trainer;
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

/// The memory that the training takes.
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
            compute: plan.compute,
            buffers: plan.buffers,
            total: plan.total,
            budget: plan.budget,
        }
    }
}
