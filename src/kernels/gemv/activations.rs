//! Activations in 8 bits: quantized once for all rows, and laid out as the weights are.

use std::arch::x86_64::*;

use super::layout::{BLOCK, Layout};

/// Quantizes one token's activations, `x`, of which there are `width`.
///
/// Each block of 32 has the scale that makes its largest element 127 or -127. If there are NaNs or infinities in it, so
/// is the scale, and all that is computed with it.
///
/// # Safety
/// The processor has AVX-512 F, BW, VL and DQ; `x` can be read, and `to` be written for [`Layout::bytes`].
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
pub(super) unsafe fn quantize(layout: &Layout, x: *const f32, width: usize, to: *mut u8) {
    for step in 0..layout.steps(width) {
        // SAFETY: blocks of the token, and a step of its place.
        unsafe {
            let to = to.add(step * layout.step_bytes());
            for block in 0..layout.blocks {
                let at = (step * layout.blocks + block) * BLOCK;
                let x = if at < width { elements(x.add(at)) } else { [_mm512_setzero_ps(); 2] };
                quantize_block(layout, x, block, to);
            }
            if layout.offset != 0 || layout.sums {
                for unit in 0..layout.units() {
                    sum_unit(layout, to.add(unit * layout.unit_bytes()));
                }
            }
        }
    }
}

/// The elements of a block.
///
/// # Safety
/// The processor has AVX-512 F; they can be read.
#[target_feature(enable = "avx512f")]
#[inline]
unsafe fn elements(x: *const f32) -> [__m512; 2] {
    // SAFETY: the caller promises it.
    unsafe { [_mm512_loadu_ps(x), _mm512_loadu_ps(x.add(16))] }
}

/// Quantizes one block of a step.
///
/// # Safety
/// As for [`quantize`]; `to` is the step.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
#[inline]
unsafe fn quantize_block(layout: &Layout, x: [__m512; 2], block: usize, to: *mut u8) {
    // As integers, so that the largest is NaN if there is one.
    let size = x.map(|x| _mm512_castps_si512(_mm512_abs_ps(x)));
    let largest = _mm512_reduce_max_epu32(_mm512_max_epu32(size[0], size[1]));
    let largest = f32::from_bits(largest);
    let inverse = _mm512_set1_ps(if largest > 0.0 { 127.0 / largest } else { 0.0 });
    let quants = x.map(|x| _mm512_cvtps_epi32(_mm512_mul_ps(x, inverse)));
    let bytes = quants.map(|q| _mm512_cvtepi32_epi8(q));

    let slot = layout.slot(block);
    let (unit, part) = (slot / (2 * layout.vectors), slot % (2 * layout.vectors));
    // A quarter of two vectors, or two quarters of one.
    let (first, second) = if layout.vectors == 2 { (16 * part, 64) } else { (32 * part, 16) };
    let scale = _mm256_set1_ps(largest / 127.0);
    // SAFETY: all of it is within the unit.
    unsafe {
        let unit = to.add(unit * layout.unit_bytes());
        _mm_storeu_si128(unit.add(first).cast(), bytes[0]);
        _mm_storeu_si128(unit.add(first + second).cast(), bytes[1]);
        let scales: *mut f32 = unit.add(layout.scales_at()).cast();
        if layout.vectors == 2 {
            _mm_storeu_ps(scales.add(4 * part), _mm256_castps256_ps128(scale));
        } else {
            _mm256_storeu_ps(scales.add(8 * part), scale);
        }
    }
}

/// Sums up a unit, as its layout needs it.
///
/// # Safety
/// As for [`quantize`]; all blocks of the unit are there.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
#[inline]
unsafe fn sum_unit(layout: &Layout, unit: *mut u8) {
    let ones = _mm512_set1_epi8(1);
    // SAFETY: all of it is within the unit.
    unsafe {
        let mut pairs = _mm512_maddubs_epi16(ones, _mm512_loadu_si512(unit.cast()));
        if layout.vectors == 2 {
            let second = _mm512_loadu_si512(unit.add(64).cast());
            pairs = _mm512_add_epi16(pairs, _mm512_maddubs_epi16(ones, second));
        }
        if layout.offset != 0 {
            let offsets = _mm512_madd_epi16(pairs, _mm512_set1_epi16(-layout.offset as i16));
            _mm512_storeu_si512(unit.add(layout.offsets_at()).cast(), offsets);
        }
        if layout.sums {
            let lanes = _mm512_madd_epi16(pairs, _mm512_set1_epi16(1));
            let two = _mm512_add_epi32(lanes, _mm512_shuffle_epi32::<0b10_11_00_01>(lanes));
            let four = _mm512_add_epi32(two, _mm512_shuffle_epi32::<0b01_00_11_10>(two));
            let scales = _mm512_loadu_ps(unit.add(layout.scales_at()).cast());
            let sums = _mm512_mul_ps(_mm512_cvtepi32_ps(four), scales);
            _mm512_storeu_ps(unit.add(layout.sums_at()).cast(), sums);
        }
    }
}
