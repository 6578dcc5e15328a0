//! The GEMM of integers with AVX2: weights keep the quants that they are stored as, tokens are quantized. Products are
//! summed up exactly within a group of elements and scaled after that. How a group lies in words is said in
//! [`super::bytes`]; `w = scale * quant + offset` always, and a token's last word is its sum.

use std::marker::PhantomData;
use std::ops::Range;

use super::super::{Vectors, Weight};
use super::integers_tile::{self, Both};
use super::kernel::{Kernel, Rows, by_tokens};
use super::pack;
use super::tile::Tile;
use super::transpose::rows8;

/// Integers of one size, and how they are multiplied.
pub(super) trait Integers {
    /// Words of a group's quants.
    const GROUP: usize;
    /// Elements in a word.
    const PER_WORD: usize;
    /// Whether offsets may be other than 0.
    const OFFSETS: bool;
    /// Tokens that are multiplied at a time, at most 6: as many as the registers hold.
    const TOKENS: usize;

    /// Puts weights into groups of words.
    ///
    /// # Safety
    /// The processor has AVX2; the elements exist and are whole blocks and groups; there is room.
    unsafe fn weights(weight: &Weight, row: usize, start: usize, n: usize, to: *mut u32);

    /// Puts `n` elements of a token into groups, the beginnings of which are `stride` words apart.
    ///
    /// # Safety
    /// The processor has AVX2; the elements exist and are whole groups; there is room.
    unsafe fn token(x: *const f32, n: usize, to: *mut u32, stride: usize);

    /// The sums of a group's products, for each of `T` tokens.
    ///
    /// # Safety
    /// The processor has AVX2, and the group is there: two vectors of weights for each word, then the tokens' words.
    unsafe fn products<const T: usize>(weights: *const u32, tokens: *const u32) -> [Both; T];
}

/// The GEMM.
pub(super) struct OfIntegers<I>(PhantomData<I>);

impl<I: Integers> Kernel for OfIntegers<I> {
    const LANES: usize = 16;
    const TOKENS: usize = I::TOKENS;
    const SIDE: usize = 8;
    const ELEMENTS: usize = if I::PER_WORD == 4 { 768 } else { 512 };
    const WORDS: usize = Self::ELEMENTS / (I::PER_WORD * I::GROUP) * (I::GROUP + 2);

    fn words(elements: usize) -> usize {
        elements.div_ceil(I::PER_WORD * I::GROUP) * (I::GROUP + 2)
    }

    #[target_feature(enable = "avx2,fma")]
    unsafe fn multiply(tokens: usize, tile: &Tile) {
        // SAFETY: the caller's.
        unsafe {
            by_tokens!(tokens, [1 2 3 4 5 6], T => integers_tile::compute::<I, T>(tile));
        }
    }

    unsafe fn elements(weight: &Weight, row: usize, start: usize, n: usize, to: *mut u32) {
        // SAFETY: the caller's; the type has a form.
        unsafe { I::weights(weight, row, start, n, to) }
    }

    unsafe fn transpose(from: Rows, rows: usize, words: usize, to: *mut u32, to_stride: usize) {
        // SAFETY: the caller's.
        unsafe { rows8(from.data, from.stride, rows, words, to, to_stride) }
    }

    unsafe fn tile(
        vectors: Vectors,
        tokens: Range<usize>,
        elements: Range<usize>,
        _: Rows,
        to: *mut u32,
    ) {
        // SAFETY: the caller's vectors, in whole groups.
        unsafe { pack::groups(vectors, tokens, elements, I::GROUP + 2, to, I::token) }
    }
}
