//! The GEMM of bytes: both factors are bytes, whose products are summed up exactly within a group of elements and scaled
//! after that; here with VNNI, in [`super::integers`] with AVX2. Weights keep the quants that they are stored as; tokens
//! are quantized, with a scale for each group.
//!
//! A group of elements is packed into its quants' words, the word of its scale, and a last word. With weights the quants
//! have no sign and `w = scale * quant + offset`: the last word is the offset. What it is with tokens depends on the
//! offsets: see [`Offsets`]. Words of a panel's rows alternate, those of a tile's tokens stay together group by group.

use std::arch::x86_64::*;
use std::marker::PhantomData;

use super::super::{Weight, dequant};
use super::groups::Groups;
use super::groups_tile::vectors;
use super::quantize::quantize;

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
pub(super) struct Bytes<const WORDS: usize, O>(PhantomData<O>);

impl<const WORDS: usize, O: Offsets> Groups for Bytes<WORDS, O> {
    const GROUP: usize = 4 * WORDS;
    const INTEGERS: usize = WORDS;
    const WORDS: usize = WORDS + 2;
    const OFFSETS: bool = !O::ARE_SIGNS;
    const ELEMENTS: usize = 1024;

    unsafe fn weights(weight: &Weight, row: usize, start: usize, n: usize, to: *mut u32) {
        // SAFETY: the caller's; the type has a form.
        unsafe {
            let row = weight.data.add(row * weight.stride);
            dequant::to_bytes::<WORDS, 128>(weight.weight_type, row, start, n, to);
        }
    }

    unsafe fn token(x: *const f32, n: usize, to: *mut u32, stride: usize) {
        // SAFETY: the caller's; rows are whole groups.
        unsafe { quantize::<WORDS, O>(x, n, to, stride) }
    }

    #[inline(always)]
    unsafe fn products<const T: usize>(
        weights: *const u32,
        tokens: *const u32,
    ) -> [[__m512i; 2]; T] {
        // SAFETY: the caller's group.
        unsafe {
            let splat = |word: usize, t: usize| {
                _mm512_set1_epi32(*tokens.add(t * (WORDS + 2) + word).cast())
            };
            let mut sums = [[_mm512_setzero_si512(); 2]; T];
            if O::ARE_SIGNS {
                for (t, sums) in sums.iter_mut().enumerate() {
                    *sums = [splat(WORDS + 1, t); 2];
                }
            }
            for word in 0..WORDS {
                let [a, b] = vectors(weights, word);
                for (t, sums) in sums.iter_mut().enumerate() {
                    let x = splat(word, t);
                    *sums =
                        [_mm512_dpbusd_epi32(sums[0], a, x), _mm512_dpbusd_epi32(sums[1], b, x)];
                }
            }
            sums
        }
    }
}
