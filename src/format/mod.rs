//! Bytes and their meaning, without the engine.
//!
//! A [`Source`] says where a file is. [`ModelFiles`] and [`AdapterFile`] are the gate: they read and
//! check everything that the engine will read, before it does. [`gguf`] reads and writes the format.

mod flushing;
mod gate;
pub mod gguf;
mod image;
mod mmap;
mod replace;
pub(crate) mod safetensors;
pub mod sealed;
pub mod source;

pub(crate) use gate::NO_POOLING;
pub use gate::{AdapterFile, ModelFiles, Part};
pub(crate) use replace::{check_output, replace_file, replace_model};
pub use source::{Access, Source};
