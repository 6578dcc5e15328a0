#![doc = include_str!("../README.md")]

pub mod adapter;
pub mod build_info;
pub mod cancel;
#[cfg(feature = "capi")]
pub mod capi;
pub mod chat;
pub mod dataset;
pub mod device;
pub mod error;
pub mod format;
pub mod generation;
mod ggml;
pub mod job;
pub mod log;
pub mod model;
pub mod options;
pub mod plan;
mod rng;
pub mod sampling;
pub mod session;
pub mod tokenizer;
pub mod train;

pub use error::{Code, Error, Result};
