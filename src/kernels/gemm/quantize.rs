//! Tokens as integers: bytes, or 16 bits.

use std::arch::x86_64::*;

use super::bytes::Offsets;
use crate::kernels::vector::TINY;

#[cfg(test)]
#[path = "quantize_tests.rs"]
mod tests;

/// Quantizes `n` elements in groups of so many words, the beginnings of which are `stride` words apart: to the integers of
/// [`nearest`] with the scale that fits them best, or to those of which the largest is 127 or -127. If there are NaNs or
/// infinities in a group, its scale is not finite, and so is all that is computed with it.
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
            let inverse = _mm512_set1_ps(if largest < TINY { 0.0 } else { 127.0 / largest });
            let y = [_mm512_mul_ps(low, inverse), _mm512_mul_ps(high, inverse)];
            let (q, fit) = if GROUP == 8 && O::ARE_NEAREST {
                nearest(y)
            } else {
                ([_mm512_cvtps_epi32(y[0]), _mm512_cvtps_epi32(y[1])], 1.0)
            };
            let scale = largest / 127.0 * fit;
            let mut sum = bytes(q[0], to);
            if GROUP == 8 {
                sum = _mm_add_epi32(sum, bytes(q[1], to.add(4)));
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

/// Integers for a group that is scaled so that its largest element is 127 or -127: these or those where that one is 125,
/// whichever leaves less of the group; and the factor that, times them, is nearest to it (least squares). What is left is a
/// tenth less than with the first integers and no factor.
#[target_feature(enable = "avx512f,avx512vl,avx512dq")]
#[inline]
fn nearest(y: [__m512; 2]) -> ([__m512i; 2], f32) {
    // Nothing is called for each element of an array here: the compiler would not always inline it.
    let smaller = _mm512_set1_ps(125.0 / 127.0);
    let first = [_mm512_cvtps_epi32(y[0]), _mm512_cvtps_epi32(y[1])];
    let second = [_mm512_mul_ps(y[0], smaller), _mm512_mul_ps(y[1], smaller)];
    let second = [_mm512_cvtps_epi32(second[0]), _mm512_cvtps_epi32(second[1])];
    let ([ya, qa], [yb, qb]) = (sums(y, first), sums(y, second));
    // Those of the first integers in the lower half, those of the second in the upper one.
    let (yq, qq) = (halves(ya, yb), halves(qa, qb));
    let eight = _mm512_add_ps(_mm512_unpacklo_ps(yq, qq), _mm512_unpackhi_ps(yq, qq));
    let four = _mm512_add_ps(eight, _mm512_shuffle_f32x4::<0b10_11_00_01>(eight, eight));
    let two = _mm512_add_ps(four, _mm512_permute_ps::<0b01_00_11_10>(four));
    let both = _mm_unpacklo_ps(_mm512_castps512_ps128(two), _mm512_extractf32x4_ps::<2>(two));
    let squares = _mm_movehl_ps(both, both);
    let is_any = _mm_cmp_ps_mask::<_CMP_GT_OQ>(squares, _mm_setzero_ps());
    let fits = _mm_maskz_div_ps(is_any, both, squares);
    let taken = _mm_mul_ps(fits, both);
    let is_second = _mm_cmp_ps_mask::<_CMP_GT_OQ>(_mm_movehdup_ps(taken), taken) & 1;
    let mask = u16::from(is_second).wrapping_neg();
    let q = [
        _mm512_mask_blend_epi32(mask, first[0], second[0]),
        _mm512_mask_blend_epi32(mask, first[1], second[1]),
    ];
    (q, _mm_cvtss_f32(_mm_mask_movehdup_ps(fits, is_second, fits)))
}

/// Sums of the products of a group with its integers, and of their squares, lane by lane.
#[target_feature(enable = "avx512f,avx512dq")]
#[inline]
fn sums(y: [__m512; 2], q: [__m512i; 2]) -> [__m512; 2] {
    let (low, high) = (_mm512_cvtepi32_ps(q[0]), _mm512_cvtepi32_ps(q[1]));
    let (yq, qq) = (_mm512_mul_ps(y[0], low), _mm512_mul_ps(low, low));
    [_mm512_fmadd_ps(y[1], high, yq), _mm512_fmadd_ps(high, high, qq)]
}

/// The halves of one vector added, and those of another behind them.
#[target_feature(enable = "avx512f,avx512dq")]
#[inline]
fn halves(a: __m512, b: __m512) -> __m512 {
    let lower = _mm512_shuffle_f32x4::<0b01_00_01_00>(a, b);
    _mm512_add_ps(lower, _mm512_shuffle_f32x4::<0b11_10_11_10>(a, b))
}

/// Leaves 16 integers as bytes; gives sums of four of them.
///
/// # Safety
/// There is room for 16 bytes.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
#[inline]
unsafe fn bytes(q: __m512i, to: *mut u32) -> __m128i {
    let q = _mm512_cvtepi32_epi8(q);
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

/// As [`quantize`], for weights of [`Any`](super::bytes::Any) offset: to bytes, four in a word, or to 16 bits, two.
///
/// # Safety
/// The processor has AVX2. As for [`quantize`].
#[target_feature(enable = "avx2")]
pub(super) unsafe fn quantize_narrow<const GROUP: usize, const PER_WORD: usize>(
    x: *const f32,
    n: usize,
    to: *mut u32,
    stride: usize,
) {
    let most = if PER_WORD == 4 { 127.0 } else { 32767.0 };
    let vectors = PER_WORD * GROUP / 8;
    for group in 0..n / (PER_WORD * GROUP) {
        // SAFETY: a group of the caller's.
        unsafe {
            let (x, to) = (x.add(group * PER_WORD * GROUP), to.add(group * stride));
            let (scale, inverse) = scale_of(x, vectors, most);
            let mut sum = _mm256_setzero_si256();
            for i in 0..vectors {
                let q = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(x.add(8 * i)), inverse));
                sum = _mm256_add_epi32(sum, q);
                let q =
                    _mm_packs_epi32(_mm256_castsi256_si128(q), _mm256_extracti128_si256::<1>(q));
                let to = to.add(8 / PER_WORD * i).cast();
                if PER_WORD == 4 {
                    _mm_storel_epi64(to, _mm_packs_epi16(q, q));
                } else {
                    _mm_storeu_si128(to, q);
                }
            }
            *to.add(GROUP) = scale.to_bits();
            let sum = reduced(sum, |a, b| _mm_add_epi32(a, b));
            *to.add(GROUP + 1) = (scale * sum as f32).to_bits();
        }
    }
}

