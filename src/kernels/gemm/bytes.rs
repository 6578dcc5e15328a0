//! The GEMM of bytes: both factors are bytes, whose products are summed up exactly within a group of elements and scaled
//! after that; here with VNNI, in [`super::integers`] with AVX2. Weights keep the quants that they are stored as; tokens
//! are quantized, with a scale for each group.
//!
//! A group of elements is packed into its quants' words, the word of its scale, and a last word. With weights the quants
//! have no sign and `w = scale * quant + offset`: the last word is the offset. What it is with tokens depends on the
//! offsets: see [`Offsets`]. Words of a panel's rows alternate, those of a tile's tokens stay together group by group.

use std::marker::PhantomData;
use std::ops::Range;

use super::super::{Vectors, Weight, dequant};
use super::bytes_tile;
use super::kernel::{Kernel, Rows, by_tokens};
use super::pack;
use super::quantize::quantize;
use super::tile::Tile;
use super::transpose::rows16;

/// What the offsets of weights are.
pub(super) trait Offsets {
    /// Whether they are all -128 times the scale, which is then left out of the floats: sums of quants begin with -128
    /// times the sum of the token's, its last word.
    const ARE_SIGNS: bool;

    /// Whether 32 of the token's elements become the nearest bytes, where a tenth less is lost, but which take twice as long. The
    /// engine has one scale for 256 of them with super-blocks, and loses more in any case.
    const ARE_NEAREST: bool;
}

/// Quants that had a sign.
pub(super) struct Signs;

/// Any offsets: they are multiplied with the sum of the group of the token, its last word.
pub(super) struct Any;

/// The same of super-blocks.
pub(super) struct AnyOfSupers;

impl Offsets for Signs {
    const ARE_SIGNS: bool = true;
    const ARE_NEAREST: bool = true;
}

impl Offsets for Any {
    const ARE_SIGNS: bool = false;
    const ARE_NEAREST: bool = true;
}

impl Offsets for AnyOfSupers {
    const ARE_SIGNS: bool = false;
    const ARE_NEAREST: bool = false;
}

/// Products of bytes in groups of so many words, with VNNI.
pub(super) struct Bytes<const GROUP: usize, O>(PhantomData<O>);

impl<const GROUP: usize, O: Offsets> Kernel for Bytes<GROUP, O> {
    const LANES: usize = 32;
    const TOKENS: usize = 6;
    const SIDE: usize = 16;
    const ELEMENTS: usize = 1024;
    const WORDS: usize = 1024 / (4 * GROUP) * (GROUP + 2);

    fn words(elements: usize) -> usize {
        elements.div_ceil(4 * GROUP) * (GROUP + 2)
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
    unsafe fn multiply(tokens: usize, tile: &Tile) {
        // SAFETY: the caller's.
        unsafe {
            by_tokens!(tokens, [1 2 3 4 5 6], T => bytes_tile::compute::<Self, T>(tile));
        }
    }

    unsafe fn elements(weight: &Weight, row: usize, start: usize, n: usize, to: *mut u32) {
        // SAFETY: the caller's; the type has a form.
        unsafe {
            let row = weight.data.add(row * weight.stride);
            dequant::to_bytes::<GROUP, 128>(weight.weight_type, row, start, n, to);
        }
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
        // SAFETY: the caller's vectors, in whole groups.
        unsafe { pack::groups(vectors, tokens, elements, GROUP + 2, to, quantize::<GROUP, O>) }
    }
}
