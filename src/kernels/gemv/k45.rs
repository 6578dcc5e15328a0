//! Q4_K and Q5_K: eight parts of 32 elements, each with a scale and a minimum of 6 bits. A byte holds an element of one
//! part below one of the next.

use std::arch::x86_64::*;

use super::layout::{Extra, Factors, Format, Layout, ROWS};
use super::supers::{Turns, bytes, first_two, floats, last_two, turns, with_bits};

pub(super) struct Q4K;
pub(super) struct Q5K;

/// The even parts are one unit, the odd ones the other.
const LAYOUT: Layout = Layout {
    vector: 64,
    vectors: 2,
    blocks: 8,
    group: 8,
    interleave: 2,
    // Minimums are subtracted.
    extra: Extra::Quarters(-1),
};

impl Format<2, 2> for Q4K {
    const LAYOUT: Layout = LAYOUT;
    const BYTES: usize = 144;

    #[inline(always)]
    unsafe fn factors(rows: &[*const u8; ROWS], _: usize) -> Factors<2> {
        // SAFETY: the caller promises the processor and the blocks.
        unsafe { factors(rows) }
    }

    #[inline(always)]
    unsafe fn quants<const UNIT: usize>(row: *const u8, _: usize) -> [__m512i; 2] {
        // SAFETY: the caller promises the processor and the block.
        unsafe { fours::<UNIT>(row.add(16)) }
    }
}

impl Format<2, 2> for Q5K {
    const LAYOUT: Layout = LAYOUT;
    const BYTES: usize = 176;

    #[inline(always)]
    unsafe fn factors(rows: &[*const u8; ROWS], _: usize) -> Factors<2> {
        // SAFETY: the caller promises the processor and the blocks.
        unsafe { factors(rows) }
    }

    #[inline(always)]
    unsafe fn quants<const UNIT: usize>(row: *const u8, _: usize) -> [__m512i; 2] {
        // Bit i of a byte belongs to part i; here it becomes bit 4.
        const FIFTHS: [Turns; 2] = [turns([4, 2, 0, 30]), turns([3, 1, 31, 29])];
        // SAFETY: the caller promises the processor and the block.
        unsafe {
            let [first, second] = fours::<UNIT>(row.add(48));
            let fifths = row.add(16).cast();
            let fifth = _mm512_broadcast_i32x4(_mm_loadu_si128(fifths));
            let first = with_bits(first, fifth, &FIFTHS[UNIT], 16);
            let fifth = _mm512_broadcast_i32x4(_mm_loadu_si128(fifths.add(1)));
            [first, with_bits(second, fifth, &FIFTHS[UNIT], 16)]
        }
    }
}

/// The lower four bits of the first halves of the even or the odd parts, and of their second halves.
///
/// # Safety
/// The processor has AVX-512 BW; there are 128 bytes.
#[inline(always)]
unsafe fn fours<const UNIT: usize>(at: *const u8) -> [__m512i; 2] {
    // SAFETY: the caller promises both.
    unsafe {
        let (a, b) = (bytes(at), bytes(at.add(64)));
        let mut first = _mm512_shuffle_i64x2::<0b10_00_10_00>(a, b);
        let mut second = _mm512_shuffle_i64x2::<0b11_01_11_01>(a, b);
        if UNIT == 1 {
            first = _mm512_srli_epi16::<4>(first);
            second = _mm512_srli_epi16::<4>(second);
        }
        let low = _mm512_set1_epi8(15);
        [_mm512_and_si512(first, low), _mm512_and_si512(second, low)]
    }
}

/// The parts' scales and minimums.
///
/// # Safety
/// The processor has AVX-512 F and BW; the blocks are there.
#[inline(always)]
unsafe fn factors(rows: &[*const u8; ROWS]) -> Factors<2> {
    // SAFETY: the caller promises the processor and the blocks.
    unsafe {
        let mut small = [_mm512_setzero_si512(); ROWS];
        for (small, row) in small.iter_mut().zip(rows) {
            *small = _mm512_cvtepu8_epi32(scales_and_mins(_mm_loadu_si128(row.cast())));
        }
        let (scale, min) = (floats(rows, 0), floats(rows, 2));
        let ([a, b], [c, d]) = (first_two(small), last_two(small));
        Factors {
            scales: [_mm512_mul_ps(a, scale), _mm512_mul_ps(b, scale)],
            mins: [_mm512_mul_ps(c, min), _mm512_mul_ps(d, min)],
        }
    }
}

/// Two scales and two minimums at a time, from the 12 bytes behind the first four.
///
/// # Safety
/// The processor has AVX2.
#[inline(always)]
pub(super) unsafe fn scales_and_mins(head: __m128i) -> __m128i {
    // SAFETY: the caller knows that the processor has it.
    unsafe {
        // The first four of both are the lower six bits of four bytes each; the others have their lower four bits in
        // nibbles of the last four bytes, and their upper two in those of the first.
        let low = _mm_shuffle_epi32::<0b11_10_11_01>(head);
        let low = _mm_srlv_epi32(low, _mm_set_epi32(4, 0, 0, 0));
        let (six, four) = (0x3f3f_3f3f, 0x0f0f_0f0f);
        let low = _mm_and_si128(low, _mm_set_epi32(four, six, four, six));
        let high = _mm_srli_epi32::<2>(_mm_shuffle_epi32::<0b10_10_01_01>(head));
        let two = 0x3030_3030;
        let high = _mm_and_si128(high, _mm_set_epi32(two, 0, two, 0));
        let pairs = _mm_set_epi8(15, 14, 7, 6, 13, 12, 5, 4, 11, 10, 3, 2, 9, 8, 1, 0);
        _mm_shuffle_epi8(_mm_or_si128(low, high), pairs)
    }
}
