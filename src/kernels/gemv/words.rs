//! Four blocks as words of 16 bits, which every such type's parts begin at multiples of.

use std::arch::x86_64::*;

use super::layout::ROWS;

/// Four blocks: their first 32 words, and their last.
#[derive(Clone, Copy)]
pub(super) struct Words([__m512i; 2]);

/// Where each word of a vector is: first in one vector, then in another.
pub(super) type Picks = [u16; 32];

/// For each quarter of a vector, the words of one block from `from` on, `count` of them in turn: in [`Words`].
pub(super) const fn picks(words: usize, from: usize, count: usize) -> Picks {
    let mut picks = [0; 32];
    let mut i = 0;
    while i < 32 {
        let number = i / 8 * words + from + i % 8 % count;
        picks[i] = (if number < 32 { number } else { 64 + number - 4 * words }) as u16;
        i += 1;
    }
    picks
}

/// Where the first two words of all blocks are, in two rows' [`Words`] of either kind.
pub(super) struct Heads {
    /// In the first words of both rows.
    first: Picks,
    /// In the last words of both.
    last: Picks,
    /// Which are in the first.
    in_first: u32,
}

/// The heads of blocks of so many words: four neighbours are one block of four rows, of which the last two are where the
/// first two are. The second words follow the first of all blocks.
pub(super) const fn heads(words: usize) -> Heads {
    let mut heads = Heads { first: [0; 32], last: [0; 32], in_first: 0 };
    let mut i = 0;
    while i < 32 {
        let number = i % 16 / 4 * words + i / 16;
        let row = 32 * (i % 2);
        if number < 32 {
            heads.first[i] = (row + number) as u16;
            heads.in_first |= 1 << i;
        } else {
            heads.last[i] = (row + 32 + number - 4 * words) as u16;
        }
        i += 1;
    }
    heads
}

/// The lanes of the last two of four rows.
const LATER: u32 = 0xcccc_cccc;

impl Words {
    /// Loads `blocks` blocks of so many words, and zeros for the others.
    ///
    /// # Safety
    /// The processor has AVX-512 BW; the blocks can be read.
    #[inline(always)]
    pub(super) unsafe fn load(w: *const u8, words: usize, blocks: usize) -> Self {
        // SAFETY: no more than the blocks is read.
        unsafe {
            let (count, last) = (words * blocks, 4 * words - 32);
            let first = _mm512_maskz_loadu_epi16(lowest(count), w.cast());
            let rest = lowest(count.saturating_sub(last));
            Self([first, _mm512_maskz_loadu_epi16(rest, w.wrapping_add(2 * last).cast())])
        }
    }

    /// A vector of words.
    ///
    /// # Safety
    /// The processor has AVX-512 BW.
    #[inline(always)]
    pub(super) unsafe fn pick(&self, picks: &Picks) -> __m512i {
        // SAFETY: the caller knows that the processor has it.
        unsafe { pick(self.0[0], self.0[1], picks) }
    }

    /// The first two words of all blocks of four rows.
    ///
    /// # Safety
    /// The processor has AVX-512 BW.
    #[inline(always)]
    pub(super) unsafe fn heads([a, b, c, d]: &[Self; ROWS], heads: &Heads) -> __m512i {
        // SAFETY: the caller knows that the processor has it.
        unsafe {
            let later = pick(c.0[0], d.0[0], &heads.first);
            let first = _mm512_mask_blend_epi16(LATER, pick(a.0[0], b.0[0], &heads.first), later);
            if heads.in_first == u32::MAX {
                return first;
            }
            let later = pick(c.0[1], d.0[1], &heads.last);
            let last = _mm512_mask_blend_epi16(LATER, pick(a.0[1], b.0[1], &heads.last), later);
            _mm512_mask_blend_epi16(heads.in_first, last, first)
        }
    }
}

/// Words of two vectors.
///
/// # Safety
/// The processor has AVX-512 BW.
#[inline(always)]
unsafe fn pick(a: __m512i, b: __m512i, picks: &Picks) -> __m512i {
    // SAFETY: the caller knows that the processor has it.
    unsafe { _mm512_permutex2var_epi16(a, _mm512_loadu_si512(picks.as_ptr().cast()), b) }
}

/// So many bits.
#[inline(always)]
fn lowest(count: usize) -> u32 {
    if count < 32 { (1 << count) - 1 } else { u32::MAX }
}
