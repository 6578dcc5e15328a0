//! The GEMMs of the levels: how large their blocks are, and the code that needs their instructions.

use std::ops::Range;

use super::super::{Level, Vectors, Weight, dequant};
use super::pack;
use super::tile::{Tile, compute};
use super::transpose::{interleave, rows8, rows16};
use super::vector::{Bf16x32, F32x8, F32x16};

/// What the GEMM of a level is made of.
///
/// Both factors are packed into 32-bit words: consecutive elements of the dimension that is summed over, with zeros
/// behind the last ones if they do not fill a word.
pub(super) trait Kernel {
    /// Rows of weights, or columns for the way back, that are multiplied at a time: two vectors.
    const LANES: usize;
    /// Tokens that are multiplied at a time, at most.
    const TOKENS: usize;
    /// Rows that are transposed at a time, at most.
    const SIDE: usize;
    /// Elements of a row that are multiplied at a time, at most: the panel of them stays in the cache for all tokens, or a tile
    /// for all panels.
    const ELEMENTS: usize;
    /// The words of as many.
    const WORDS: usize;
    /// Elements of a row that are packed at a time, at most, where several panels are multiplied with a tile before the next one:
    /// some times `ELEMENTS`.
    const PACKED: usize = Self::ELEMENTS;
    /// Bytes of packed panels that are multiplied with a tile before the next one: not 0 where multiplying is so quick that one
    /// waits for tokens that lie further away than in the first cache, and for results on their way to memory.
    const TOGETHER: usize = 0;
    /// Elements that parts of rows are whole numbers of, beside the blocks of weights.
    const UNIT: usize = 1;
    /// Dequantizing a weight takes as long as multiplying it with so many tokens.
    const DEQUANTIZING: usize = 24;

    /// The words that elements take from the first of a row on; all but the last part of a row is whole blocks.
    fn words(elements: usize) -> usize;

    /// Gets the processor ready for tiles of so many tokens.
    ///
    /// # Safety
    /// The processor has the level; [`Kernel::release`] is called in the end.
    unsafe fn prepare(_tokens: usize) {}

    /// Undoes [`Kernel::prepare`].
    ///
    /// # Safety
    /// The processor has the level.
    unsafe fn release() {}

    /// Computes a tile of so many tokens, for which the processor is ready.
    ///
    /// # Safety
    /// The processor has the level; what [`compute`] asks for.
    unsafe fn multiply(tokens: usize, tile: &Tile);

    /// Elements of a row in the words' precision.
    ///
    /// # Safety
    /// The processor has the level; the elements exist and are whole blocks; there is room.
    unsafe fn elements(weight: &Weight, row: usize, start: usize, n: usize, to: *mut u32);

    /// Transposes at most `SIDE` rows.
    ///
    /// # Safety
    /// The processor has the level; what [`rows16`] asks for.
    unsafe fn transpose(from: Rows, rows: usize, words: usize, to: *mut u32, to_stride: usize);

    /// Packs elements of the tokens of a tile.
    ///
    /// # Safety
    /// As for [`pack::vectors`].
    unsafe fn tile(
        vectors: Vectors,
        tokens: Range<usize>,
        elements: Range<usize>,
        between: Rows,
        to: *mut u32,
    ) where
        Self: Sized,
    {
        // SAFETY: the caller's.
        unsafe { pack::vectors::<Self>(vectors, tokens, elements, between, to) }
    }
}

/// What the way back needs besides.
pub(super) trait BackKernel: Kernel {
    /// Elements in a word.
    const PER_WORD: usize;

    /// Puts `n` elements of `PER_WORD` rows together, column by column: word `c` goes to
    /// `to[c / LANES * to_stride + c % LANES]`.
    ///
    /// # Safety
    /// The processor has the level; the elements can be read up to a multiple of `LANES`, and the words written.
    unsafe fn interleave(from: Rows, n: usize, to: *mut u32, to_stride: usize);
}

/// A thread's place for rows on their way to where they are packed.
#[derive(Clone, Copy)]
pub(super) struct Rows {
    pub data: *mut u32,
    /// Words from one row to the next.
    pub stride: usize,
}

impl Rows {
    /// Beyond the words of a row: so that rows do not share a cache's sets, and can be read in whole vectors.
    const GAP: usize = 16;

    /// Words that they take: rows to be transposed.
    pub(super) const fn words<K: Kernel>() -> usize {
        K::SIDE * (K::WORDS + Self::GAP)
    }

