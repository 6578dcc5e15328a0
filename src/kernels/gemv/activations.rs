//! Activations in 8 bits: quantized once for all rows, and laid out as the weights are.

use std::arch::x86_64::*;

use super::layout::{BLOCK, Extra, Layout, QUARTER};
use crate::kernels::vector::TINY;

/// Quantizes one token's activations, `x`, of which there are `width`.
///
/// Each block of 32 has the integers of [`nearest`], and the scale that fits them best. If there are NaNs or infinities in
/// it, its scale is NaN, and so is all that is computed with it.
///
/// # Safety
/// The processor has AVX2; `x` can be read, and `to` be written for [`Layout::bytes`].
#[target_feature(enable = "avx2")]
pub(super) unsafe fn quantize(layout: &Layout, x: *const f32, width: usize, to: *mut u8) {
    for step in 0..layout.steps(width) {
        for block in 0..layout.blocks {
            let at = (step * layout.blocks + block) * BLOCK;
            let slot = layout.slot(block);
            let (unit, part) = (slot / layout.unit_blocks(), slot % layout.unit_blocks());
            // SAFETY: a block of the token, and a unit of the step's place.
            unsafe {
                let x = if at < width { elements(x.add(at)) } else { [_mm256_setzero_ps(); 4] };
                let unit = to.add(step * layout.step_bytes() + unit * layout.unit_bytes());
                quantize_block(layout, x, unit, part);
            }
        }
    }
}

/// The elements of a block.
///
/// # Safety
/// The processor has AVX; they can be read.
#[target_feature(enable = "avx")]
#[inline]
unsafe fn elements(x: *const f32) -> [__m256; 4] {
    let mut elements = [_mm256_setzero_ps(); 4];
    for (i, eight) in elements.iter_mut().enumerate() {
        // SAFETY: the caller promises it.
        *eight = unsafe { _mm256_loadu_ps(x.add(8 * i)) };
    }
    elements
}

/// Quantizes one block, which is a part of a unit.
///
/// # Safety
/// As for [`quantize`]: the unit has place for it.
#[target_feature(enable = "avx2")]
#[inline]
unsafe fn quantize_block(layout: &Layout, x: [__m256; 4], unit: *mut u8, part: usize) {
    let largest = largest(x);
    let inverse = _mm256_set1_ps(if largest < TINY { 0.0 } else { 127.0 / largest });
    let (q, fit) = nearest(x.map(|x| _mm256_mul_ps(x, inverse)));
    let scale = largest / 127.0 * fit;
    let first = _mm256_packs_epi32(q[0], q[1]);
    let second = _mm256_packs_epi32(q[2], q[3]);
    // The elements by fours, the even ones of these in the lower half.
    let mixed = _mm256_packs_epi16(first, second);
    let bytes = _mm256_permutevar8x32_epi32(mixed, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));

    // A quarter of two vectors, or two quarters of one; each with four lanes of scales.
    let (first, second, lanes) = match layout.vectors {
        2 => (QUARTER * part, layout.vector, QUARTER),
        _ => (2 * QUARTER * part, QUARTER, 2 * QUARTER),
    };
    let scales = _mm_set1_ps(scale);
    // SAFETY: all of it is within the unit.
    unsafe {
        let halves = [_mm256_castsi256_si128(bytes), _mm256_extracti128_si256::<1>(bytes)];
        _mm_storeu_si128(unit.add(first).cast(), halves[0]);
        _mm_storeu_si128(unit.add(first + second).cast(), halves[1]);
        let (at, extra) = (unit.add(layout.scales_at()), unit.add(layout.extra_at()));
        for lane in (0..lanes).step_by(QUARTER) {
            _mm_storeu_ps(at.add(lanes * part + lane).cast(), scales);
        }
        if layout.extra == Extra::None {
            return;
        }
        let mut sums = halves.map(|half| fours(half));
        if layout.vectors == 2 {
            sums[0] = _mm_add_epi32(sums[0], sums[1]);
        }
        for (lane, sums) in (0..lanes).step_by(QUARTER).zip(sums) {
            let extra = extra.add(lanes * part + lane);
            match layout.extra {
                Extra::None => {}
                Extra::Lanes(offset) => {
                    _mm_storeu_si128(extra.cast(), _mm_mullo_epi32(sums, _mm_set1_epi32(-offset)));
                }
                Extra::Quarters(factor) => {
                    let two = _mm_hadd_epi32(sums, sums);
                    let sum = _mm_cvtepi32_ps(_mm_hadd_epi32(two, two));
                    let scale = _mm_set1_ps(scale * factor as f32);
                    _mm_storeu_ps(extra.cast(), _mm_mul_ps(sum, scale));
                }
            }
        }
    }
}

