#![doc = include_str!("../README.md")]

pub mod adapter;
pub mod build_info;
pub mod cancel;
#[cfg(feature = "capi")]
pub mod capi;
pub mod chat;
pub mod convert;
pub mod dataset;
pub mod device;
pub mod embedding;
pub mod error;
pub mod eval;
pub mod format;
pub mod generation;
mod ggml;
pub mod job;
mod kernels;
pub mod log;
pub mod model;
pub mod options;
pub mod plan;
pub mod prune;
pub mod quantize;
mod rng;
pub mod sampling;
pub mod session;
pub mod tokenizer;
pub mod train;

pub use error::{Code, Error, Result};

// The unit tests use the models that the integration tests make, which name the crate.
#[cfg(test)]
extern crate self as nestling;
#[cfg(test)]
#[path = "../tests/support/mod.rs"]
mod test_support;
