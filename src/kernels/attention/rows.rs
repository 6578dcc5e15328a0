//! Keys and values as rows of f32, whatever their type.

use crate::kernels::lanes::{Brain, Element, Half, Lanes, Single};
use crate::kernels::{Level, WeightType, dequant};

/// Copies a row of `n` elements, a multiple of `L::N` and whole blocks.
///
/// # Safety
/// The processor has the instructions of `L`; there is such a row at `from`, and room for it at `to`.
#[inline(always)]
pub(super) unsafe fn copy<L: Lanes>(
    level: Level,
    weight_type: WeightType,
    from: *const u8,
    n: usize,
    to: *mut f32,
) {
    // SAFETY: the caller's.
    unsafe {
        match weight_type {
            WeightType::F32 => readable::<L, Single>(from, n, to),
            WeightType::F16 => readable::<L, Half>(from, n, to),
            WeightType::Bf16 => readable::<L, Brain>(from, n, to),
            _ => dequant::to_f32(level, weight_type, from, 0, n, to),
        }
    }
}

/// As [`copy`], for one type.
///
/// # Safety
/// As [`copy`].
#[inline(always)]
unsafe fn readable<L: Lanes, E: Element>(from: *const u8, n: usize, to: *mut f32) {
    for i in (0..n).step_by(L::N) {
        // SAFETY: the caller's.
        unsafe { L::store(to.add(i), E::load::<L>(from.add(i * E::BYTES))) };
    }
}
