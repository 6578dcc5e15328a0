//! Products with weights that are floats themselves: as fast as the weights come from memory. Nothing is rounded but the
//! sums.

use std::arch::x86_64::*;

use super::super::dequant::floats::{Bf16, F16, F32, Float};
use super::super::{Crew, Level, Product, Queue, Weight, WeightType};
use super::TOKENS;
use super::lanes::{Lanes, Narrow, Wide};

/// Rows that are computed together: each brings another stream from memory, and takes the same activations.
const ROWS: usize = 4;
/// Bytes of weights that a thread takes at a time, at least and at most.
const CHUNK: [usize; 2] = [64 << 10, 512 << 10];
/// How many chunks there are for each thread, if their size allows.
const CHUNKS: usize = 8;
/// Bytes that come from memory together.
const LINE: usize = 64;
/// How many bytes ahead of the weights in use memory is asked for more, at least. Measured.
const AHEAD: usize = 8 << 10;

/// Whether there is a kernel for this product.
pub(crate) fn offers(p: &Product, level: Level) -> bool {
    let is_float =
        matches!(p.weight.weight_type, WeightType::F32 | WeightType::F16 | WeightType::Bf16);
    level >= Level::Avx2 && is_float && (1..=TOKENS).contains(&p.tokens)
}

/// Computes it. Every thread of the crew calls this.
///
/// # Safety
/// As for [`Product::run_in`]; [`offers`] says that there is a kernel.
pub(crate) unsafe fn run_float(p: &Product, level: Level, crew: Crew<'_>, queue: &mut Queue) {
    let w = p.weight;
    let bytes = (w.rows * w.stride / (CHUNKS * crew.count)).clamp(CHUNK[0], CHUNK[1]);
    let chunk = (bytes / w.stride.max(1)).next_multiple_of(ROWS).max(ROWS);
    while let Some(piece) = queue.next(&crew, w.rows.div_ceil(chunk)) {
        let first = piece * chunk;
        let rows = chunk.min(w.rows - first);
        // SAFETY: rows of the weight, which no other thread takes; the level is the processor's.
        unsafe {
            let weight = Weight { data: w.data.add(first * w.stride), rows, ..w };
            let part = Product { weight, y: p.y.add(first), ..*p };
            if level >= Level::Avx512 { wide(&part) } else { narrow(&part) }
        }
    }
}

/// # Safety
/// As for [`run_float`]; the processor has the features.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,f16c")]
unsafe fn wide(p: &Product) {
    // SAFETY: the caller promises all of it.
    unsafe { of_type::<Wide>(p) }
}

/// # Safety
/// As for [`run_float`]; the processor has the features.
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn narrow(p: &Product) {
    // SAFETY: the caller promises all of it.
    unsafe { of_type::<Narrow>(p) }
}

/// # Safety
/// As for [`run_float`]; the processor has the features of the lanes.
#[inline(always)]
unsafe fn of_type<L: Lanes>(p: &Product) {
    // SAFETY: the caller promises all of it.
    unsafe {
        match p.weight.weight_type {
            WeightType::F32 => all::<L, F32>(p),
            WeightType::F16 => all::<L, F16>(p),
            WeightType::Bf16 => all::<L, Bf16>(p),
            _ => {}
        }
    }
}

/// All rows: a few of them for a few tokens at a time, as many as there are registers for.
///
/// # Safety
/// As for [`of_type`].
#[inline(always)]
unsafe fn all<L: Lanes, F: Float>(p: &Product) {
    for first in (0..p.weight.rows).step_by(ROWS) {
        let mut t = 0;
        while t < p.tokens {
            let tokens = (p.tokens - t).min(L::TOKENS);
            // SAFETY: rows and tokens that there are.
            unsafe {
                match tokens {
                    1 => block::<L, F, 1, 2>(p, first, t),
                    2 => block::<L, F, 2, 1>(p, first, t),
                    3 => block::<L, F, 3, 1>(p, first, t),
                    _ => block::<L, F, 4, 1>(p, first, t),
                }
            }
            t += tokens;
        }
    }
}

/// Up to [`ROWS`] rows for `T` tokens. `U` vectors of a row are summed up apart, so that one addition need not wait for
/// the other.
///
/// # Safety
/// As for [`of_type`]; the first row and `T` tokens from `t` on are there.
#[inline(always)]
unsafe fn block<L: Lanes, F: Float, const T: usize, const U: usize>(
    p: &Product,
    first: usize,
    t: usize,
) {
    let w = p.weight;
    let there = (w.rows - first).min(ROWS);
    // SAFETY: rows that are not there are replaced by the last that is; all else is within rows and tokens.
    unsafe {
        let mut rows = [w.data; ROWS];
        for (i, row) in rows.iter_mut().enumerate() {
            *row = w.data.add((first + i.min(there - 1)) * w.stride);
        }
        let x = p.x.add(t * p.x_stride);
        // Whole steps of rows, so that each line of the rows to come is asked for once.
        let ahead = AHEAD.next_multiple_of(ROWS * w.stride.max(1));
        let mut sums = [[[L::zero(); ROWS]; T]; U];
        let mut k = 0;
        while k + U * L::N <= w.width {
            if t == 0 && k * F::BYTES % LINE == 0 {
                for row in rows {
                    prefetch(row.wrapping_add(k * F::BYTES + ahead), U * L::N * F::BYTES);
                }
            }
            for (u, sums) in sums.iter_mut().enumerate() {
                let k = k + u * L::N;
                let mut weights = [L::zero(); ROWS];
                for (weights, row) in weights.iter_mut().zip(rows) {
                    *weights = L::load::<F>(row.add(k * F::BYTES));
                }
                for (t, sums) in sums.iter_mut().enumerate() {
                    let x = L::load::<F32>(x.add(t * p.x_stride + k).cast());
                    for (sum, weights) in sums.iter_mut().zip(weights) {
                        *sum = L::fma(weights, x, *sum);
                    }
                }
            }
            k += U * L::N;
        }
        while k < w.width {
            let n = (w.width - k).min(L::N);
            for (t, sums) in sums[0].iter_mut().enumerate() {
                let x = L::some::<F32>(x.add(t * p.x_stride + k).cast(), n);
                for (sum, row) in sums.iter_mut().zip(rows) {
                    *sum = L::fma(L::some::<F>(row.add(k * F::BYTES), n), x, *sum);
                }
            }
            k += n;
        }
        for t_here in 0..T {
            let mut halves = [_mm256_setzero_ps(); ROWS];
            for (i, half) in halves.iter_mut().enumerate() {
                for sums in &sums {
                    *half = _mm256_add_ps(*half, L::half(sums[t_here][i]));
                }
            }
            let mut values = [0.0f32; ROWS];
            _mm_storeu_ps(values.as_mut_ptr(), across(halves));
            let y = p.y.add((t + t_here) * p.y_stride + first);
            y.copy_from_nonoverlapping(values.as_ptr(), there);
        }
    }
}

/// Has bytes brought near, but not nearer than the second cache: the first one has few requests under way at a time, too
/// few to keep memory busy. There need be nothing at the address.
///
/// # Safety
/// The processor has SSE.
#[inline(always)]
unsafe fn prefetch(at: *const u8, bytes: usize) {
    for line in (0..bytes).step_by(LINE) {
        // SAFETY: the caller's.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(at.wrapping_add(line).cast()) }
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
