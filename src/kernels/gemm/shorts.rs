//! Products of 16-bit integers with AVX2, for weights of any quants. Tokens are quantized so finely that hardly anything
//! is lost.

use std::arch::x86_64::*;

use super::super::{Weight, dequant};
use super::integers::Integers;
use super::integers_tile::{Both, here, vectors};
use super::quantize::quantize_narrow;

/// 16-bit integers in groups of so many words, at most 16: the sum of 32 products of a byte and one of them is less
/// than 2^31.
pub(super) struct Shorts<const GROUP: usize, const OFFSETS: bool>;

impl<const GROUP: usize, const OFFSETS: bool> Integers for Shorts<GROUP, OFFSETS> {
    const GROUP: usize = GROUP;
    const PER_WORD: usize = 2;
    const OFFSETS: bool = OFFSETS;
    const TOKENS: usize = 6;

    unsafe fn weights(weight: &Weight, row: usize, start: usize, n: usize, to: *mut u32) {
        // SAFETY: the caller's.
        unsafe {
            let row = weight.data.add(row * weight.stride);
            dequant::to_shorts::<GROUP>(weight.weight_type, row, start, n, to);
        }
    }

    unsafe fn token(x: *const f32, n: usize, to: *mut u32, stride: usize) {
        // SAFETY: the caller's.
        unsafe { quantize_narrow::<GROUP, 2>(x, n, to, stride) }
    }

    #[inline(always)]
    unsafe fn products<const T: usize>(weights: *const u32, tokens: *const u32) -> [Both; T] {
        // SAFETY: the caller's group; the tokens' groups are two words longer than those of quants.
        unsafe {
            let mut sums = [[_mm256_setzero_si256(); 2]; T];
            for word in 0..GROUP {
                let [a, b] = vectors(weights, word);
                for (t, sums) in sums.iter_mut().enumerate() {
                    let x = _mm256_set1_epi32(*tokens.add(t * (GROUP + 2) + word).cast());
                    let [a, b] = [_mm256_madd_epi16(a, x), _mm256_madd_epi16(b, x)];
                    *sums = here([_mm256_add_epi32(sums[0], a), _mm256_add_epi32(sums[1], b)]);
                }
            }
            sums
        }
    }
}
