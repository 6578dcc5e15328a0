//! Without the instructions for it there is no GEMM.

use super::{Crew, FusedProduct, Level, Need, Product, ProductBack, Queue, Scratch, Weight};

/// There is nothing to end.
pub(crate) const ENDS: [usize; 0] = [];

/// None are.
pub(crate) const TOGETHER: usize = 0;

/// The level itself.
pub(crate) fn level(_weight: &Weight, level: Level) -> Level {
    level
}

/// There is no product.
pub(crate) fn is_of_bytes(_product: &Product, _level: Level) -> bool {
    false
}

/// None.
pub(crate) fn need(_product: &Product, _level: Level) -> Option<Need> {
    None
}

/// Does nothing.
///
/// # Safety
/// None needed.
pub(crate) unsafe fn run(
    _product: &Product,
    _level: Level,
    _crew: Crew<'_>,
    _scratch: Scratch,
    _queue: &mut Queue,
) {
}

/// None are packed.
pub(crate) fn pack_alike(_a: &Product, _b: &Product, _level: Level) -> bool {
    false
}

/// None.
pub(crate) fn need_fused(_product: &FusedProduct, _level: Level) -> Option<Need> {
    None
}

/// Does nothing.
///
/// # Safety
/// None needed.
pub(crate) unsafe fn run_fused(
    _product: &FusedProduct,
    _level: Level,
    _crew: Crew<'_>,
    _scratch: Scratch,
    _queue: &mut Queue,
) {
}

/// None.
pub(crate) fn need_back(_product: &ProductBack, _level: Level) -> Option<Need> {
    None
}

/// Does nothing.
///
/// # Safety
/// None needed.
pub(crate) unsafe fn run_back(
    _product: &ProductBack,
    _level: Level,
    _crew: Crew<'_>,
    _scratch: Scratch,
    _queue: &mut Queue,
) {
}
