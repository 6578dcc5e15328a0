//! Where there are no kernels for a few tokens.

use super::{Crew, Level, Need, Product, Queue, Scratch};

/// Nothing is offered.
pub(crate) fn need(_: &Product, _: Level) -> Option<Need> {
    None
}

/// Computes nothing.
///
/// # Safety
/// None is needed: the signature is that of processors with kernels.
pub(crate) unsafe fn run(_: &Product, _: Level, _: Crew<'_>, _: Scratch, _: &mut Queue) {}
