//! Products with quantized weights: which kernel computes them, and which thread which rows.

use std::ops::Range;

use super::super::{Level, Need, Product, Vectors, Weight, WeightType};
use super::activations::quantize;
use super::dot::{Dot, Narrow, Vnni, Wide};
use super::layout::{Format, Layout, ROWS};
use super::rows::{Place, ahead, block};
use super::{TOKENS, avx2_blocks, avx2_rows, bytes, halves, iq4xs, k6, k23, k45};

/// Bytes of weights that a thread takes at a time, about.
const CHUNK: usize = 128 << 10;
/// The same for processors with AMX, whose memory is further away.
const FAR_CHUNK: usize = 1 << 20;

/// How weights of one type are multiplied at one level.
#[derive(Clone, Copy)]
struct Kernel {
    layout: Layout,
    /// Computes all rows of a place for so many tokens.
    rows: unsafe fn(&Place, usize),
}

impl Kernel {
    /// With VNNI if the level has it; otherwise for weights of less than 7 bits.
    fn narrow<F: Format<U, V>, const U: usize, const V: usize>(level: Level) -> Self {
        let without = without_vnni::<F, Narrow, U, V>;
        let rows = if level >= Level::Avx512Vnni { with_vnni::<F, U, V> } else { without };
        Self { layout: F::LAYOUT, rows }
    }

    /// With VNNI if the level has it; otherwise for weights of any size.
    fn wide<F: Format<U, V>, const U: usize, const V: usize>(level: Level) -> Self {
        let without = without_vnni::<F, Wide, U, V>;
        let rows = if level >= Level::Avx512Vnni { with_vnni::<F, U, V> } else { without };
        Self { layout: F::LAYOUT, rows }
    }

    fn avx2<F: avx2_rows::Format<U, V>, const U: usize, const V: usize>() -> Self {
        Self { layout: F::LAYOUT, rows: avx2_rows::all::<F, U, V> }
    }

    fn of(weight_type: WeightType, level: Level) -> Option<Self> {
        match level {
            Level::None => None,
            Level::Avx2 => Self::of_avx2(weight_type),
            _ => Self::of_avx512(weight_type, level),
        }
    }

    fn of_avx2(weight_type: WeightType) -> Option<Self> {
        Some(match weight_type {
            WeightType::Q4_0 => Self::avx2::<halves::Q4_0, 1, 2>(),
            WeightType::Q4_1 => Self::avx2::<halves::Q4_1, 1, 2>(),
            WeightType::Q5_0 => Self::avx2::<halves::Q5_0, 1, 2>(),
            WeightType::Q5_1 => Self::avx2::<halves::Q5_1, 1, 2>(),
            WeightType::Q8_0 => Self::avx2::<bytes::Q8_0, 2, 1>(),
            WeightType::Q4K => Self::avx2::<k45::Q4K, 4, 2>(),
            WeightType::Q5K => Self::avx2::<k45::Q5K, 4, 2>(),
            WeightType::Q6K => Self::avx2::<k6::Q6K, 8, 1>(),
            WeightType::Iq4Nl => Self::avx2::<halves::Iq4Nl, 1, 2>(),
            WeightType::Mxfp4 => Self::avx2::<avx2_blocks::Mxfp4, 1, 2>(),
            _ => return None,
        })
    }

    fn of_avx512(weight_type: WeightType, level: Level) -> Option<Self> {
        Some(match weight_type {
            WeightType::Q4_0 => Self::narrow::<halves::Q4_0, 1, 2>(level),
            WeightType::Q4_1 => Self::narrow::<halves::Q4_1, 1, 2>(level),
            WeightType::Q5_0 => Self::narrow::<halves::Q5_0, 1, 2>(level),
            WeightType::Q5_1 => Self::narrow::<halves::Q5_1, 1, 2>(level),
            WeightType::Q8_0 => Self::wide::<bytes::Q8_0, 2, 1>(level),
            WeightType::Q2K => Self::narrow::<k23::Q2K, 4, 1>(level),
            WeightType::Q3K => Self::narrow::<k23::Q3K, 4, 1>(level),
            WeightType::Q4K => Self::narrow::<k45::Q4K, 2, 2>(level),
            WeightType::Q5K => Self::narrow::<k45::Q5K, 2, 2>(level),
            WeightType::Q6K => Self::narrow::<k6::Q6K, 4, 1>(level),
            WeightType::Iq4Nl => Self::wide::<halves::Iq4Nl, 1, 2>(level),
            WeightType::Iq4Xs => Self::wide::<iq4xs::Iq4Xs, 2, 2>(level),
            WeightType::Mxfp4 => Self::avx2::<avx2_blocks::Mxfp4, 1, 2>(),
            WeightType::F32 | WeightType::F16 | WeightType::Bf16 | WeightType::Other(..) => {
                return None;
            }
        })
    }
}

