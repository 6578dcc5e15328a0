//! Types of 32 elements with AVX2. Two blocks are a step.

use std::arch::x86_64::*;

use super::super::dequant::{FOUR_BIT_FLOATS, NON_LINEAR, power_of_two};
use super::avx2_rows::{Factors, Format};
use super::bytes::Q8_0;
use super::halves::Halves;
use super::layout::{Extra, Layout, ROWS};

/// The first halves of both blocks are a vector, the second halves another.
impl<H: Halves> Format<1, 2> for H {
    const LAYOUT: Layout = layout(match (H::IS_NON_LINEAR, H::HAS_MIN) {
        (true, _) => Extra::None,
        (_, true) => Extra::Quarters(1),
        _ => Extra::Quarters(-H::OFFSET),
    });
    const BYTES: usize = 4 * H::WORDS;
    const IS_SIGNED: bool = H::IS_NON_LINEAR;

    #[inline(always)]
    unsafe fn factors(rows: &[*const u8; ROWS], blocks: usize) -> Factors<1> {
        // SAFETY: the caller promises the processor and the blocks.
        unsafe {
            let scales = floats(rows, 0, 2 * H::WORDS, blocks);
            let mins = if H::HAS_MIN { floats(rows, 2, 2 * H::WORDS, blocks) } else { scales };
            Factors { scales: [scales], mins: [mins] }
        }
    }

    #[inline(always)]
    unsafe fn quants<const UNIT: usize>(row: *const u8, blocks: usize) -> [__m256i; 2] {
        let bytes = 2 * H::WORDS;
        // SAFETY: the caller promises the processor and the blocks.
        unsafe {
            let mut quants = nibbles(row, bytes, blocks);
            if H::HAS_FIFTH {
                let bits = |at: *const u8| _mm_set1_epi32(at.cast::<i32>().read_unaligned());
                let second = if blocks == 1 { 0 } else { bytes };
                let first = bits(row.add(bytes - 20));
                let fifths = _mm256_set_m128i(bits(row.add(second + bytes - 20)), first);
                for (half, quants) in quants.iter_mut().enumerate() {
                    *quants = _mm256_or_si256(*quants, fifth(fifths, half as i8));
                }
            }
            if H::IS_NON_LINEAR {
                quants = looked_up(quants, &NON_LINEAR);
            }
            quants
        }
    }
}

/// An exponent and 32 floats of 4 bits. Its blocks have an odd number of bytes, which the kernels with AVX-512 know nothing
/// of: this one is used there, too.
pub(super) struct Mxfp4;

impl Format<1, 2> for Mxfp4 {
    const LAYOUT: Layout = layout(Extra::None);
    const BYTES: usize = 2 * 17;
    const IS_SIGNED: bool = true;

    #[inline(always)]
    unsafe fn factors(rows: &[*const u8; ROWS], blocks: usize) -> Factors<1> {
        let mut scales = [0f32; 8];
        // SAFETY: the caller promises the processor and the blocks.
        unsafe {
            for (r, row) in rows.iter().enumerate() {
                scales[r] = power_of_two(**row);
                if blocks > 1 {
                    scales[ROWS + r] = power_of_two(*row.add(17));
                }
            }
            let scales = _mm256_loadu_ps(scales.as_ptr());
            Factors { scales: [scales], mins: [scales] }
        }
    }

    #[inline(always)]
    unsafe fn quants<const UNIT: usize>(row: *const u8, blocks: usize) -> [__m256i; 2] {
        // SAFETY: the caller promises the processor and the blocks.
        unsafe { looked_up(nibbles(row, 17, blocks), &FOUR_BIT_FLOATS) }
    }
}

/// The quants of 4 bits at the ends of two blocks, of zeros for one that is not there: the first halves, then the second.
///
/// # Safety
/// The processor has AVX2; the blocks can be read.
#[inline(always)]
unsafe fn nibbles(row: *const u8, bytes: usize, blocks: usize) -> [__m256i; 2] {
    // SAFETY: the caller's.
    unsafe {
        let first = _mm_loadu_si128(row.add(bytes - 16).cast());
        let second = match blocks {
            1 => _mm_setzero_si128(),
            _ => _mm_loadu_si128(row.add(2 * bytes - 16).cast()),
        };
        let (both, low) = (_mm256_set_m128i(second, first), _mm256_set1_epi8(15));
        [_mm256_and_si256(both, low), _mm256_and_si256(_mm256_srli_epi16::<4>(both), low)]
    }
}

