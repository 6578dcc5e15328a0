//! Quants as they are, for products of integers: in groups of elements, with the scale and the offset of each.

use std::arch::x86_64::*;

use super::sink::Sink;

/// Bytes without sign, four in a word; after each group of so many words its scale and its offset, in f32. To quants that
/// have a sign, `BIAS` is added.
#[derive(Clone, Copy)]
pub(super) struct Grouped<const WORDS: usize, const BIAS: u8>(pub *mut u32);

impl<const WORDS: usize, const BIAS: u8> Grouped<WORDS, BIAS> {
    /// Where the group of an element begins.
    #[inline(always)]
    unsafe fn group(self, at: usize) -> *mut u32 {
        // SAFETY: the caller's room.
        unsafe { self.0.add(at / (4 * WORDS) * (WORDS + 2)) }
    }

    /// Puts 32 elements.
    ///
    /// # Safety
    /// There is room for them, and the processor has AVX2.
    #[inline(always)]
    unsafe fn put(self, at: usize, q: [__m128i; 2], scale: [f32; 2], offset: [f32; 2]) {
        // SAFETY: the caller's room and features.
        unsafe {
            for half in 0..2 {
                let to = self.group(at + 16 * half);
                let first = if WORDS == 8 { 4 * half } else { 0 };
                _mm_storeu_si128(to.add(first).cast(), q[half]);
                *to.add(WORDS) = scale[half].to_bits();
                *to.add(WORDS + 1) = offset[half].to_bits();
            }
        }
    }
}

impl<const WORDS: usize, const BIAS: u8> Sink for Grouped<WORDS, BIAS> {
    #[inline(always)]
    unsafe fn skip(self, n: usize) -> Self {
        // SAFETY: the caller's room.
        Self(unsafe { self.group(n) })
    }

    #[inline(always)]
    unsafe fn scaled(self, at: usize, q: [__m128i; 2], scale: [f32; 2]) {
        // SAFETY: the caller's room and features.
        unsafe {
            let bias = _mm_set1_epi8(BIAS as i8);
            let q = [_mm_add_epi8(q[0], bias), _mm_add_epi8(q[1], bias)];
            let offset = -f32::from(BIAS);
            self.put(at, q, scale, [offset * scale[0], offset * scale[1]]);
        }
    }

    #[inline(always)]
    unsafe fn shifted(self, at: usize, q: [__m128i; 2], scale: [f32; 2], offset: [f32; 2]) {
        // SAFETY: the caller's room and features; the quants of types with offsets are never negative.
        unsafe { self.put(at, q, scale, offset) }
    }
}

/// Quants of 16 bits, two in a word; after each group of so many words its scale and its offset, in f32.
#[derive(Clone, Copy)]
pub(super) struct GroupedShorts<const WORDS: usize>(pub *mut u32);

impl<const WORDS: usize> Sink for GroupedShorts<WORDS> {
    #[inline(always)]
    unsafe fn skip(self, n: usize) -> Self {
        // SAFETY: the caller's room.
        Self(unsafe { self.0.add(n / (2 * WORDS) * (WORDS + 2)) })
    }

    #[inline(always)]
    unsafe fn scaled(self, at: usize, q: [__m128i; 2], scale: [f32; 2]) {
        // SAFETY: the caller's room and features.
        unsafe { self.shifted(at, q, scale, [0.0; 2]) }
    }

    #[inline(always)]
    unsafe fn shifted(self, at: usize, q: [__m128i; 2], scale: [f32; 2], offset: [f32; 2]) {
        // SAFETY: the caller's room and features.
        unsafe {
            for half in 0..2 {
                let Self(to) = self.skip(at + 16 * half);
                let first = if WORDS == 16 { 8 * half } else { 0 };
                _mm256_storeu_si256(to.add(first).cast(), _mm256_cvtepi8_epi16(q[half]));
                *to.add(WORDS) = scale[half].to_bits();
                *to.add(WORDS + 1) = offset[half].to_bits();
            }
        }
    }
}
