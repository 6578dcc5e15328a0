//! Weights that are floats already: rows of any number of elements.

use std::arch::x86_64::*;

use super::blocks::half;
use super::sink::NarrowF32;
use super::wide::Wide;

/// A type of floats.
pub(crate) trait Float {
    /// Bytes of one.
    const BYTES: usize;

    /// 16 of them.
    ///
    /// # Safety
    /// They can be read, and the processor has AVX-512.
    unsafe fn wide(at: *const u8) -> __m512;

    /// Those of 16 that the mask has; zero in place of the others.
    ///
    /// # Safety
    /// As for [`Self::wide`]; only those of the mask are read.
    unsafe fn some(at: *const u8, mask: __mmask16) -> __m512;

    /// 8 of them.
    ///
    /// # Safety
    /// They can be read, and the processor has AVX2 and F16C.
    unsafe fn narrow(at: *const u8) -> __m256;

    /// One of them.
    ///
    /// # Safety
    /// It can be read, and the processor has F16C.
    unsafe fn one(at: *const u8) -> f32;
}

pub(crate) struct F32;
pub(crate) struct F16;
pub(crate) struct Bf16;

impl Float for F32 {
    const BYTES: usize = 4;

    #[inline(always)]
    unsafe fn wide(at: *const u8) -> __m512 {
        // SAFETY: the caller's.
        unsafe { _mm512_loadu_ps(at.cast()) }
    }

    #[inline(always)]
    unsafe fn some(at: *const u8, mask: __mmask16) -> __m512 {
        // SAFETY: the caller's.
        unsafe { _mm512_maskz_loadu_ps(mask, at.cast()) }
    }

    #[inline(always)]
    unsafe fn narrow(at: *const u8) -> __m256 {
        // SAFETY: the caller's.
        unsafe { _mm256_loadu_ps(at.cast()) }
    }

    #[inline(always)]
    unsafe fn one(at: *const u8) -> f32 {
        // SAFETY: the caller's.
        unsafe { at.cast::<f32>().read_unaligned() }
    }
}

impl Float for F16 {
    const BYTES: usize = 2;

    #[inline(always)]
    unsafe fn wide(at: *const u8) -> __m512 {
        // SAFETY: the caller's.
        unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(at.cast())) }
    }

    #[inline(always)]
    unsafe fn some(at: *const u8, mask: __mmask16) -> __m512 {
        // SAFETY: the caller's.
        unsafe { _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(mask, at.cast())) }
    }

    #[inline(always)]
    unsafe fn narrow(at: *const u8) -> __m256 {
        // SAFETY: the caller's.
        unsafe { _mm256_cvtph_ps(_mm_loadu_si128(at.cast())) }
    }

    #[inline(always)]
    unsafe fn one(at: *const u8) -> f32 {
        // SAFETY: the caller's.
        unsafe { half(at) }
    }
}

impl Float for Bf16 {
    const BYTES: usize = 2;

    #[inline(always)]
    unsafe fn wide(at: *const u8) -> __m512 {
        // SAFETY: the caller's.
        unsafe { widened(_mm256_loadu_si256(at.cast())) }
    }

    #[inline(always)]
    unsafe fn some(at: *const u8, mask: __mmask16) -> __m512 {
        // SAFETY: the caller's.
        unsafe { widened(_mm256_maskz_loadu_epi16(mask, at.cast())) }
    }

    #[inline(always)]
    unsafe fn narrow(at: *const u8) -> __m256 {
        // SAFETY: the caller's.
        unsafe {
            let words = _mm256_cvtepu16_epi32(_mm_loadu_si128(at.cast()));
            _mm256_castsi256_ps(_mm256_slli_epi32::<16>(words))
        }
    }

    #[inline(always)]
    unsafe fn one(at: *const u8) -> f32 {
        // SAFETY: the caller's.
        unsafe { f32::from_bits(u32::from(at.cast::<u16>().read_unaligned()) << 16) }
    }
}

/// bf16 as f32, whose upper half it is.
///
/// # Safety
/// The processor has AVX-512.
#[inline(always)]
unsafe fn widened(bits: __m256i) -> __m512 {
    // SAFETY: the caller's.
    unsafe { _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(bits))) }
}

/// Puts `n` floats into a wide sink.
///
/// # Safety
/// They can be read, the sink has room for them, and the processor has AVX-512 and the sink's features.
#[inline(always)]
pub(super) unsafe fn convert_wide<F: Float>(from: *const u8, n: usize, to: impl Wide) {
    // SAFETY: below `n`, the masks included.
    unsafe {
        let mut at = 0;
        while at + 32 <= n {
            let from = from.add(at * F::BYTES);
            to.store(at, F::wide(from), F::wide(from.add(16 * F::BYTES)));
            at += 32;
        }
        while at < n {
            let mask = (u16::MAX) >> (16 - (n - at).min(16));
            to.store_some(at, mask, F::some(from.add(at * F::BYTES), mask));
            at += 16;
        }
    }
}

/// Puts `n` floats into a narrow sink.
///
/// # Safety
/// They can be read, the sink has room for them, and the processor has AVX2 and F16C.
#[inline(always)]
pub(super) unsafe fn convert_narrow<F: Float>(from: *const u8, n: usize, to: NarrowF32) {
    // SAFETY: below `n`.
    unsafe {
        let mut at = 0;
        while at + 8 <= n {
            _mm256_storeu_ps(to.0.add(at), F::narrow(from.add(at * F::BYTES)));
            at += 8;
        }
        while at < n {
            *to.0.add(at) = F::one(from.add(at * F::BYTES));
            at += 1;
        }
    }
}
