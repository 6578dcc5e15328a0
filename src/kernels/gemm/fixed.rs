//! The GEMM of 16-bit floats with VNNI: both factors become integers of 14 bits, with a scale for each group of elements.
//! The sums of a group's products are exact. A brain float would lose three bits of an F16, and a product in f32 takes longer.
//!
//! A group is packed into the words of its integers, two in each, and that of its scale: those of weights and of tokens as
//! [`super::bytes`] says.

use std::arch::x86_64::*;

use super::super::vector::TINY;
use super::super::{Level, Weight, dequant};
use super::groups::Groups;
use super::groups_tile::vectors;

/// Elements that have a scale together.
const GROUP: usize = 64;
/// The largest integer: the sum of a group's products is less than 2^31.
const MOST: f32 = 5792.0;
const _: () = assert!(GROUP as f64 * (MOST as f64) * (MOST as f64) < (1u64 << 31) as f64);

/// Products of integers of 14 bits.
pub(super) struct Fixed;

impl Groups for Fixed {
    const GROUP: usize = GROUP;
    const INTEGERS: usize = GROUP / 2;
    const WORDS: usize = GROUP / 2 + 1;
    const OFFSETS: bool = false;
    const ELEMENTS: usize = 512;

    unsafe fn weights(weight: &Weight, row: usize, start: usize, n: usize, to: *mut u32) {
        let mut x = [0f32; Self::ELEMENTS];
        // SAFETY: the caller's elements, of which there are no more.
        unsafe {
            let row = weight.data.add(row * weight.stride);
            dequant::to_f32(Level::Avx512Vnni, weight.weight_type, row, start, n, x.as_mut_ptr());
            quantize(x.as_ptr(), n, to, Self::WORDS);
        }
    }

    unsafe fn token(x: *const f32, n: usize, to: *mut u32, stride: usize) {
        // SAFETY: the caller's.
        unsafe { quantize(x, n, to, stride) }
    }

    #[inline(always)]
    unsafe fn products<const T: usize>(
        weights: *const u32,
        tokens: *const u32,
    ) -> [[__m512i; 2]; T] {
        // SAFETY: the caller's group.
        unsafe {
            let mut sums = [[_mm512_setzero_si512(); 2]; T];
            for word in 0..Self::INTEGERS {
                let [a, b] = vectors(weights, word);
                for (t, sums) in sums.iter_mut().enumerate() {
                    let x = _mm512_set1_epi32(*tokens.add(t * Self::WORDS + word).cast());
                    *sums =
                        [_mm512_dpwssd_epi32(sums[0], a, x), _mm512_dpwssd_epi32(sums[1], b, x)];
                }
            }
            sums
        }
    }
}

