//! The GEMM of integers with VNNI: both factors are integers with a scale for each group of elements. Products are summed up
//! exactly within a group and scaled after that. How a group lies in words is said in [`super::bytes`].

use std::arch::x86_64::*;
use std::marker::PhantomData;
use std::ops::Range;

use super::super::{Vectors, Weight};
use super::groups_tile;
use super::kernel::{Kernel, Rows, by_tokens};
use super::pack;
use super::tile::Tile;
use super::transpose::rows16;

/// Integers of one size, and how they are multiplied.
pub(super) trait Groups {
    /// Elements of a group.
    const GROUP: usize;
    /// Words of their integers; that of the scale follows.
    const INTEGERS: usize;
    /// Words of a group.
    const WORDS: usize;
    /// Whether the last word of weights is an offset, and that of a token what it is multiplied with.
    const OFFSETS: bool;
    /// Elements of a row that are multiplied at a time, at most: whole groups.
    const ELEMENTS: usize;

    /// Puts weights into groups of words.
    ///
    /// # Safety
    /// The processor has AVX-512 F, BW, VL, DQ and VNNI; the elements exist and are whole blocks; there is room.
    unsafe fn weights(weight: &Weight, row: usize, start: usize, n: usize, to: *mut u32);

    /// Puts `n` elements of a token into groups, the beginnings of which are `stride` words apart.
    ///
    /// # Safety
    /// The processor has AVX-512 F, BW, VL, DQ and VNNI; the elements exist; there is room for their groups.
    unsafe fn token(x: *const f32, n: usize, to: *mut u32, stride: usize);

    /// The sums of a group's products, for each of `T` tokens.
    ///
    /// # Safety
    /// The processor has AVX-512 F and VNNI, and the group is there: two vectors of weights for each word, then the tokens'
    /// words.
    unsafe fn products<const T: usize>(
        weights: *const u32,
        tokens: *const u32,
    ) -> [[__m512i; 2]; T];
}

/// The GEMM.
pub(super) struct OfGroups<G>(PhantomData<G>);

impl<G: Groups> Kernel for OfGroups<G> {
    const LANES: usize = 32;
    const TOKENS: usize = 6;
    const SIDE: usize = 16;
    const ELEMENTS: usize = G::ELEMENTS;
    const WORDS: usize = G::ELEMENTS / G::GROUP * G::WORDS;
    const UNIT: usize = G::GROUP;

    fn words(elements: usize) -> usize {
        elements.div_ceil(G::GROUP) * G::WORDS
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
    unsafe fn multiply(tokens: usize, tile: &Tile) {
        // SAFETY: the caller's.
        unsafe {
            by_tokens!(tokens, [1 2 3 4 5 6], T => groups_tile::compute::<G, T>(tile));
        }
    }

    unsafe fn elements(weight: &Weight, row: usize, start: usize, n: usize, to: *mut u32) {
        // SAFETY: the caller's; the type has a form.
        unsafe { G::weights(weight, row, start, n, to) }
    }

    unsafe fn transpose(from: Rows, rows: usize, words: usize, to: *mut u32, to_stride: usize) {
        // SAFETY: the caller's.
        unsafe { rows16(from.data, from.stride, rows, words, to, to_stride) }
    }

    unsafe fn tile(
        vectors: Vectors,
        tokens: Range<usize>,
        elements: Range<usize>,
        _: Rows,
        to: *mut u32,
    ) {
        // SAFETY: the caller's vectors.
        unsafe { pack::groups(vectors, tokens, elements, G::WORDS, to, G::token) }
    }
}
