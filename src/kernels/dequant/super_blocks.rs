//! The types with blocks of 256 elements: one scale for the block, small integer ones for its groups of 16 or 32.

use std::arch::x86_64::*;

use super::blocks::{Block, half, load, nibbles, non_linear};
use super::sink::{Sink, split};

pub(super) struct Q2K;
pub(super) struct Q3K;
pub(super) struct Q4K;
pub(super) struct Q5K;
pub(super) struct Q6K;
pub(super) struct Iq4Xs;

impl Block for Q2K {
    const ELEMENTS: usize = 256;
    const BYTES: usize = 84;

    #[inline(always)]
    unsafe fn decode<S: Sink>(block: *const u8, to: S) {
        // SAFETY: a whole block.
        unsafe {
            let (both, low) = (load(block), _mm_set1_epi8(15));
            let scales = times_16(half(block.add(80)), _mm_and_si128(both, low));
            let mins = _mm_and_si128(_mm_srli_epi16::<4>(both), low);
            let offsets = times_16(-half(block.add(82)), mins);
            for big in 0..2 {
                let mut q = load_32(block.add(16 + 32 * big));
                for part in 0..4 {
                    let group = 8 * big + 2 * part;
                    let scale = [scales[group], scales[group + 1]];
                    let offset = [offsets[group], offsets[group + 1]];
                    let two_bits = _mm256_and_si256(q, _mm256_set1_epi8(3));
                    to.shifted(128 * big + 32 * part, split(two_bits), scale, offset);
                    q = _mm256_srli_epi16::<2>(q);
                }
            }
        }
    }
}

impl Block for Q3K {
    const ELEMENTS: usize = 256;
    const BYTES: usize = 110;

    #[inline(always)]
    unsafe fn decode<S: Sink>(block: *const u8, to: S) {
        // SAFETY: a whole block.
        unsafe {
            let scales = times_16(half(block.add(108)), q3_scales(block.add(96)));
            let mut high = load_32(block);
            for big in 0..2 {
                let mut q = load_32(block.add(32 + 32 * big));
                for part in 0..4 {
                    let group = 8 * big + 2 * part;
                    let low = _mm256_and_si256(q, _mm256_set1_epi8(3));
                    let third = _mm256_and_si256(_mm256_slli_epi16::<2>(high), _mm256_set1_epi8(4));
                    let signed = _mm256_sub_epi8(_mm256_or_si256(low, third), _mm256_set1_epi8(4));
                    let scale = [scales[group], scales[group + 1]];
                    to.scaled(128 * big + 32 * part, split(signed), scale);
                    q = _mm256_srli_epi16::<2>(q);
                    high = _mm256_srli_epi16::<1>(high);
                }
            }
        }
    }
}

impl Block for Q4K {
    const ELEMENTS: usize = 256;
    const BYTES: usize = 144;

    #[inline(always)]
    unsafe fn decode<S: Sink>(block: *const u8, to: S) {
        // SAFETY: a whole block.
        unsafe {
            let (scales, offsets) = scales_and_offsets(block);
            let nibble = _mm256_set1_epi8(15);
            for pair in 0..4 {
                let q = load_32(block.add(16 + 32 * pair));
                let low = _mm256_and_si256(q, nibble);
                let high = _mm256_and_si256(_mm256_srli_epi16::<4>(q), nibble);
                for (q, part) in [(low, 2 * pair), (high, 2 * pair + 1)] {
                    to.even::<4>(32 * part, q, scales[part], offsets[part]);
                }
            }
        }
    }
}

impl Block for Q5K {
    const ELEMENTS: usize = 256;
    const BYTES: usize = 176;

    #[inline(always)]
    unsafe fn decode<S: Sink>(block: *const u8, to: S) {
        // SAFETY: a whole block.
        unsafe {
            let (scales, offsets) = scales_and_offsets(block);
            let (nibble, fifth) = (_mm256_set1_epi8(15), _mm256_set1_epi8(16));
            let mut bits = load_32(block.add(16));
            for pair in 0..4 {
                let q = load_32(block.add(48 + 32 * pair));
                let low = _mm256_and_si256(q, nibble);
                let low_bit = _mm256_and_si256(_mm256_slli_epi16::<4>(bits), fifth);
                let high = _mm256_and_si256(_mm256_srli_epi16::<4>(q), nibble);
                let high_bit = _mm256_and_si256(_mm256_slli_epi16::<3>(bits), fifth);
                bits = _mm256_srli_epi16::<2>(bits);
                for (q, bit, part) in [(low, low_bit, 2 * pair), (high, high_bit, 2 * pair + 1)] {
                    let q = _mm256_or_si256(q, bit);
                    to.even::<5>(32 * part, q, scales[part], offsets[part]);
                }
            }
        }
    }
}

impl Block for Q6K {
    const ELEMENTS: usize = 256;
    const BYTES: usize = 210;

    #[inline(always)]
    unsafe fn decode<S: Sink>(block: *const u8, to: S) {
        // SAFETY: a whole block.
        unsafe {
            let scales = times_16(half(block.add(208)), load(block.add(192)));
            let (nibble, two_bits) = (_mm256_set1_epi8(15), _mm256_set1_epi8(0x30));
            for big in 0..2 {
                let first = load_32(block.add(64 * big));
                let second = load_32(block.add(64 * big + 32));
                let bits = load_32(block.add(128 + 32 * big));
                let parts = [
                    (first, _mm256_slli_epi16::<4>(bits)),
                    (second, _mm256_slli_epi16::<2>(bits)),
                    (_mm256_srli_epi16::<4>(first), bits),
                    (_mm256_srli_epi16::<4>(second), _mm256_srli_epi16::<2>(bits)),
                ];
                for (part, (low, high)) in parts.into_iter().enumerate() {
                    let group = 8 * big + 2 * part;
                    let (low, high) =
                        (_mm256_and_si256(low, nibble), _mm256_and_si256(high, two_bits));
                    let q = _mm256_sub_epi8(_mm256_or_si256(low, high), _mm256_set1_epi8(32));
                    let scale = [scales[group], scales[group + 1]];
                    to.scaled(128 * big + 32 * part, split(q), scale);
                }
            }
        }
    }
}

