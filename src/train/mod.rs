//! LoRA training on the quantized model: parameters, optimizers, schedules, checkpoints.

mod checkpoint;
mod checkpoint_file;
mod clip;
mod decode;
mod early_stopping;
mod lora;
mod lora_file;
mod optimizer;
mod schedule;
mod seal;
mod target;
mod update;

pub use checkpoint::{Checkpoint, CheckpointView, Progress};
pub use clip::{clip_grad_norm, grad_norm};
pub use early_stopping::{EarlyStopping, Verdict};
pub use lora::{LoraPair, LoraParams, LoraSpec};
pub use optimizer::{Optimizer, OptimizerOptions};
pub use schedule::{Schedule, Warmup};
pub use target::{Target, Targets};
