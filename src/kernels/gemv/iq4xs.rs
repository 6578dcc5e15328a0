//! IQ4_XS: eight parts of 32 elements as in IQ4_NL, each with a scale of 6 bits.

use std::arch::x86_64::*;

use super::halves::{nibbles, non_linear};
use super::layout::{Extra, Factors, Format, Layout, ROWS};
use super::supers::{bytes, first_two, floats, word};

/// The first four parts are one unit, the last four the other.
pub(super) struct Iq4Xs;

impl Format<2, 2> for Iq4Xs {
    const LAYOUT: Layout = Layout {
        vector: 64,
        vectors: 2,
        blocks: 8,
        group: 8,
        interleave: 1,
        extra: Extra::Lanes(128),
    };
    const BYTES: usize = 136;

    #[inline(always)]
    unsafe fn factors(rows: &[*const u8; ROWS], _: usize) -> Factors<2> {
        // SAFETY: the caller promises the processor and the blocks.
        unsafe {
            let mut small = [_mm512_setzero_si512(); ROWS];
            for (small, row) in small.iter_mut().zip(rows) {
                *small = scales(*row);
            }
            let ([a, b], scale) = (first_two(small), floats(rows, 0));
            let scales = [_mm512_mul_ps(a, scale), _mm512_mul_ps(b, scale)];
            Factors { scales, mins: [_mm512_setzero_ps(); 2] }
        }
    }

    #[inline(always)]
    unsafe fn quants<const UNIT: usize>(row: *const u8, _: usize) -> [__m512i; 2] {
        // SAFETY: the caller promises the processor and the block.
        unsafe { non_linear(nibbles(bytes(row.add(8 + 64 * UNIT)))) }
    }
}

/// The parts' scales: one of each unit at the beginning of each quarter.
///
/// # Safety
/// The processor has AVX-512 F; the block is there.
#[inline(always)]
unsafe fn scales(w: *const u8) -> __m512i {
    // SAFETY: the caller promises both.
    unsafe {
        // Part i has four bits at 4 i, and two at 2 i.
        let part = _mm512_set_epi32(0, 0, 7, 3, 0, 0, 6, 2, 0, 0, 5, 1, 0, 0, 4, 0);
        let twice = _mm512_add_epi32(part, part);
        let low = _mm512_set1_epi32(w.add(4).cast::<i32>().read_unaligned());
        let low = _mm512_srlv_epi32(low, _mm512_add_epi32(twice, twice));
        let low = _mm512_and_si512(low, _mm512_set1_epi32(15));
        let high = _mm512_set1_epi32(i32::from(word(w.add(2))) << 4);
        let high = _mm512_srlv_epi32(high, twice);
        // a | (b & c)
        let both = _mm512_ternarylogic_epi32::<0xf8>(low, high, _mm512_set1_epi32(0x30));
        _mm512_sub_epi32(both, _mm512_set1_epi32(32))
    }
}
