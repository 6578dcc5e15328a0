//! Q2_K and Q3_K: 16 parts of 16 elements. Each byte holds two bits of four elements that are 32 from one another.

use std::arch::x86_64::*;

use super::layout::{Extra, Factors, Format, Layout, ROWS};
use super::supers::{Turns, bytes, first_two, floats, last_two, turns, with_bits};

pub(super) struct Q2K;
pub(super) struct Q3K;

/// A unit is, of both halves of the block, 32 elements: two bits of all bytes.
const fn layout(extra: Extra) -> Layout {
    Layout { vector: 64, vectors: 1, blocks: 8, group: 8, interleave: 4, extra }
}

/// Each scale has a minimum beside it, both of 4 bits, which is subtracted.
impl Format<4, 1> for Q2K {
    const LAYOUT: Layout = layout(Extra::Quarters(-1));
    const BYTES: usize = 84;

    #[inline(always)]
    unsafe fn factors(rows: &[*const u8; ROWS], _: usize) -> Factors<4> {
        // SAFETY: the caller promises the processor and the blocks.
        unsafe {
            let (mut scales, mut mins) =
                ([_mm512_setzero_si512(); ROWS], [_mm512_setzero_si512(); ROWS]);
            for r in 0..ROWS {
                let both = _mm512_cvtepu8_epi32(in_order(_mm_loadu_si128(rows[r].cast())));
                scales[r] = _mm512_and_si512(both, _mm512_set1_epi32(15));
                mins[r] = _mm512_srli_epi32::<4>(both);
            }
            let (scale, min) = (floats(rows, 80), floats(rows, 82));
            Factors { scales: times(scales, scale), mins: times(mins, min) }
        }
    }

    #[inline(always)]
    unsafe fn quants<const UNIT: usize>(row: *const u8, _: usize) -> [__m512i; 1] {
        // SAFETY: the caller promises the processor and the block.
        unsafe { [twos::<UNIT>(row.add(16))] }
    }
}

/// A third bit of the elements is apart; scales have 6 bits.
impl Format<4, 1> for Q3K {
    const LAYOUT: Layout = layout(Extra::Lanes(4));
    const BYTES: usize = 110;

    #[inline(always)]
    unsafe fn factors(rows: &[*const u8; ROWS], _: usize) -> Factors<4> {
        // SAFETY: the caller promises the processor and the blocks.
        unsafe {
            let mut scales = [_mm512_setzero_si512(); ROWS];
            for (scales, row) in scales.iter_mut().zip(rows) {
                *scales = _mm512_cvtepi8_epi32(in_order(six_bits(row.add(92))));
            }
            let scales = times(scales, floats(rows, 108));
            Factors { scales, mins: [_mm512_setzero_ps(); 4] }
        }
    }

    #[inline(always)]
    unsafe fn quants<const UNIT: usize>(row: *const u8, _: usize) -> [__m512i; 1] {
        // Bit i of a byte belongs to 32 elements from 32 i on; here it becomes bit 2.
        const THIRDS: [Turns; 4] = [
            turns([2, 2, 30, 30]),
            turns([1, 1, 29, 29]),
            turns([0, 0, 28, 28]),
            turns([31, 31, 27, 27]),
        ];
        // SAFETY: the caller promises the processor and the block.
        unsafe {
            let thirds = _mm512_broadcast_i64x4(_mm256_loadu_si256(row.cast()));
            [with_bits(twos::<UNIT>(row.add(32)), thirds, &THIRDS[UNIT], 4)]
        }
    }
}

/// Two bits of all quants of a unit.
///
/// # Safety
/// The processor has AVX-512 BW; there are 64 bytes.
#[inline(always)]
unsafe fn twos<const UNIT: usize>(at: *const u8) -> __m512i {
    // SAFETY: the caller promises both.
    unsafe {
        let bytes = match UNIT {
            0 => bytes(at),
            1 => _mm512_srli_epi16::<2>(bytes(at)),
            2 => _mm512_srli_epi16::<4>(bytes(at)),
            _ => _mm512_srli_epi16::<6>(bytes(at)),
        };
        _mm512_and_si512(bytes, _mm512_set1_epi8(3))
    }
}

/// The parts' scales in the order of units: one of each at a time.
///
/// # Safety
/// The processor has AVX2.
#[inline(always)]
unsafe fn in_order(scales: __m128i) -> __m128i {
    // SAFETY: the caller knows that the processor has it.
    unsafe {
        let order = _mm_set_epi8(15, 13, 11, 9, 14, 12, 10, 8, 7, 5, 3, 1, 6, 4, 2, 0);
        _mm_shuffle_epi8(scales, order)
    }
}

/// The units' integers of four rows, times the rows' floats.
///
/// # Safety
/// The processor has AVX-512 F.
#[inline(always)]
unsafe fn times(small: [__m512i; ROWS], float: __m512) -> [__m512; 4] {
    // SAFETY: the caller knows that the processor has it.
    unsafe {
        let ([a, b], [c, d]) = (first_two(small), last_two(small));
        [
            _mm512_mul_ps(a, float),
            _mm512_mul_ps(b, float),
            _mm512_mul_ps(c, float),
            _mm512_mul_ps(d, float),
        ]
    }
}

/// The scales of Q3_K, which are the last 12 of these 16 bytes.
///
/// # Safety
/// The processor has AVX-512 VL; the bytes are there.
#[inline(always)]
unsafe fn six_bits(at: *const u8) -> __m128i {
    // SAFETY: the caller promises both.
    unsafe {
        let tail = _mm_loadu_si128(at.cast());
        // The nibbles of eight bytes, then two bits of the last four bytes above each.
        let low = _mm_shuffle_epi32::<0b10_01_10_01>(tail);
        let low = _mm_srlv_epi32(low, _mm_set_epi32(4, 4, 0, 0));
        let low = _mm_and_si128(low, _mm_set1_epi8(15));
        let high = _mm_shuffle_epi32::<0b11_11_11_11>(tail);
        let high = _mm_rolv_epi32(high, _mm_set_epi32(30, 0, 2, 4));
        let high = _mm_and_si128(high, _mm_set1_epi8(0x30));
        _mm_sub_epi8(_mm_or_si128(low, high), _mm_set1_epi8(32))
    }
}
