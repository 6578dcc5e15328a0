//! Tokens as integers: bytes, or 16 bits.

use std::arch::x86_64::*;

use super::bytes::Offsets;

/// Quantizes `n` elements in groups of so many words, the beginnings of which are `stride` words apart. Each group has the
/// scale that makes its largest element 127 or -127. If there are NaNs or infinities in it, so is the scale, and all that
/// is computed with it.
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
