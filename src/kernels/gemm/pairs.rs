//! Products of bytes with AVX2, for weights of at most 6 bits: those of several words fit into sums of 16 bits.

use std::arch::x86_64::*;

use super::super::{Weight, dequant};
use super::integers::Integers;
use super::integers_tile::{Both, here, vectors};
use super::quantize::quantize_narrow;

/// Bytes in groups of so many words. The products of `DEPTH` words make a sum of 16 bits: 128 times the largest quant,
/// times twice the depth, is less than 2^15. `BIAS` makes quants that have a sign positive.
pub(super) struct Pairs<const GROUP: usize, const DEPTH: usize, const BIAS: u8>;

impl<const GROUP: usize, const DEPTH: usize, const BIAS: u8> Integers
    for Pairs<GROUP, DEPTH, BIAS>
{
    const GROUP: usize = GROUP;
    const PER_WORD: usize = 4;
    const OFFSETS: bool = true;
    const TOKENS: usize = if DEPTH == GROUP { 6 } else { 4 };

    unsafe fn weights(weight: &Weight, row: usize, start: usize, n: usize, to: *mut u32) {
        // SAFETY: the caller's.
        unsafe {
            let row = weight.data.add(row * weight.stride);
            dequant::to_bytes::<GROUP, BIAS>(weight.weight_type, row, start, n, to);
        }
    }

    unsafe fn token(x: *const f32, n: usize, to: *mut u32, stride: usize) {
        // SAFETY: the caller's.
        unsafe { quantize_narrow::<GROUP, 4>(x, n, to, stride) }
    }

    #[inline(always)]
    unsafe fn products<const T: usize>(weights: *const u32, tokens: *const u32) -> [Both; T] {
        // SAFETY: the caller's group.
        unsafe {
            let mut whole = part::<GROUP, DEPTH, T>(weights, tokens, 0);
            for first in (DEPTH..GROUP).step_by(DEPTH) {
                let more = part::<GROUP, DEPTH, T>(weights, tokens, first);
                for (whole, [a, b]) in whole.iter_mut().zip(more) {
                    *whole = [_mm256_add_epi32(whole[0], a), _mm256_add_epi32(whole[1], b)];
                }
            }
            whole
        }
    }
}

/// The products of `DEPTH` words, from `first` on, summed up.
///
/// # Safety
/// As for [`Integers::products`]; there are such words.
#[inline(always)]
unsafe fn part<const GROUP: usize, const DEPTH: usize, const T: usize>(
    weights: *const u32,
    tokens: *const u32,
    first: usize,
) -> [Both; T] {
    // SAFETY: the caller's words; the tokens' groups are two words longer than those of quants.
    unsafe {
        let mut sums = [[_mm256_setzero_si256(); 2]; T];
        for word in first..first + DEPTH {
            let [a, b] = vectors(weights, word);
            for (t, sums) in sums.iter_mut().enumerate() {
                let x = _mm256_set1_epi32(*tokens.add(t * (GROUP + 2) + word).cast());
                let [a, b] = [_mm256_maddubs_epi16(a, x), _mm256_maddubs_epi16(b, x)];
                *sums = here([_mm256_add_epi16(sums[0], a), _mm256_add_epi16(sums[1], b)]);
            }
        }
        let ones = _mm256_set1_epi16(1);
        for [a, b] in &mut sums {
            [*a, *b] = [_mm256_madd_epi16(*a, ones), _mm256_madd_epi16(*b, ones)];
        }
        sums
    }
}
