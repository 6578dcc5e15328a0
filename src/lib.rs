//! Nestling.

pub mod error;
