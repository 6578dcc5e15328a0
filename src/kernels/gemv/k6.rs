//! Q6_K: 16 parts of 16 elements, each with a scale of 8 bits.

use std::arch::x86_64::*;

use super::layout::{Extra, Factors, Format, Layout, ROWS};
use super::supers::{Turns, bytes, first_two, floats, last_two, turns, with_bits};

/// A unit is 64 elements.
pub(super) struct Q6K;

impl Format<4, 1> for Q6K {
    const LAYOUT: Layout = Layout {
        vector: 64,
        vectors: 1,
        blocks: 8,
        group: 8,
        interleave: 1,
        extra: Extra::Lanes(32),
    };
    const BYTES: usize = 210;

    #[inline(always)]
    unsafe fn factors(rows: &[*const u8; ROWS], _: usize) -> Factors<4> {
        // SAFETY: the caller promises the processor and the blocks.
        unsafe {
            let mut small = [_mm512_setzero_si512(); ROWS];
            // One of each unit at a time.
            let order = _mm_set_epi8(15, 11, 7, 3, 14, 10, 6, 2, 13, 9, 5, 1, 12, 8, 4, 0);
            for (small, row) in small.iter_mut().zip(rows) {
                let scales = _mm_loadu_si128(row.add(192).cast());
                *small = _mm512_cvtepi8_epi32(_mm_shuffle_epi8(scales, order));
            }
            let scale = floats(rows, 208);
            let ([a, b], [c, d]) = (first_two(small), last_two(small));
            let scales = [
                _mm512_mul_ps(a, scale),
                _mm512_mul_ps(b, scale),
                _mm512_mul_ps(c, scale),
                _mm512_mul_ps(d, scale),
            ];
            Factors { scales, mins: [_mm512_setzero_ps(); 4] }
        }
    }

    /// 64 bytes have the lower four bits of two units' quants; 32 bytes the upper two of every 32.
    #[inline(always)]
    unsafe fn quants<const UNIT: usize>(row: *const u8, _: usize) -> [__m512i; 1] {
        // The two bits become bits 4 and 5.
        const HIGH: [Turns; 2] = [turns([4, 4, 2, 2]), turns([0, 0, 30, 30])];
        // SAFETY: the caller promises the processor and the block.
        unsafe {
            let mut low = bytes(row.add(UNIT / 2 * 64));
            if UNIT % 2 == 1 {
                low = _mm512_srli_epi16::<4>(low);
            }
            let low = _mm512_and_si512(low, _mm512_set1_epi8(15));
            let high = _mm256_loadu_si256(row.add(128 + UNIT / 2 * 32).cast());
            [with_bits(low, _mm512_broadcast_i64x4(high), &HIGH[UNIT % 2], 0x30)]
        }
    }
}
