//! Q8_0: a scale and 32 bytes.

use std::arch::x86_64::*;

use super::layout::{Extra, Factors, Format, Layout, ROWS};

/// Four blocks are a step of two units: two blocks fill a vector.
pub(super) struct Q8_0;

/// Bytes of a block.
const BYTES: usize = 34;

impl Format<2, 1> for Q8_0 {
    const LAYOUT: Layout = Layout {
        vector: 64,
        vectors: 1,
        blocks: 4,
        group: 4,
        interleave: 1,
        extra: Extra::Lanes(128),
    };
    const BYTES: usize = 4 * BYTES;

    #[inline(always)]
    unsafe fn factors(rows: &[*const u8; ROWS], blocks: usize) -> Factors<2> {
        // SAFETY: the caller promises the processor and the blocks.
        unsafe {
            let scales = [scales(rows, 0, blocks), scales(rows, 2, blocks)];
            Factors { scales, mins: [_mm512_setzero_ps(); 2] }
        }
    }

    #[inline(always)]
    unsafe fn quants<const UNIT: usize>(row: *const u8, blocks: usize) -> [__m512i; 1] {
        let (first, second) = (2 * UNIT, 2 * UNIT + 1);
        // SAFETY: the caller promises the processor and the blocks.
        unsafe {
            let low = if first < blocks { u8::MAX } else { 0 };
            let low = _mm256_maskz_loadu_epi64(low, row.wrapping_add(first * BYTES + 2).cast());
            let high = if second < blocks { 0xf0 } else { 0 };
            // As if the first block's 32 bytes were before them.
            let from = row.wrapping_add(second * BYTES + 2).wrapping_sub(32);
            let both = _mm512_mask_loadu_epi64(_mm512_castsi256_si512(low), high, from.cast());
            // Without sign: 128 more.
            [_mm512_xor_si512(both, _mm512_set1_epi8(i8::MIN))]
        }
    }
}

/// The scales of two blocks of four rows, the first twice, then the second twice.
///
/// # Safety
/// As for [`Format::factors`].
#[inline(always)]
unsafe fn scales(rows: &[*const u8; ROWS], first: usize, blocks: usize) -> __m512 {
    // SAFETY: the caller promises the processor and the blocks.
    unsafe {
        let mut scales = _mm256_setzero_si256();
        for (r, row) in rows.iter().enumerate() {
            if first < blocks {
                let scale = row.add(first * BYTES).cast::<i16>().read_unaligned();
                scales = _mm256_mask_set1_epi16(scales, 0x0011 << r, scale);
            }
            if first + 1 < blocks {
                let scale = row.add((first + 1) * BYTES).cast::<i16>().read_unaligned();
                scales = _mm256_mask_set1_epi16(scales, 0x1100 << r, scale);
            }
        }
        _mm512_cvtph_ps(scales)
    }
}