/// Integers for a block that is scaled so that its largest element is 127 or -127: these or those where that one is 125,
/// whichever leaves less of the block; and the factor that, times them, is nearest to it (least squares). What is left is a
/// tenth less than with the first integers and no factor.
#[target_feature(enable = "avx2")]
#[inline]
fn nearest(y: [__m256; 4]) -> ([__m256i; 4], f32) {
    let smaller = _mm256_set1_ps(125.0 / 127.0);
    let first = y.map(|y| _mm256_cvtps_epi32(y));
    let second = y.map(|y| _mm256_cvtps_epi32(_mm256_mul_ps(y, smaller)));
    let four = _mm256_hadd_ps(sums(y, first), sums(y, second));
    let four = _mm_add_ps(_mm256_castps256_ps128(four), _mm256_extractf128_ps::<1>(four));
    // Of both.
    let products = _mm_shuffle_ps::<0b10_00_10_00>(four, four);
    let squares = _mm_shuffle_ps::<0b11_01_11_01>(four, four);
    let are_any = _mm_cmpgt_ps(squares, _mm_setzero_ps());
    let fits = _mm_and_ps(_mm_div_ps(products, squares), are_any);
    let taken = _mm_mul_ps(fits, products);
    let is_second = _mm_cmpgt_ps(_mm_movehdup_ps(taken), taken);
    let fit = _mm_blendv_ps(fits, _mm_movehdup_ps(fits), is_second);
    let mask = _mm256_castps_si256(_mm256_broadcastss_ps(is_second));
    let mut q = first;
    for (q, second) in q.iter_mut().zip(second) {
        *q = _mm256_blendv_epi8(*q, second, mask);
    }
    (q, _mm_cvtss_f32(fit))
}

/// Sums of the products of a block with its integers, and of their squares: two each, in both halves.
#[target_feature(enable = "avx2")]
#[inline]
fn sums(y: [__m256; 4], q: [__m256i; 4]) -> __m256 {
    let (mut yq, mut qq) = (_mm256_setzero_ps(), _mm256_setzero_ps());
    for (y, q) in y.into_iter().zip(q) {
        let q = _mm256_cvtepi32_ps(q);
        yq = _mm256_add_ps(yq, _mm256_mul_ps(y, q));
        qq = _mm256_add_ps(qq, _mm256_mul_ps(q, q));
    }
    _mm256_hadd_ps(yq, qq)
}

/// The largest size of an element; NaN if there is one.
#[target_feature(enable = "avx2")]
#[inline]
fn largest(x: [__m256; 4]) -> f32 {
    // As integers, of which those of NaNs are the largest.
    let mask = _mm256_set1_epi32(i32::MAX);
    let size = x.map(|x| _mm256_and_si256(_mm256_castps_si256(x), mask));
    let two = [_mm256_max_epu32(size[0], size[1]), _mm256_max_epu32(size[2], size[3])];
    let eight = _mm256_max_epu32(two[0], two[1]);
    let upper = _mm256_extracti128_si256::<1>(eight);
    let four = _mm_max_epu32(_mm256_castsi256_si128(eight), upper);
    let two = _mm_max_epu32(four, _mm_shuffle_epi32::<0b01_00_11_10>(four));
    let one = _mm_max_epu32(two, _mm_shuffle_epi32::<0b10_11_00_01>(two));
    f32::from_bits(_mm_cvtsi128_si32(one) as u32)
}

/// The sums of bytes by fours.
#[target_feature(enable = "avx2")]
#[inline]
fn fours(bytes: __m128i) -> __m128i {
    let pairs = _mm_maddubs_epi16(_mm_set1_epi8(1), bytes);
    _mm_madd_epi16(pairs, _mm_set1_epi16(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::oracle::{assert_nearest, random_floats};
    use crate::kernels::testing::levels;

    #[test]
    fn blocks_become_the_nearest_bytes() {
        if levels().is_empty() {
            return;
        }
        for seed in 0..500 {
            let mut x = random_floats(BLOCK, seed);
            x[seed as usize % BLOCK] *= 1.0 + (seed % 7) as f32;
            let largest = x.iter().fold(0.0f32, |largest, x| largest.max(x.abs()));
            let y: Vec<f32> = x.iter().map(|x| x * (127.0 / largest)).collect();
            // SAFETY: every level has AVX2; a block is four vectors.
            let (q, fit) = unsafe { nearest(elements(y.as_ptr())) };
            // SAFETY: vectors of integers.
            let q: [i32; BLOCK] = unsafe { std::mem::transmute(q) };
            assert_nearest(&x, &q.map(|q| q as i8), largest / 127.0 * fit);
        }
    }
}