    /// So many words at `data`.
    pub(super) fn new<K: Kernel>(data: *mut u8) -> Self {
        Self { data: data.cast(), stride: K::WORDS + Self::GAP }
    }
}

/// Does something with as many tokens as there are, as a constant.
macro_rules! by_tokens {
    ($given:expr, [$($tokens:literal)*], $T:ident => $do:expr) => {
        match $given {
            $($tokens => {
                const $T: usize = $tokens;
                $do
            })*
            _ => {}
        }
    };
}
pub(super) use by_tokens;

/// AVX-512 BF16: products of brain floats, summed up in f32.
pub(super) struct Bf16;

impl Kernel for Bf16 {
    const LANES: usize = 32;
    const TOKENS: usize = 12;
    const SIDE: usize = 16;
    const ELEMENTS: usize = 768;
    const WORDS: usize = 384;

    fn words(elements: usize) -> usize {
        elements.div_ceil(2)
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512bf16")]
    unsafe fn multiply(tokens: usize, tile: &Tile) {
        // SAFETY: the caller's.
        unsafe {
            by_tokens!(tokens, [1 2 3 4 5 6 7 8 9 10 11 12], T => compute::<Bf16x32, T>(tile));
        }
    }

    unsafe fn elements(weight: &Weight, row: usize, start: usize, n: usize, to: *mut u32) {
        // SAFETY: the caller's.
        unsafe {
            let row = weight.data.add(row * weight.stride);
            dequant::to_bf16(Level::Avx512Bf16, weight.weight_type, row, start, n, to.cast());
        }
    }

    unsafe fn transpose(from: Rows, rows: usize, words: usize, to: *mut u32, to_stride: usize) {
        // SAFETY: the caller's.
        unsafe { rows16(from.data, from.stride, rows, words, to, to_stride) }
    }
}

impl BackKernel for Bf16 {
    const PER_WORD: usize = 2;

    unsafe fn interleave(from: Rows, n: usize, to: *mut u32, to_stride: usize) {
        // SAFETY: the caller's.
        unsafe { interleave(from.data, from.stride, n, to, to_stride) }
    }
}

/// Defines a GEMM with words that hold one f32 each.
macro_rules! in_f32 {
    (
        $(#[$doc:meta])*
        $name:ident, $level:expr, $features:literal, $vector:ty, $lanes:literal, $side:literal, $words:literal,
        $transpose:ident, $most:literal, $tokens:tt
    ) => {
        $(#[$doc])*
        pub(super) struct $name;

        impl Kernel for $name {
            const LANES: usize = $lanes;
            const TOKENS: usize = $most;
            const SIDE: usize = $side;
            const ELEMENTS: usize = $words;
            const WORDS: usize = $words;

            fn words(elements: usize) -> usize {
                elements
            }

            #[target_feature(enable = $features)]
            unsafe fn multiply(tokens: usize, tile: &Tile) {
                // SAFETY: the caller's.
                unsafe { by_tokens!(tokens, $tokens, T => compute::<$vector, T>(tile)) }
            }

            unsafe fn elements(weight: &Weight, row: usize, start: usize, n: usize, to: *mut u32) {
                // SAFETY: the caller's.
                unsafe {
                    let row = weight.data.add(row * weight.stride);
                    dequant::to_f32($level, weight.weight_type, row, start, n, to.cast());
                }
            }

            unsafe fn transpose(
                from: Rows,
                rows: usize,
                words: usize,
                to: *mut u32,
                to_stride: usize,
            ) {
                // SAFETY: the caller's.
                unsafe { $transpose(from.data, from.stride, rows, words, to, to_stride) }
            }
        }

        impl BackKernel for $name {
            const PER_WORD: usize = 1;

            unsafe fn interleave(from: Rows, n: usize, to: *mut u32, to_stride: usize) {
                for panel in 0..n.div_ceil($lanes) {
                    // SAFETY: the caller's.
                    unsafe {
                        let from = from.data.add(panel * $lanes);
                        from.copy_to_nonoverlapping(to.add(panel * to_stride), $lanes);
                    }
                }
            }
        }
    };
}

in_f32!(
    /// AVX-512 without BF16.
    Avx512, Level::Avx512, "avx512f,avx512bw,avx512vl,avx512dq", F32x16, 32, 16, 256,
    rows16, 12, [1 2 3 4 5 6 7 8 9 10 11 12]
);

in_f32!(
    /// AVX2 and FMA.
    Avx2, Level::Avx2, "avx2,fma,f16c", F32x8, 16, 8, 256,
    rows8, 6, [1 2 3 4 5 6]
);