impl Block for Iq4Xs {
    const ELEMENTS: usize = 256;
    const BYTES: usize = 136;

    #[inline(always)]
    unsafe fn decode<S: Sink>(block: *const u8, to: S) {
        // SAFETY: a whole block.
        unsafe {
            // Of the eight scales, 4 bits each lie in one word, 2 bits each in another.
            let low = _mm256_set1_epi32(block.add(4).cast::<i32>().read_unaligned());
            let low = _mm256_srlv_epi32(low, _mm256_setr_epi32(0, 4, 8, 12, 16, 20, 24, 28));
            let low = _mm256_and_si256(low, _mm256_set1_epi32(15));
            let high = i32::from(block.add(2).cast::<u16>().read_unaligned()) << 4;
            let high = _mm256_set1_epi32(high);
            let high = _mm256_srlv_epi32(high, _mm256_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14));
            let high = _mm256_and_si256(high, _mm256_set1_epi32(0x30));
            let six = _mm256_sub_epi32(_mm256_or_si256(low, high), _mm256_set1_epi32(32));
            let scales = times(half(block), six);
            for (part, scale) in scales.into_iter().enumerate() {
                let q = nibbles(block.add(8 + 16 * part));
                to.looked_up(32 * part, q, non_linear(), scale);
            }
        }
    }
}

/// 32 bytes.
///
/// # Safety
/// They can be read, and the processor has AVX2.
#[inline(always)]
unsafe fn load_32(at: *const u8) -> __m256i {
    // SAFETY: the caller's.
    unsafe { _mm256_loadu_si256(at.cast()) }
}

/// The scales of a block's 16 groups: theirs, signed bytes, times the block's.
///
/// # Safety
/// The processor has AVX2.
#[inline(always)]
unsafe fn times_16(scale: f32, groups: __m128i) -> [f32; 16] {
    // SAFETY: the caller's.
    unsafe {
        let low = times(scale, _mm256_cvtepi8_epi32(groups));
        let high = times(scale, _mm256_cvtepi8_epi32(_mm_unpackhi_epi64(groups, groups)));
        std::mem::transmute::<[[f32; 8]; 2], [f32; 16]>([low, high])
    }
}

/// The scales of eight groups: theirs times the block's.
///
/// # Safety
/// The processor has AVX2.
#[inline(always)]
unsafe fn times(scale: f32, groups: __m256i) -> [f32; 8] {
    // SAFETY: the caller's; the vector is eight floats.
    unsafe {
        let product = _mm256_mul_ps(_mm256_set1_ps(scale), _mm256_cvtepi32_ps(groups));
        std::mem::transmute::<__m256, [f32; 8]>(product)
    }
}

/// The scales of eight groups, and what is added to each of their elements, in the types Q4_K and Q5_K. The groups'
/// scales and minima take 6 bits each: in the low bits of the first eight bytes for four groups; for the others their
/// low halves share the last four bytes, and what remains lies in the high bits of the first eight.
///
/// # Safety
/// The block's first 16 bytes can be read, and the processor has AVX2 and F16C.
#[inline(always)]
unsafe fn scales_and_offsets(block: *const u8) -> ([f32; 8], [f32; 8]) {
    // SAFETY: the caller's.
    unsafe {
        let [scales, mins, last] = block.add(4).cast::<[u32; 3]>().read_unaligned();
        let top = |x: u32| x >> 2 & 0x3030_3030;
        let join = |first: u32, later: u32| {
            (u64::from(first & 0x3f3f_3f3f) | u64::from(later) << 32) as i64
        };
        let scales = join(scales, last & 0x0f0f_0f0f | top(scales));
        let mins = join(mins, last >> 4 & 0x0f0f_0f0f | top(mins));
        let scales = _mm256_cvtepu8_epi32(_mm_cvtsi64_si128(scales));
        let mins = _mm256_cvtepu8_epi32(_mm_cvtsi64_si128(mins));
        (times(half(block), scales), times(-half(block.add(2)), mins))
    }
}

/// The scales of the 16 groups of a block of Q3_K: 4 bits each in the first eight of 12 bytes, 2 in the last four.
///
/// # Safety
/// The 12 bytes can be read, and the processor has AVX2.
#[inline(always)]
unsafe fn q3_scales(at: *const u8) -> __m128i {
    // SAFETY: the caller's.
    unsafe {
        let low = at.cast::<i64>().read_unaligned();
        let low = _mm_and_si128(_mm_set_epi64x(low >> 4, low), _mm_set1_epi8(15));
        let high = _mm_set1_epi32(at.add(8).cast::<i32>().read_unaligned());
        let high = _mm_srlv_epi32(high, _mm_setr_epi32(0, 2, 4, 6));
        let high = _mm_slli_epi16::<4>(_mm_and_si128(high, _mm_set1_epi8(3)));
        _mm_sub_epi8(_mm_or_si128(low, high), _mm_set1_epi8(32))
    }
}
