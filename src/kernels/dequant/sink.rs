//! What decoded quants become; here f32 in vectors of 8 lanes.
//!
//! The functions here and those of the decoders take the features of the function that they are inlined into, as
//! `target_feature` goes with no `inline(always)`.

use std::arch::x86_64::*;

/// Where the elements of a block go, 32 at a time.
pub(super) trait Sink: Copy {
    /// The same place, `n` elements on.
    ///
    /// # Safety
    /// The place has room for as many.
    unsafe fn skip(self, n: usize) -> Self;

    /// Puts `scale * q` at element `at`. The quants are signed bytes; each half has its own scale.
    ///
    /// # Safety
    /// There is room for 32 elements from `at` on, and the processor has the sink's features.
    unsafe fn scaled(self, at: usize, q: [__m128i; 2], scale: [f32; 2]);

    /// Puts `scale * q + offset` at element `at`. The quants are signed bytes; each half has its own scale and offset.
    ///
    /// # Safety
    /// As for [`Self::scaled`].
    unsafe fn shifted(self, at: usize, q: [__m128i; 2], scale: [f32; 2], offset: [f32; 2]);

    /// Puts `scale * q + offset` at element `at`. The quants are below 32, or below 16 if they are 4 bits.
    ///
    /// # Safety
    /// As for [`Self::scaled`].
    #[inline(always)]
    unsafe fn even<const BITS: u32>(self, at: usize, q: __m256i, scale: f32, offset: f32) {
        // SAFETY: the caller's.
        unsafe { self.shifted(at, split(q), [scale; 2], [offset; 2]) }
    }

    /// Puts `scale * values[q]` at element `at`. The quants are below 16.
    ///
    /// # Safety
    /// As for [`Self::scaled`].
    #[inline(always)]
    unsafe fn looked_up(self, at: usize, q: __m256i, values: __m128i, scale: f32) {
        // SAFETY: the caller's.
        unsafe { self.scaled(at, chosen(q, values), [scale; 2]) }
    }
}

/// To f32 with AVX2.
#[derive(Clone, Copy)]
pub(super) struct NarrowF32(pub *mut f32);

impl Sink for NarrowF32 {
    #[inline(always)]
    unsafe fn skip(self, n: usize) -> Self {
        // SAFETY: the caller's room.
        Self(unsafe { self.0.add(n) })
    }

    #[inline(always)]
    unsafe fn scaled(self, at: usize, q: [__m128i; 2], scale: [f32; 2]) {
        // SAFETY: the caller's room and features.
        unsafe {
            for (half, (q, scale)) in q.into_iter().zip(scale).enumerate() {
                let to = self.0.add(at + 16 * half);
                let [low, high] = narrow(q);
                let scale = _mm256_set1_ps(scale);
                _mm256_storeu_ps(to, _mm256_mul_ps(scale, low));
                _mm256_storeu_ps(to.add(8), _mm256_mul_ps(scale, high));
            }
        }
    }

    #[inline(always)]
    unsafe fn shifted(self, at: usize, q: [__m128i; 2], scale: [f32; 2], offset: [f32; 2]) {
        // SAFETY: the caller's room and features.
        unsafe {
            for (half, (q, (scale, offset))) in
                q.into_iter().zip(scale.into_iter().zip(offset)).enumerate()
            {
                let to = self.0.add(at + 16 * half);
                let [low, high] = narrow(q);
                let (scale, offset) = (_mm256_set1_ps(scale), _mm256_set1_ps(offset));
                _mm256_storeu_ps(to, _mm256_fmadd_ps(scale, low, offset));
                _mm256_storeu_ps(to.add(8), _mm256_fmadd_ps(scale, high, offset));
            }
        }
    }
}

/// Both halves.
///
/// # Safety
/// The processor has AVX2.
#[inline(always)]
pub(super) unsafe fn split(x: __m256i) -> [__m128i; 2] {
    // SAFETY: the caller's.
    unsafe { [_mm256_castsi256_si128(x), _mm256_extracti128_si256::<1>(x)] }
}

/// What the quants stand for.
///
/// # Safety
/// The processor has AVX2.
#[inline(always)]
pub(super) unsafe fn chosen(q: __m256i, values: __m128i) -> [__m128i; 2] {
    // SAFETY: the caller's.
    unsafe { split(_mm256_shuffle_epi8(_mm256_broadcastsi128_si256(values), q)) }
}

/// Signed bytes as floats, in two vectors.
///
/// # Safety
/// The processor has AVX2.
#[inline(always)]
unsafe fn narrow(q: __m128i) -> [__m256; 2] {
    // SAFETY: the caller's features.
    unsafe {
        let high = _mm_unpackhi_epi64(q, q);
        let low = _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(q));
        [low, _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(high))]
    }
}
