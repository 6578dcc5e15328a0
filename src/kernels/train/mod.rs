//! Small kernels of training: a pair's narrow products, and the ways back through gates and norms.
//!
//! All of it is in f32. Each sum runs over tokens, or over a row, in one order, whoever computes it.

mod gate;
mod lora;
mod narrow;
mod norm;

pub(crate) use gate::GateBack;
pub(crate) use lora::{LoraBack, LoraDown, LoraUp, Pair};
pub(crate) use norm::{NormBack, RmsNorm};

#[cfg(test)]
#[path = "lora_tests.rs"]
mod lora_tests;
#[cfg(test)]
#[path = "row_tests.rs"]
mod row_tests;
