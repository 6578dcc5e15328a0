//! Types of 32 elements in which a byte holds an element of the block's first half below one of its second: Q4_0 and
//! its like. Four blocks are a step: their bytes are brought side by side, and each nibble of all of them is a vector.

use std::arch::x86_64::*;

use super::layout::{Extra, Factors, Format, Layout, ROWS};
use super::words::{Heads, Picks, Words, heads, picks};

/// One of these types. A block is, in this order: a scale; perhaps a minimum; perhaps the fifth bits of all quants;
/// the lower four bits.
pub(super) trait Halves {
    /// Words of 16 bits in a block.
    const WORDS: usize;
    /// What is subtracted from the quants.
    const OFFSET: i32 = 0;
    const HAS_MIN: bool = false;
    const HAS_FIFTH: bool = false;
    /// Whether the quants are numbers of [`NON_LINEAR`].
    const IS_NON_LINEAR: bool = false;

    const HEADS: Heads = heads(Self::WORDS);
    /// Where a quarter of four blocks' quants are, and of their fifth bits, repeated.
    const QUANTS: Picks = picks(Self::WORDS, Self::WORDS - 8, 8);
    const FIFTHS: Picks = picks(Self::WORDS, Self::WORDS.saturating_sub(10), 2);
}

pub(super) struct Q4_0;
pub(super) struct Q4_1;
pub(super) struct Q5_0;
pub(super) struct Q5_1;
pub(super) struct Iq4Nl;

impl Halves for Q4_0 {
    const WORDS: usize = 9;
    const OFFSET: i32 = 8;
}

impl Halves for Q4_1 {
    const WORDS: usize = 10;
    const HAS_MIN: bool = true;
}

impl Halves for Q5_0 {
    const WORDS: usize = 11;
    const OFFSET: i32 = 16;
    const HAS_FIFTH: bool = true;
}

impl Halves for Q5_1 {
    const WORDS: usize = 12;
    const HAS_MIN: bool = true;
    const HAS_FIFTH: bool = true;
}

impl Halves for Iq4Nl {
    const WORDS: usize = 9;
    const OFFSET: i32 = 128;
    const IS_NON_LINEAR: bool = true;
}

impl<H: Halves> Format<1, 2> for H {
    const LAYOUT: Layout = Layout {
        vector: 64,
        vectors: 2,
        blocks: 4,
        group: 4,
        interleave: 1,
        extra: if H::HAS_MIN { Extra::Quarters(1) } else { Extra::Lanes(H::OFFSET) },
    };
    const BYTES: usize = 8 * H::WORDS;

    #[inline(always)]
    unsafe fn factors(rows: &[*const u8; ROWS], blocks: usize) -> Factors<1> {
        // SAFETY: the caller promises the processor and the blocks.
        unsafe {
            let mut words = [Words::load(rows[0], H::WORDS, blocks); ROWS];
            for r in 1..ROWS {
                words[r] = Words::load(rows[r], H::WORDS, blocks);
            }
            // The scales, and as upper half the words behind them.
            let both = Words::heads(&words, &H::HEADS);
            let scales = [_mm512_cvtph_ps(_mm512_castsi512_si256(both))];
            let mins = match H::HAS_MIN {
                true => [_mm512_cvtph_ps(_mm512_extracti64x4_epi64::<1>(both))],
                false => [_mm512_setzero_ps()],
            };
            Factors { scales, mins }
        }
    }

    #[inline(always)]
    unsafe fn quants<const UNIT: usize>(row: *const u8, blocks: usize) -> [__m512i; 2] {
        // SAFETY: the caller promises the processor and the blocks.
        unsafe {
            let words = Words::load(row, H::WORDS, blocks);
            let bytes = words.pick(&H::QUANTS);
            let mut quants = match H::HAS_FIFTH {
                true => with_fifths(bytes, words.pick(&H::FIFTHS)),
                false => nibbles(bytes),
            };
            if H::IS_NON_LINEAR {
                quants = non_linear(quants);
            }
            quants
        }
    }
}

/// The values of the types IQ4_NL and IQ4_XS, with 128 added.
static NON_LINEAR: [u8; 16] =
    [1, 24, 45, 63, 79, 93, 106, 118, 129, 141, 153, 166, 181, 197, 217, 241];

/// The lower and the upper four bits of each byte.
///
/// # Safety
/// The processor has AVX-512 BW.
#[inline(always)]
pub(super) unsafe fn nibbles(bytes: __m512i) -> [__m512i; 2] {
    // SAFETY: the caller knows that the processor has it.
    unsafe {
        let low = _mm512_set1_epi8(15);
        let high = _mm512_srli_epi16::<4>(bytes);
        [_mm512_and_si512(bytes, low), _mm512_and_si512(high, low)]
    }
}

/// The values that these numbers stand for.
///
/// # Safety
/// The processor has AVX-512 BW.
#[inline(always)]
pub(super) unsafe fn non_linear(numbers: [__m512i; 2]) -> [__m512i; 2] {
    // SAFETY: the caller knows that the processor has it.
    unsafe {
        let values = _mm512_broadcast_i32x4(_mm_loadu_si128(NON_LINEAR.as_ptr().cast()));
        [_mm512_shuffle_epi8(values, numbers[0]), _mm512_shuffle_epi8(values, numbers[1])]
    }
}

/// Quants with their fifth bits: each quarter of `fifths` begins with 32 of them.
///
/// # Safety
/// The processor has AVX-512 BW.
#[inline(always)]
unsafe fn with_fifths(quants: __m512i, fifths: __m512i) -> [__m512i; 2] {
    // SAFETY: the caller knows that the processor has it.
    unsafe {
        // Each byte of the bits goes to the eight quants that they are of, which look at one bit each.
        let bytes = _mm512_broadcast_i32x4(_mm_set_epi64x(0x0101_0101_0101_0101, 0));
        let bit = _mm512_set1_epi64(0x8040_2010_0804_0201_u64 as i64);
        let first = _mm512_shuffle_epi8(fifths, bytes);
        let bytes = _mm512_or_si512(bytes, _mm512_set1_epi8(2));
        let second = _mm512_shuffle_epi8(fifths, bytes);
        let sixteen = _mm512_set1_epi8(16);
        let low = _mm512_set1_epi8(15);
        let first = _mm512_maskz_mov_epi8(_mm512_test_epi8_mask(first, bit), sixteen);
        let second = _mm512_maskz_mov_epi8(_mm512_test_epi8_mask(second, bit), sixteen);
        // (a & b) | c
        [
            _mm512_ternarylogic_epi32::<0xea>(quants, low, first),
            _mm512_ternarylogic_epi32::<0xea>(_mm512_srli_epi16::<4>(quants), low, second),
        ]
    }
}
