//! What is done with 16 floats at a time: brain floats, transposition.

use std::arch::x86_64::*;

/// 32 floats as brain floats, and as brain floats what these leave of them.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
pub(crate) fn in_two_parts(x: [__m512; 2]) -> [__m512i; 2] {
    let left = x.map(|x| {
        // SAFETY: the vector only changes its name.
        let near = unsafe { std::mem::transmute::<__m256bh, __m256i>(_mm512_cvtneps_pbh(x)) };
        // A brain float is the first half of a float.
        let near = _mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(near));
        _mm512_sub_ps(x, _mm512_castsi512_ps(near))
    });
    [brain_floats(x), brain_floats(left)]
}

/// 32 floats as brain floats.
#[inline]
#[target_feature(enable = "avx512f,avx512bf16")]
pub(crate) fn brain_floats([low, high]: [__m512; 2]) -> __m512i {
    // SAFETY: the vector only changes its name.
    unsafe { std::mem::transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(high, low)) }
}

/// The first `n` of 16 lanes; all of them, if there are more.
#[inline]
pub(crate) fn first(n: usize) -> u16 {
    if n < 16 { (1 << n) - 1 } else { u16::MAX }
}

/// Up to 16 rows of up to 16 floats become columns. Of each of the `width` rows that are written, `filled` floats are:
/// those beyond `rows` are zeros.
///
/// # Safety
/// The processor has AVX-512 F; `rows` rows of `width` floats can be read, and `width` rows of `filled` be written.
#[inline]
#[target_feature(enable = "avx512f")]
pub(crate) unsafe fn transpose(
    from: *const f32,
    stride: usize,
    [rows, width]: [usize; 2],
    to: *mut f32,
    to_stride: usize,
    filled: usize,
) {
    let mut x = [_mm512_setzero_ps(); 16];
    for (i, x) in x.iter_mut().enumerate().take(rows) {
        // SAFETY: a row that can be read; the mask ends with it.
        *x = unsafe { _mm512_maskz_loadu_ps(first(width), from.add(i * stride)) };
    }
    for (j, x) in transposed(x).iter().enumerate().take(width) {
        // SAFETY: a row that can be written; the mask ends with it.
        unsafe { _mm512_mask_storeu_ps(to.add(j * to_stride), first(filled), *x) };
    }
}

/// Rows become columns.
#[inline]
#[target_feature(enable = "avx512f")]
fn transposed(x: [__m512; 16]) -> [__m512; 16] {
    let mut y = [_mm512_setzero_ps(); 16];
    let mut x = x;
    for i in 0..8 {
        y[2 * i] = _mm512_unpacklo_ps(x[2 * i], x[2 * i + 1]);
        y[2 * i + 1] = _mm512_unpackhi_ps(x[2 * i], x[2 * i + 1]);
    }
    let double = |x: __m512| _mm512_castps_pd(x);
    for i in 0..4 {
        let [a, b, c, d] = [y[4 * i], y[4 * i + 1], y[4 * i + 2], y[4 * i + 3]].map(double);
        x[4 * i] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, c));
        x[4 * i + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, c));
        x[4 * i + 2] = _mm512_castpd_ps(_mm512_unpacklo_pd(b, d));
        x[4 * i + 3] = _mm512_castpd_ps(_mm512_unpackhi_pd(b, d));
    }
    // Now x[4 i + j] holds, in its part l, column 4 l + j of the rows from 4 i on.
    for j in 0..4 {
        let a = _mm512_shuffle_f32x4::<0x44>(x[j], x[4 + j]);
        let b = _mm512_shuffle_f32x4::<0xee>(x[j], x[4 + j]);
        let c = _mm512_shuffle_f32x4::<0x44>(x[8 + j], x[12 + j]);
        let d = _mm512_shuffle_f32x4::<0xee>(x[8 + j], x[12 + j]);
        y[j] = _mm512_shuffle_f32x4::<0x88>(a, c);
        y[4 + j] = _mm512_shuffle_f32x4::<0xdd>(a, c);
        y[8 + j] = _mm512_shuffle_f32x4::<0x88>(b, d);
        y[12 + j] = _mm512_shuffle_f32x4::<0xdd>(b, d);
    }
    y
}
