//! Adapters as PEFT saves them: a directory with `adapter_config.json` and `adapter_model.safetensors`.

mod config;
mod read;
mod write;

pub(super) use read::Peft;
pub(super) use write::{check, write};

/// The configuration's file.
pub(super) const CONFIG: &str = "adapter_config.json";
/// The file with the weights.
pub(super) const WEIGHTS: &str = "adapter_model.safetensors";
/// Before each module's path in the names of tensors.
const PREFIX: &str = "base_model.model.";
