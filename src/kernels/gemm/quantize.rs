//! Tokens as bytes.

use std::arch::x86_64::*;

use super::bytes::Offsets;

/// Quantizes `n` elements in groups of so many words, the beginnings of which are `stride` words apart. Each group has the scale that makes its largest element 127 or
/// -127. If there are NaNs or infinities in it, so is the scale, and all that is computed with it.
///
/// # Safety
/// The processor has AVX-512 F, BW, VL, DQ and VNNI. The elements are whole groups, and there is room for their words.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
pub(super) unsafe fn quantize<const GROUP: usize, O: Offsets>(
    x: *const f32,
    n: usize,
    to: *mut u32,
    stride: usize,
) {
    for group in 0..n / (4 * GROUP) {
        // SAFETY: a group of the caller's.
        unsafe {
            let (x, to) = (x.add(group * 4 * GROUP), to.add(group * stride));
            let low = _mm512_loadu_ps(x);
            let high = if GROUP == 8 { _mm512_loadu_ps(x.add(16)) } else { low };
            let largest = largest(low, high);
            let scale = largest / 127.0;
            let inverse = _mm512_set1_ps(if largest > 0.0 { 127.0 / largest } else { 0.0 });
            let mut sum = bytes(low, inverse, to);
            if GROUP == 8 {
                sum = _mm_add_epi32(sum, bytes(high, inverse, to.add(4)));
            }
            let two = _mm_add_epi32(sum, _mm_shuffle_epi32::<0b01_00_11_10>(sum));
            let one = _mm_add_epi32(two, _mm_shuffle_epi32::<0b10_11_00_01>(two));
            let sum = _mm_cvtsi128_si32(one);
            *to.add(GROUP) = scale.to_bits();
            *to.add(GROUP + 1) =
                if O::ARE_SIGNS { (-128 * sum) as u32 } else { (scale * sum as f32).to_bits() };
        }
    }
}

/// Leaves 16 elements as bytes; gives sums of four of them.
///
/// # Safety
/// There is room for 16 bytes.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
#[inline]
unsafe fn bytes(x: __m512, inverse: __m512, to: *mut u32) -> __m128i {
    let q = _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(_mm512_mul_ps(x, inverse)));
    // SAFETY: the caller's.
    unsafe { _mm_storeu_si128(to.cast(), q) }
    _mm_dpbusd_epi32(_mm_setzero_si128(), _mm_set1_epi8(1), q)
}

/// The largest size of an element; NaN if there is one.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
#[inline]
fn largest(low: __m512, high: __m512) -> f32 {
    // As integers, of which those of NaNs are the largest.
    let mask = _mm512_set1_epi32(i32::MAX);
    let [low, high] = [low, high].map(|x| _mm512_and_si512(_mm512_castps_si512(x), mask));
    f32::from_bits(_mm512_reduce_max_epu32(_mm512_max_epu32(low, high)))
}
