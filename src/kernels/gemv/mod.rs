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

use super::{Crew, Level, Need, Product, Queue, Scratch};

/// More tokens than this are for other kernels.
const TOKENS: usize = 8;

/// The memory to work with; `None` if there is no kernel for this product.
pub(crate) fn need(p: &Product, level: Level) -> Option<Need> {
    if float::offers(p, level) { Some(Need::default()) } else { quantized::need(p, level) }
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
    // SAFETY: the caller's.
    unsafe {
        if float::offers(p, level) {
            float::run_float(p, level, crew, queue);
        } else {
            quantized::run(p, level, crew, scratch, queue);
        }
    }
}