/// All integers of a vector together.
#[target_feature(enable = "avx2")]
#[inline]
fn reduced(x: __m256i, join: impl Fn(__m128i, __m128i) -> __m128i) -> i32 {
    let four = join(_mm256_castsi256_si128(x), _mm256_extracti128_si256::<1>(x));
    let two = join(four, _mm_shuffle_epi32::<0b01_00_11_10>(four));
    _mm_cvtsi128_si32(join(two, _mm_shuffle_epi32::<0b10_11_00_01>(two)))
}

/// What makes the largest of some vectors `most` or `-most`, and its inverse.
///
/// # Safety
/// The processor has AVX2, and the vectors are there.
#[target_feature(enable = "avx2")]
#[inline]
unsafe fn scale_of(x: *const f32, vectors: usize, most: f32) -> (f32, __m256) {
    let (mut largest, size) = (_mm256_setzero_si256(), _mm256_set1_epi32(i32::MAX));
    for i in 0..vectors {
        // SAFETY: the caller's vector.
        let x = unsafe { _mm256_loadu_si256(x.add(8 * i).cast()) };
        // As integers, of which those of NaNs are the largest.
        largest = _mm256_max_epu32(largest, _mm256_and_si256(x, size));
    }
    let largest = f32::from_bits(reduced(largest, |a, b| _mm_max_epu32(a, b)) as u32);
    let inverse = if largest > 0.0 { most / largest } else { 0.0 };
    (largest / most, _mm256_set1_ps(inverse))
}
