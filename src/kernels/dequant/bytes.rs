//! Quants as they are, for products of bytes: in groups of elements, with the scale and the offset of each.

use std::arch::x86_64::*;

use super::sink::Sink;

/// Bytes without sign, four in a word; after each group of so many words its scale and its offset, in f32.
#[derive(Clone, Copy)]
pub(super) struct Grouped<const WORDS: usize>(pub *mut u32);

impl<const WORDS: usize> Grouped<WORDS> {
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

impl<const WORDS: usize> Sink for Grouped<WORDS> {
    #[inline(always)]
    unsafe fn skip(self, n: usize) -> Self {
        // SAFETY: the caller's room.
        Self(unsafe { self.group(n) })
    }

    #[inline(always)]
    unsafe fn scaled(self, at: usize, q: [__m128i; 2], scale: [f32; 2]) {
        // SAFETY: the caller's room and features.
        unsafe {
            let sign = _mm_set1_epi8(-128);
            let q = [_mm_xor_si128(q[0], sign), _mm_xor_si128(q[1], sign)];
            self.put(at, q, scale, [-128.0 * scale[0], -128.0 * scale[1]]);
        }
    }

    #[inline(always)]
    unsafe fn shifted(self, at: usize, q: [__m128i; 2], scale: [f32; 2], offset: [f32; 2]) {
        // SAFETY: the caller's room and features; the quants of types with offsets are never negative.
        unsafe { self.put(at, q, scale, offset) }
    }
}
