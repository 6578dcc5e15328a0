//! Both passes on processors without kernels of our own.

use super::AttentionShape;
use crate::kernels::{Crew, Need, Scratch};

/// Nothing.
pub(super) fn need(_: &AttentionShape) -> Need {
    Need::default()
}

/// Does nothing.
///
/// # Safety
/// None is needed.
pub(super) unsafe fn run<T>(_: &T, _: Crew, _: Scratch) {}
