//! Nestling.

pub mod cancel;
pub mod chat;
pub mod error;
pub mod format;
pub mod job;
pub mod log;
pub mod options;
pub mod sampling;

pub use error::{Code, Error, Result};
