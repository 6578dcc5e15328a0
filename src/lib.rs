//! Nestling.

pub mod error;
pub mod format;
