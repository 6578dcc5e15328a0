//! Products of weights with the vectors of a few tokens: as fast as the weights come from memory.
//!
//! If the weights are quantized, the vectors are quantized too, to 8 bits: their products are sums of products of bytes.

mod activations;
mod avx2_blocks;
mod avx2_rows;
mod avx2_supers;
mod bytes;
mod dot;
mod float;
mod halves;
mod iq4xs;
mod k23;
mod k45;
mod k6;
mod lanes;
mod layout;
mod quantized;
mod rows;
mod supers;
mod words;

use std::ops::Range;

use super::{Crew, Level, Need, Product, Queue, Scratch, Vectors};

/// More tokens than this are for other kernels.
const TOKENS: usize = 8;

/// The memory to work with; `None` if there is no kernel for this product.
pub(crate) fn need(p: &Product, level: Level) -> Option<Need> {
    if float::offers(p, level) { Some(Need::default()) } else { quantized::need(p, level) }
}

/// Rows that a thread takes at a time, if there are so many threads.
pub(crate) fn chunk(p: &Product, level: Level, threads: usize) -> usize {
    if float::offers(p, level) && level < Level::Amx {
        float::chunk(&p.weight, threads)
    } else {
        quantized::chunk(&p.weight, level, threads)
    }
}

/// Whether the vectors are read as they are while values are computed, not only [prepared](prepare) before.
pub(crate) fn reads_vectors(p: &Product, level: Level) -> bool {
    float::offers(p, level)
}

/// Brings the vectors into the form that they are multiplied in: each thread for itself, since that is done before the threads
/// would have met, and is little beside the weights.
///
/// # Safety
/// The processor has the level, for which there is a kernel; the vectors can be read, and `to` has as much room as
/// [`need`] says.
pub(crate) unsafe fn prepare(p: &Product, level: Level, to: *mut u8) {
    if !float::offers(p, level) {
        // SAFETY: the caller's.
        unsafe { quantized::prepare(p, level, to) }
    }
}

/// The values of some rows: that of the first row is the first of each vector of `y`.
///
/// # Safety
/// As for [`Product::run_in`]; the vectors were [prepared](prepare), and no other thread computes these rows.
pub(crate) unsafe fn rows(
    p: &Product,
    level: Level,
    rows: Range<usize>,
    prepared: *const u8,
    y: Vectors,
) {
    // SAFETY: the caller's.
    unsafe {
        if float::offers(p, level) {
            float::rows(p, level, rows, y);
        } else {
            quantized::rows(p, level, rows, prepared, y);
        }
    }
}

/// Computes it. Every thread of the crew calls this; some return before all values are there.
///
/// # Safety
/// As for [`Product::run_in`]; [`need`] says that there is a kernel.
pub(crate) unsafe fn run(
    p: &Product,
    level: Level,
    crew: Crew<'_>,
    scratch: Scratch,
    queue: &mut Queue,
) {
    let (all, chunk) = (p.weight.rows, chunk(p, level, crew.count));
    let mut is_prepared = false;
    while let Some(piece) = queue.next(&crew, all.div_ceil(chunk)) {
        let some = piece * chunk..all.min((piece + 1) * chunk);
        // SAFETY: the caller's; every piece is one thread's.
        unsafe {
            if !std::mem::replace(&mut is_prepared, true) {
                prepare(p, level, scratch.own);
            }
            let y = p.y.elements(some.start);
            rows(p, level, some, scratch.own, y);
        }
    }
}