/// The memory to work with; `None` if there is no kernel for this product.
pub(crate) fn need(p: &Product, level: Level) -> Option<Need> {
    let kernel = Kernel::of(p.weight.weight_type, level)?;
    let w = &p.weight;
    let fits = (1..=TOKENS).contains(&p.tokens) && w.width.is_multiple_of(w.weight_type.block());
    fits.then(|| Need { shared: 0, own: p.tokens * kernel.layout.bytes(w.width) })
}

/// Quantizes the vectors.
///
/// # Safety
/// As for [`super::prepare`].
pub(crate) unsafe fn prepare(p: &Product, level: Level, to: *mut u8) {
    let Some(kernel) = Kernel::of(p.weight.weight_type, level) else { return };
    let width = p.weight.width;
    for t in 0..p.tokens {
        let to = to.wrapping_add(t * kernel.layout.bytes(width));
        // SAFETY: the level is the processor's, and there is room for all tokens.
        unsafe { quantize(&kernel.layout, p.x.at(t), width, to) };
    }
}

/// The values of some rows.
///
/// # Safety
/// As for [`super::rows`].
pub(crate) unsafe fn rows(
    p: &Product,
    level: Level,
    rows: Range<usize>,
    prepared: *const u8,
    y: Vectors,
) {
    let Some(kernel) = Kernel::of(p.weight.weight_type, level) else { return };
    let w = &p.weight;
    // SAFETY: the rows are the weight's.
    unsafe {
        let place = Place {
            weights: w.data.add(rows.start * w.stride),
            stride: w.stride,
            rows: rows.len(),
            apart: rows.len().div_ceil(ROWS),
            ahead: ahead(level),
            width: w.width,
            activations: prepared,
            y,
        };
        (kernel.rows)(&place, p.tokens);
    }
}

/// Rows that a thread takes at a time: as many for each thread, and not too few, because each piece of memory is begun
/// slowly.
pub(crate) fn chunk(w: &Weight, level: Level, threads: usize) -> usize {
    let bytes = if level >= Level::Amx { FAR_CHUNK } else { CHUNK };
    let rounds = (w.rows * w.stride / threads / bytes).max(1);
    w.rows.div_ceil(threads * rounds).next_multiple_of(ROWS).max(ROWS)
}

/// All rows of a place, a few together for all tokens, so that they come from memory once.
///
/// # Safety
/// As for [`block`].
#[inline(always)]
unsafe fn all<F, D, const U: usize, const V: usize>(place: &Place, tokens: usize)
where
    F: Format<U, V>,
    D: Dot,
{
    for first in 0..place.apart {
        let mut t = 0;
        while t < tokens {
            // SAFETY: the rows and tokens from here on are some of the place's.
            unsafe {
                let some = place.from(first, t, F::LAYOUT.bytes(place.width));
                t += match tokens - t {
                    1 => {
                        block::<F, D, U, V, 1>(&some);
                        1
                    }
                    2..4 => {
                        block::<F, D, U, V, 2>(&some);
                        2
                    }
                    _ => {
                        block::<F, D, U, V, 4>(&some);
                        4
                    }
                }
            }
        }
    }
}

#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
unsafe fn with_vnni<F, const U: usize, const V: usize>(place: &Place, tokens: usize)
where
    F: Format<U, V>,
{
    // SAFETY: the caller promises all of it.
    unsafe { all::<F, Vnni, U, V>(place, tokens) }
}

#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512dq")]
unsafe fn without_vnni<F, D, const U: usize, const V: usize>(place: &Place, tokens: usize)
where
    F: Format<U, V>,
    D: Dot,
{
    // SAFETY: the caller promises all of it.
    unsafe { all::<F, D, U, V>(place, tokens) }
}

#[cfg(test)]
#[path = "quantized_tests.rs"]
mod tests;
