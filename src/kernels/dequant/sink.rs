//! What decoded quants become: f32 or bf16, in vectors of 16 or 8 lanes.
//!
//! The functions here and those of the decoders take the features of the function that they are inlined into, as
//! `target_feature` goes with no `inline(always)`.

use std::arch::x86_64::*;

/// Where the elements of a block go. The quants come as 32 signed bytes; each half has its own scale.
pub(super) trait Sink: Copy {
    /// The same place, `n` elements on.
    ///
    /// # Safety
    /// The place has room for as many.
    unsafe fn skip(self, n: usize) -> Self;

    /// Puts `scale * q` at element `at`.
    ///
    /// # Safety
    /// There is room for 32 elements from `at` on, and the processor has the sink's features.
    unsafe fn scaled(self, at: usize, q: [__m128i; 2], scale: [f32; 2]);

    /// Puts `scale * q + offset` at element `at`.
    ///
    /// # Safety
    /// As for [`Self::scaled`].
    unsafe fn shifted(self, at: usize, q: [__m128i; 2], scale: [f32; 2], offset: [f32; 2]);
}

/// A sink that takes vectors of 16 floats.
pub(super) trait Wide: Copy {
    /// As [`Sink::skip`].
    ///
    /// # Safety
    /// The place has room for as many.
    unsafe fn forward(self, n: usize) -> Self;

    /// Puts 32 elements.
    ///
    /// # Safety
    /// There is room for them, and the processor has the sink's features.
    unsafe fn store(self, at: usize, low: __m512, high: __m512);

    /// Puts the elements that the mask has.
    ///
    /// # Safety
    /// There is room for them, and the processor has the sink's features.
    unsafe fn store_some(self, at: usize, mask: __mmask16, x: __m512);
}

/// To f32 with AVX-512.
#[derive(Clone, Copy)]
pub(super) struct WideF32(pub *mut f32);

/// To bf16 with AVX-512.
#[derive(Clone, Copy)]
pub(super) struct WideBf16(pub *mut u16);

/// To f32 with AVX2.
#[derive(Clone, Copy)]
pub(super) struct NarrowF32(pub *mut f32);

impl Wide for WideF32 {
    #[inline(always)]
    unsafe fn forward(self, n: usize) -> Self {
        // SAFETY: the caller's room.
        Self(unsafe { self.0.add(n) })
    }

    #[inline(always)]
    unsafe fn store(self, at: usize, low: __m512, high: __m512) {
        // SAFETY: the caller's room and features.
        unsafe {
            _mm512_storeu_ps(self.0.add(at), low);
            _mm512_storeu_ps(self.0.add(at + 16), high);
        }
    }

    #[inline(always)]
    unsafe fn store_some(self, at: usize, mask: __mmask16, x: __m512) {
        // SAFETY: the caller's room and features.
        unsafe { _mm512_mask_storeu_ps(self.0.add(at), mask, x) }
    }
}

impl Wide for WideBf16 {
    #[inline(always)]
    unsafe fn forward(self, n: usize) -> Self {
        // SAFETY: the caller's room.
        Self(unsafe { self.0.add(n) })
    }

    #[inline(always)]
    unsafe fn store(self, at: usize, low: __m512, high: __m512) {
        // SAFETY: the caller's room and features; the vectors only change their names.
        unsafe {
            let x = std::mem::transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(high, low));
            _mm512_storeu_si512(self.0.add(at).cast(), x);
        }
    }

    #[inline(always)]
    unsafe fn store_some(self, at: usize, mask: __mmask16, x: __m512) {
        // SAFETY: the caller's room and features; the vectors only change their names.
        unsafe {
            let x = std::mem::transmute::<__m256bh, __m256i>(_mm512_cvtneps_pbh(x));
            _mm256_mask_storeu_epi16(self.0.add(at).cast(), mask, x);
        }
    }
}

impl<W: Wide> Sink for W {
    #[inline(always)]
    unsafe fn skip(self, n: usize) -> Self {
        // SAFETY: the caller's room.
        unsafe { self.forward(n) }
    }

    #[inline(always)]
    unsafe fn scaled(self, at: usize, q: [__m128i; 2], scale: [f32; 2]) {
        // SAFETY: the caller's room and features.
        unsafe {
            let low = _mm512_mul_ps(_mm512_set1_ps(scale[0]), wide(q[0]));
            let high = _mm512_mul_ps(_mm512_set1_ps(scale[1]), wide(q[1]));
            self.store(at, low, high);
        }
    }

    #[inline(always)]
    unsafe fn shifted(self, at: usize, q: [__m128i; 2], scale: [f32; 2], offset: [f32; 2]) {
        // SAFETY: the caller's room and features.
        unsafe {
            let [low, high] = offset;
            let low = _mm512_fmadd_ps(_mm512_set1_ps(scale[0]), wide(q[0]), _mm512_set1_ps(low));
            let high = _mm512_fmadd_ps(_mm512_set1_ps(scale[1]), wide(q[1]), _mm512_set1_ps(high));
            self.store(at, low, high);
        }
    }
}

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

/// Signed bytes as floats.
///
/// # Safety
/// The processor has AVX-512.
#[inline(always)]
unsafe fn wide(q: __m128i) -> __m512 {
    // SAFETY: the caller's features.
    unsafe { _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(q)) }
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
