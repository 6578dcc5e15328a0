//! The gate: what must hold before the engine sees a file. One rule, one code.
//!
//! The engine trusts its input: much of what a file can say wrong ends the process there. So every
//! such condition is a rule here, checked on our own parse of the same bytes, and the engine then
//! loads from the very descriptor or memory that was checked.

mod adapter;
mod arch;
mod encoder;
mod files;
mod hparams;
mod layout;
mod scalars;
mod single;
mod special;
mod split;
mod tensors;
mod token_list;
mod types;
mod vocab;
mod widths;

pub use adapter::AdapterFile;
pub use files::{ModelFiles, Part};
pub use hparams::Hparams;
pub(crate) use scalars::NO_POOLING;
