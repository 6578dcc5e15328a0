//! Products with weights that are floats themselves: as fast as the weights come from memory. Nothing is rounded but the
//! sums.

use std::arch::x86_64::*;
use std::ops::Range;

use super::super::dequant::floats::{Bf16, F16, F32, Float};
use super::super::{Level, Product, Vectors, Weight, WeightType};
use super::TOKENS;
use super::lanes::{Lanes, Narrow, Wide};
use super::layout::ROWS;
use super::rows::{Place, ahead, prefetch};

/// Bytes of weights that a thread takes at a time, at least and at most.
const CHUNK: [usize; 2] = [64 << 10, 512 << 10];
/// How many chunks there are for each thread, if their size allows.
const CHUNKS: usize = 8;
/// Bytes that come from memory together.
const LINE: usize = 64;

/// Whether there is a kernel for this product.
pub(crate) fn offers(p: &Product, level: Level) -> bool {
    let is_float =
        matches!(p.weight.weight_type, WeightType::F32 | WeightType::F16 | WeightType::Bf16);
    level >= Level::Avx2 && is_float && (1..=TOKENS).contains(&p.tokens)
}

/// Rows that a thread takes at a time.
pub(crate) fn chunk(w: &Weight, threads: usize) -> usize {
    let bytes = (w.rows * w.stride / (CHUNKS * threads)).clamp(CHUNK[0], CHUNK[1]);
    (bytes / w.stride.max(1)).next_multiple_of(ROWS).max(ROWS)
}

/// The values of some rows.
///
/// # Safety
/// As for [`super::rows`]; [`offers`] says that there is a kernel.
pub(crate) unsafe fn rows(p: &Product, level: Level, rows: Range<usize>, y: Vectors) {
    let w = p.weight;
    // SAFETY: rows of the weight; the level is the processor's.
    unsafe {
        let data = w.data.add(rows.start * w.stride);
        let part = Product { weight: Weight { data, rows: rows.len(), ..w }, y, ..*p };
        let ahead = ahead(level);
        if level >= Level::Avx512 { wide(&part, ahead) } else { narrow(&part, ahead) }
    }
}

/// # Safety
/// As for [`rows`]; the processor has the features.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,f16c")]
unsafe fn wide(p: &Product, ahead: usize) {
    // SAFETY: the caller promises all of it.
    unsafe { of_type::<Wide>(p, ahead) }
}

/// # Safety
/// As for [`rows`]; the processor has the features.
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn narrow(p: &Product, ahead: usize) {
    // SAFETY: the caller promises all of it.
    unsafe { of_type::<Narrow>(p, ahead) }
}

/// # Safety
/// As for [`rows`]; the processor has the features of the lanes.
#[inline(always)]
unsafe fn of_type<L: Lanes>(p: &Product, ahead: usize) {
    // SAFETY: the caller promises all of it.
    unsafe {
        match p.weight.weight_type {
            WeightType::F32 => all::<L, F32>(p, ahead),
            WeightType::F16 => all::<L, F16>(p, ahead),
            WeightType::Bf16 => all::<L, Bf16>(p, ahead),
            _ => {}
        }
    }
}

/// All rows: a few of them for a few tokens at a time, as many as there are registers for.
///
/// # Safety
/// As for [`of_type`].
#[inline(always)]
unsafe fn all<L: Lanes, F: Float>(p: &Product, ahead: usize) {
    let w = p.weight;
    let place = Place {
        weights: w.data,
        stride: w.stride,
        rows: w.rows,
        apart: w.rows.div_ceil(ROWS),
        ahead,
        width: w.width,
        activations: std::ptr::null(),
        y: p.y,
    };
    for first in 0..place.apart {
        let mut t = 0;
        while t < p.tokens {
            let tokens = (p.tokens - t).min(L::TOKENS);
            // SAFETY: rows and tokens that there are.
            unsafe {
                let (some, x) = (place.from(first, t, 0), p.x.from(t));
                let is_first = t == 0;
                match tokens {
                    1 => block::<L, F, 1, 2>(&some, x, is_first),
                    2 => block::<L, F, 2, 1>(&some, x, is_first),
                    3 => block::<L, F, 3, 1>(&some, x, is_first),
                    _ => block::<L, F, 4, 1>(&some, x, is_first),
                }
            }
            t += tokens;
        }
    }
}

/// Up to [`ROWS`] rows, the first ones of their streams, for `T` tokens. `U` vectors of a row are summed up apart, so
/// that one addition need not wait for the other. Where the rows are read for the first time, what follows is asked for.
///
/// # Safety
/// As for [`of_type`]; the place's first row and `T` tokens are there.
#[inline(always)]
unsafe fn block<L: Lanes, F: Float, const T: usize, const U: usize>(
    place: &Place,
    x: Vectors,
    is_first: bool,
) {
    let (mut rows, width) = (place.rows(), place.width);
    // SAFETY: all is within rows and tokens.
    unsafe {
        let x: [*mut f32; T] = std::array::from_fn(|t| x.at(t));
        let mut sums = [[[L::zero(); ROWS]; T]; U];
        let mut k = 0;
        while k + U * L::N <= width {
            if is_first && k * F::BYTES % LINE == 0 {
                prefetch(&rows, U * L::N * F::BYTES, place.ahead, false);
            }
            for (u, sums) in sums.iter_mut().enumerate() {
                let mut weights = [L::zero(); ROWS];
                for (weights, row) in weights.iter_mut().zip(rows) {
                    *weights = L::load::<F>(row.add(u * L::N * F::BYTES));
                }
                for (x, sums) in x.iter().zip(sums.iter_mut()) {
                    let x = L::load::<F32>(x.add(k + u * L::N).cast());
                    for (sum, weights) in sums.iter_mut().zip(weights) {
                        *sum = L::fma(weights, x, *sum);
                    }
                }
            }
            for row in &mut rows {
                *row = row.add(U * L::N * F::BYTES);
            }
            k += U * L::N;
        }
        while k < width {
            let n = (width - k).min(L::N);
            for (x, sums) in x.iter().zip(sums[0].iter_mut()) {
                let x = L::some::<F32>(x.add(k).cast(), n);
                for (sum, row) in sums.iter_mut().zip(rows) {
                    *sum = L::fma(L::some::<F>(row, n), x, *sum);
                }
            }
            for row in &mut rows {
                *row = row.add(n * F::BYTES);
            }
            k += n;
        }
        for t in 0..T {
            let mut halves = [_mm256_setzero_ps(); ROWS];
            for (i, half) in halves.iter_mut().enumerate() {
                for sums in &sums {
                    *half = _mm256_add_ps(*half, L::half(sums[t][i]));
                }
            }
            place.store(t, across(halves));
        }
    }
}

/// Each of four vectors summed up.
///
/// # Safety
/// The processor has AVX2.
#[inline(always)]
unsafe fn across([a, b, c, d]: [__m256; ROWS]) -> __m128 {
    // SAFETY: the caller's.
    unsafe {
        let sums = _mm256_hadd_ps(_mm256_hadd_ps(a, b), _mm256_hadd_ps(c, d));
        _mm_add_ps(_mm256_castps256_ps128(sums), _mm256_extractf128_ps::<1>(sums))
    }
}

#[cfg(test)]
#[path = "float_tests.rs"]
mod tests;