/// The values that quants stand for.
///
/// # Safety
/// The processor has AVX2.
#[inline(always)]
unsafe fn looked_up(quants: [__m256i; 2], values: &[i8; 16]) -> [__m256i; 2] {
    // SAFETY: the caller's.
    unsafe {
        let values = _mm256_broadcastsi128_si256(_mm_loadu_si128(values.as_ptr().cast()));
        quants.map(|quants| _mm256_shuffle_epi8(values, quants))
    }
}

/// A block is a vector.
impl Format<2, 1> for Q8_0 {
    const LAYOUT: Layout = Layout { vectors: 1, ..layout(Extra::None) };
    const BYTES: usize = 2 * 34;
    const IS_SIGNED: bool = true;

    #[inline(always)]
    unsafe fn factors(rows: &[*const u8; ROWS], blocks: usize) -> Factors<2> {
        // SAFETY: the caller promises the processor and the blocks.
        unsafe {
            let both = floats(rows, 0, 34, blocks);
            let first = _mm256_permute2f128_ps::<0x00>(both, both);
            let second = _mm256_permute2f128_ps::<0x11>(both, both);
            Factors { scales: [first, second], mins: [both; 2] }
        }
    }

    #[inline(always)]
    unsafe fn quants<const UNIT: usize>(row: *const u8, blocks: usize) -> [__m256i; 1] {
        // SAFETY: the caller promises the processor and the blocks.
        unsafe {
            if UNIT < blocks {
                [_mm256_loadu_si256(row.add(34 * UNIT + 2).cast())]
            } else {
                [_mm256_setzero_si256()]
            }
        }
    }
}

const fn layout(extra: Extra) -> Layout {
    Layout { vector: 32, vectors: 2, blocks: 2, group: 2, interleave: 1, extra }
}

/// Bit 4 of the quants of the first or the second half of two blocks, from all their fifth bits.
///
/// # Safety
/// The processor has AVX2.
#[inline(always)]
unsafe fn fifth(fifths: __m256i, half: i8) -> __m256i {
    // SAFETY: the caller knows that the processor has it.
    unsafe {
        // Each byte of the bits goes to the eight quants that they are of, which look at one bit each.
        let bytes = _mm256_set_epi64x(0x0101_0101_0101_0101, 0, 0x0101_0101_0101_0101, 0);
        let bytes = _mm256_add_epi8(bytes, _mm256_set1_epi8(2 * half));
        let bit = _mm256_set1_epi64x(0x8040_2010_0804_0201_u64 as i64);
        let bits = _mm256_and_si256(_mm256_shuffle_epi8(fifths, bytes), bit);
        _mm256_and_si256(_mm256_cmpeq_epi8(bits, bit), _mm256_set1_epi8(16))
    }
}

/// The 16-bit float at one place of two blocks of four rows; zeros for a block that is not there.
///
/// # Safety
/// The processor has AVX2 and F16C; the blocks can be read.
#[inline(always)]
unsafe fn floats(rows: &[*const u8; ROWS], at: usize, bytes: usize, blocks: usize) -> __m256 {
    let mut words = [0u16; 8];
    for (r, row) in rows.iter().enumerate() {
        // SAFETY: the caller promises the blocks.
        unsafe {
            words[r] = row.add(at).cast::<u16>().read_unaligned();
            if blocks > 1 {
                words[4 + r] = row.add(bytes + at).cast::<u16>().read_unaligned();
            }
        }
    }
    let [a, b, c, d, e, f, g, h] = words.map(|word| word as i16);
    // SAFETY: the caller knows that the processor has it.
    unsafe { _mm256_cvtph_ps(_mm_setr_epi16(a, b, c, d, e, f, g, h)) }
}
