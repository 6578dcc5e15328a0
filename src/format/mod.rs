//! Bytes and their meaning, without the engine: where a file comes from, and what a GGUF file says.

pub mod gguf;
pub mod source;
