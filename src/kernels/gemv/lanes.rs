//! Vectors of floats, as wide as the processor has them, of whatever type the weights are.

use std::arch::x86_64::*;

use super::super::dequant::floats::Float;

/// Vectors of floats. Every method needs the processor to have the implementor's instructions.
pub(super) trait Lanes {
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
pub(super) struct Wide;

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
pub(super) struct Narrow;

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