/// Quantizes `n` elements in groups, the beginnings of which are `stride` words apart: as fractions of the largest one. If
/// there are NaNs or infinities in a group, its scale is not finite, and so is all that is computed with it.
///
/// # Safety
/// The processor has AVX-512 F, BW, VL and DQ. There are so many elements, and room for the words of their groups.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
unsafe fn quantize(x: *const f32, n: usize, to: *mut u32, stride: usize) {
    const VECTORS: usize = GROUP / 16;
    for (group, first) in (0..n).step_by(GROUP).enumerate() {
        let kept = u64::MAX >> GROUP.saturating_sub(n - first);
        // SAFETY: elements of the caller's, and the words of a group.
        unsafe {
            let (from, to) = (x.wrapping_add(first), to.add(group * stride));
            let mut x = [_mm512_setzero_ps(); VECTORS];
            // As integers, of which those of NaNs are the largest.
            let (mut most, size) = (_mm512_setzero_si512(), _mm512_set1_epi32(i32::MAX));
            for (i, x) in x.iter_mut().enumerate() {
                *x = _mm512_maskz_loadu_ps((kept >> (16 * i)) as u16, from.wrapping_add(16 * i));
                most = _mm512_max_epu32(most, _mm512_and_si512(_mm512_castps_si512(*x), size));
            }
            let largest = f32::from_bits(_mm512_reduce_max_epu32(most));
            let inverse = _mm512_set1_ps(if largest < TINY { 0.0 } else { MOST / largest });
            for (i, x) in x.into_iter().enumerate() {
                let integers = _mm512_cvtps_epi32(_mm512_mul_ps(x, inverse));
                _mm256_storeu_si256(to.add(8 * i).cast(), _mm512_cvtepi32_epi16(integers));
            }
            *to.add(GROUP / 2) = (largest / MOST).to_bits();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::groups_tile::add;
    use super::*;
    use crate::kernels::oracle::{random_floats, rounded};
    use crate::kernels::testing::levels;

    const WORDS: usize = Fixed::WORDS;

    /// Integers and scales of some groups; `None` if the processor cannot.
    fn quantized(x: &[f32]) -> Option<Vec<([i16; GROUP], f32)>> {
        if !levels().contains(&Level::Avx512Vnni) {
            return None;
        }
        let mut words = vec![0; x.len().div_ceil(GROUP) * WORDS];
        // SAFETY: the processor has the level; the elements, and the places of their words.
        unsafe { quantize(x.as_ptr(), x.len(), words.as_mut_ptr(), WORDS) };
        let groups = words.chunks_exact(WORDS).map(|words| {
            let half = |i: usize| (words[i / 2] >> (16 * (i % 2))) as i16;
            (std::array::from_fn(half), f32::from_bits(words[WORDS - 1]))
        });
        Some(groups.collect())
    }

    #[test]
    fn elements_become_fractions_of_the_largest_and_zeros_fill_the_last_group() {
        for n in 1..200 {
            let x = random_floats(n, n as u64);
            let Some(groups) = quantized(&x) else { return };
            for (x, (integers, scale)) in x.chunks(GROUP).zip(groups) {
                let (some, behind) = integers.split_at(x.len());
                let got = some.iter().map(|i| scale * f32::from(*i));
                let step = scale * 1.01;
                assert!(got.zip(rounded(x, MOST)).all(|(got, x)| (got - x).abs() < step));
                assert_eq!(some.iter().map(|i| i.unsigned_abs()).max(), Some(MOST as u16));
                assert!(behind.iter().all(|i| *i == 0));
            }
        }
    }

    #[test]
    fn what_is_too_small_for_an_inverse_is_zeros_and_what_is_no_number_spoils_its_group() {
        for size in [f32::MIN_POSITIVE, 1e-40, 1e-35] {
            let Some(groups) = quantized(&[size; GROUP]) else { return };
            assert_eq!(groups[0].0, [0; GROUP]);
        }
        for wrong in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut x = random_floats(2 * GROUP, 1);
            x[GROUP + 3] = wrong;
            let Some(groups) = quantized(&x) else { return };
            assert!(groups[0].1.is_finite() && !groups[1].1.is_finite(), "{wrong}");
        }
    }

    #[test]
    fn the_largest_sums_fit() {
        if !levels().contains(&Level::Avx512Vnni) {
            return;
        }
        #[target_feature(enable = "avx512f,avx512vnni")]
        unsafe fn sums(words: &[u32], token: &[u32]) -> [f32; 32] {
            let mut sums = [[_mm512_setzero_ps(); 2]];
            // SAFETY: a group of each.
            unsafe {
                add::<Fixed, 1>(&mut sums, words.as_ptr(), token.as_ptr());
                std::mem::transmute(sums)
            }
        }
        for [w, x] in [[2.0, 3.0], [-2.0, 3.0], [-65504.0, -7.0]] {
            let mut of = [[0; WORDS]; 2];
            for (words, x) in of.iter_mut().zip([w, x]) {
                // SAFETY: the processor has the level; a group, and the place of its words.
                unsafe { quantize([x; GROUP].as_ptr(), GROUP, words.as_mut_ptr(), WORDS) };
            }
            let panel: Vec<u32> = of[0].iter().flat_map(|word| [*word; 32]).collect();
            // SAFETY: as above.
            let sums = unsafe { sums(&panel, &of[1]) };
            let expected = w * x * GROUP as f32;
            assert!(sums.iter().all(|sum| (sum / expected - 1.0).abs() < 1e-6), "{sums:?}");
        }
    }
}
