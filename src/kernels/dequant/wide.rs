//! Sinks with vectors of 16 lanes, of f32 and of bf16.

use std::arch::x86_64::*;

use super::sink::{Sink, chosen, split};

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

    /// As [`Sink::even`].
    ///
    /// # Safety
    /// As for [`Sink::even`].
    #[inline(always)]
    unsafe fn store_even<const BITS: u32>(self, at: usize, q: __m256i, scale: f32, offset: f32) {
        // SAFETY: the caller's.
        unsafe { self.shifted(at, split(q), [scale; 2], [offset; 2]) }
    }

    /// As [`Sink::looked_up`].
    ///
    /// # Safety
    /// As for [`Sink::looked_up`].
    #[inline(always)]
    unsafe fn store_looked_up(self, at: usize, q: __m256i, values: __m128i, scale: f32) {
        // SAFETY: the caller's.
        unsafe { self.scaled(at, chosen(q, values), [scale; 2]) }
    }
}

/// To f32 with AVX-512.
#[derive(Clone, Copy)]
pub(super) struct WideF32(pub *mut f32);

/// To bf16 with AVX-512.
#[derive(Clone, Copy)]
pub(super) struct WideBf16(pub *mut u16);

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

    // There are fewer quants to tell apart than elements: bf16 is looked up instead of rounded again and again.

    #[inline(always)]
    unsafe fn store_even<const BITS: u32>(self, at: usize, q: __m256i, scale: f32, offset: f32) {
        // SAFETY: the caller's room and features; the vectors only change their names.
        unsafe {
            let (scale, offset) = (_mm512_set1_ps(scale), _mm512_set1_ps(offset));
            let q_of_each = _mm512_setr_ps(
                0., 1., 2., 3., 4., 5., 6., 7., 8., 9., 10., 11., 12., 13., 14., 15.,
            );
            let low = _mm512_fmadd_ps(scale, q_of_each, offset);
            let table = if BITS == 4 {
                table_of_16(_mm512_cvtneps_pbh(low))
            } else {
                let q_of_each = _mm512_add_ps(q_of_each, _mm512_set1_ps(16.0));
                let high = _mm512_fmadd_ps(scale, q_of_each, offset);
                std::mem::transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(high, low))
            };
            let x = _mm512_permutexvar_epi16(_mm512_cvtepu8_epi16(q), table);
            _mm512_storeu_si512(self.0.add(at).cast(), x);
        }
    }

    #[inline(always)]
    unsafe fn store_looked_up(self, at: usize, q: __m256i, values: __m128i, scale: f32) {
        // SAFETY: the caller's room and features.
        unsafe {
            let values = _mm512_mul_ps(_mm512_set1_ps(scale), wide(values));
            let table = table_of_16(_mm512_cvtneps_pbh(values));
            let x = _mm512_permutexvar_epi16(_mm512_cvtepu8_epi16(q), table);
            _mm512_storeu_si512(self.0.add(at).cast(), x);
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

    #[inline(always)]
    unsafe fn even<const BITS: u32>(self, at: usize, q: __m256i, scale: f32, offset: f32) {
        // SAFETY: the caller's room and features.
        unsafe { self.store_even::<BITS>(at, q, scale, offset) }
    }

    #[inline(always)]
    unsafe fn looked_up(self, at: usize, q: __m256i, values: __m128i, scale: f32) {
        // SAFETY: the caller's room and features.
        unsafe { self.store_looked_up(at, q, values, scale) }
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

/// A table of which only the first 16 are looked up.
///
/// # Safety
/// The processor has AVX-512.
#[inline(always)]
unsafe fn table_of_16(table: __m256bh) -> __m512i {
    // SAFETY: the caller's; the vector only changes its name.
    unsafe { _mm512_castsi256_si512(std::mem::transmute::<__m256bh, __m256i>(table)) }
}
