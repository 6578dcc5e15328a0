//! Products with weights that are floats themselves: as fast as the weights come from memory. Nothing is rounded but the
//! sums.

use std::arch::x86_64::*;

use super::super::dequant::floats::{Bf16, F16, F32, Float};
use super::super::{Crew, Level, Product, Weight, WeightType};

/// More tokens than this have other kernels.
const TOKENS: usize = 8;
/// Rows that are computed together: each brings another stream from memory, and takes the same activations.
const ROWS: usize = 4;
/// Bytes of weights that a thread takes at a time, about.
const CHUNK: usize = 64 << 10;

/// Whether there is a kernel for this product.
pub(crate) fn offers(p: &Product, level: Level) -> bool {
    let is_float =
        matches!(p.weight.weight_type, WeightType::F32 | WeightType::F16 | WeightType::Bf16);
    level >= Level::Avx2 && is_float && (1..=TOKENS).contains(&p.tokens)
}

/// Computes it. Every thread of the crew calls this.
///
/// # Safety
/// As for [`Product::run`]; [`offers`] says that there is a kernel.
pub(crate) unsafe fn run_float(p: &Product, level: Level, crew: Crew<'_>) {
    let w = p.weight;
    let chunk = (CHUNK / w.stride.max(1)).next_multiple_of(ROWS).max(ROWS);
    loop {
        let first = crew.ticket(0).saturating_mul(chunk);
        if first >= w.rows {
            return;
        }
        let rows = chunk.min(w.rows - first);
        // SAFETY: rows of the weight, which no other thread has a ticket for; the level is the processor's.
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
        let mut sums = [[[L::zero(); ROWS]; T]; U];
        let mut k = 0;
        while k + U * L::N <= w.width {
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

/// Vectors of floats. Every method needs the processor to have the implementor's instructions.
trait Lanes {
    /// The vector.
    type V: Copy;
    /// Floats in it.
    const N: usize;
    /// Tokens for which there are registers.
    const TOKENS: usize;

    /// # Safety
    /// The processor has the instructions.
    unsafe fn zero() -> Self::V;

    /// # Safety
    /// The processor has the instructions, and there are `N` floats.
    unsafe fn load<F: Float>(at: *const u8) -> Self::V;

    /// Zeros after the first `n`.
    ///
    /// # Safety
    /// The processor has the instructions, and there are `n` floats, at most `N`.
    unsafe fn some<F: Float>(at: *const u8, n: usize) -> Self::V;

    /// `a * b + c`
    ///
    /// # Safety
    /// The processor has the instructions.
    unsafe fn fma(a: Self::V, b: Self::V, c: Self::V) -> Self::V;

    /// Eight floats with the same sum.
    ///
    /// # Safety
    /// The processor has the instructions.
    unsafe fn half(x: Self::V) -> __m256;
}

/// AVX-512.
struct Wide;

impl Lanes for Wide {
    type V = __m512;
    const N: usize = 16;
    const TOKENS: usize = 4;

    #[inline(always)]
    unsafe fn zero() -> __m512 {
        // SAFETY: the caller's.
        unsafe { _mm512_setzero_ps() }
    }

    #[inline(always)]
    unsafe fn load<F: Float>(at: *const u8) -> __m512 {
        // SAFETY: the caller's.
        unsafe { F::wide(at) }
    }

    #[inline(always)]
    unsafe fn some<F: Float>(at: *const u8, n: usize) -> __m512 {
        // SAFETY: the caller's.
        unsafe { F::some(at, u16::MAX >> (16 - n)) }
    }

    #[inline(always)]
    unsafe fn fma(a: __m512, b: __m512, c: __m512) -> __m512 {
        // SAFETY: the caller's.
        unsafe { _mm512_fmadd_ps(a, b, c) }
    }

    #[inline(always)]
    unsafe fn half(x: __m512) -> __m256 {
        // SAFETY: the caller's.
        unsafe { _mm256_add_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps::<1>(x)) }
    }
}

/// AVX2.
struct Narrow;

impl Lanes for Narrow {
    type V = __m256;
    const N: usize = 8;
    const TOKENS: usize = 2;

    #[inline(always)]
    unsafe fn zero() -> __m256 {
        // SAFETY: the caller's.
        unsafe { _mm256_setzero_ps() }
    }

    #[inline(always)]
    unsafe fn load<F: Float>(at: *const u8) -> __m256 {
        // SAFETY: the caller's.
        unsafe { F::narrow(at) }
    }

    #[inline(always)]
    unsafe fn some<F: Float>(at: *const u8, n: usize) -> __m256 {
        let mut x = [0.0f32; 8];
        // SAFETY: the caller's.
        unsafe {
            for (i, x) in x.iter_mut().enumerate().take(n) {
                *x = F::one(at.add(i * F::BYTES));
            }
            _mm256_loadu_ps(x.as_ptr())
        }
    }

    #[inline(always)]
    unsafe fn fma(a: __m256, b: __m256, c: __m256) -> __m256 {
        // SAFETY: the caller's.
        unsafe { _mm256_fmadd_ps(a, b, c) }
    }

    #[inline(always)]
    unsafe fn half(x: __m256) -> __m256 {
        x
    }
}

#[cfg(test)]
#[path = "float_tests.rs"]
mod tests;
