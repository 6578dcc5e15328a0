//! LoRA training on the quantized model: its graphs, parameters, optimizers, schedules, checkpoints.

mod adapted;
mod arch;
mod checkpoint;
mod checkpoint_file;
mod clip;
mod decode;
mod early_stopping;
mod engine;
mod feed;
mod head;
mod layer;
mod lora;
mod lora_file;
mod lowering;
mod ops;
mod optimizer;
mod pass;
mod plan;
mod row;
mod schedule;
mod seal;
mod start;
mod tape;
mod target;
mod trainer;
mod update;
mod weights;

#[cfg(test)]
mod autodiff_tests;
#[cfg(test)]
mod tests;

pub use checkpoint::{Checkpoint, CheckpointView, Progress};
pub use clip::{clip_grad_norm, grad_norm};
pub use early_stopping::{EarlyStopping, Verdict};
pub use lora::{LoraPair, LoraParams, LoraSpec};
pub use optimizer::{Optimizer, OptimizerOptions};
pub use plan::TrainPlan;
pub use schedule::{Schedule, Warmup};
pub use target::{Target, Targets};
pub use trainer::{Evaluation, StepReport, Trainer};
