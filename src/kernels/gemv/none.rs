//! Where there are no kernels for a few tokens.

use std::ops::Range;

use super::{Crew, Level, Need, Product, Queue, Scratch, Vectors};

/// Nothing is offered.
pub(crate) fn need(_: &Product, _: Level) -> Option<Need> {
    None
}

/// Any number.
pub(crate) fn chunk(_: &Product, _: Level, _: usize) -> usize {
    1
}

/// None does.
pub(crate) fn reads_vectors(_: &Product, _: Level) -> bool {
    false
}

/// Does nothing.
///
/// # Safety
/// None is needed: the signature is that of processors with kernels.
pub(crate) unsafe fn prepare(_: &Product, _: Level, _: *mut u8) {}

/// Computes nothing.
///
/// # Safety
/// As for [`prepare`].
pub(crate) unsafe fn rows(_: &Product, _: Level, _: Range<usize>, _: *const u8, _: Vectors) {}

/// Computes nothing.
///
/// # Safety
/// As for [`prepare`].
pub(crate) unsafe fn run(_: &Product, _: Level, _: Crew<'_>, _: Scratch, _: &mut Queue) {}
