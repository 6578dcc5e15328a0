//! Vectors of 16 floats, with AVX-512 F, BW, VL and DQ.

use std::arch::x86_64::*;

use super::{EXP2, Kernel, Lanes};

/// The 16 floats of a 512-bit register.
pub(crate) struct F32x16;

/// [`Lanes::call`]
///
/// # Safety
/// As there.
#[inline(never)]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,f16c")]
unsafe fn call<K: Kernel>(kernel: K) {
    // SAFETY: the caller's.
    unsafe { kernel.run::<F32x16>() }
}

/// The first `n` of 16 lanes; all of them, if there are more.
#[inline]
fn first(n: usize) -> u16 {
    if n < 16 { (1 << n) - 1 } else { u16::MAX }
}

impl Lanes for F32x16 {
    type V = __m512;
    const N: usize = 16;
    const ROWS: usize = 12;
    const UNROLLED: usize = 1;
    const FEW_ROWS: usize = 4;

    #[inline(always)]
    unsafe fn call<K: Kernel>(kernel: K) {
        // SAFETY: the caller's.
        unsafe { call(kernel) }
    }

    #[inline(always)]
    unsafe fn prefetch(at: *const u8) {
        // SAFETY: any address will do.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(at.cast()) }
    }

    #[inline(always)]
    unsafe fn splat(x: f32) -> __m512 {
        // SAFETY: the caller's.
        unsafe { _mm512_set1_ps(x) }
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> __m512 {
        // SAFETY: the caller's.
        unsafe { _mm512_loadu_ps(from) }
    }

    #[inline(always)]
    unsafe fn load_first(n: usize, from: *const f32) -> __m512 {
        // SAFETY: the caller's; the mask ends with the floats.
        unsafe { _mm512_maskz_loadu_ps(first(n), from) }
    }

    #[inline(always)]
    unsafe fn store_first(n: usize, to: *mut f32, x: __m512) {
        // SAFETY: the caller's; the mask ends with the floats.
        unsafe { _mm512_mask_storeu_ps(to, first(n), x) }
    }

    #[inline(always)]
    unsafe fn load_f16(from: *const u16) -> __m512 {
        // SAFETY: the caller's.
        unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(from.cast())) }
    }

    #[inline(always)]
    unsafe fn load_bf16(from: *const u16) -> __m512 {
        // SAFETY: the caller's.
        unsafe {
            let bits = _mm512_cvtepu16_epi32(_mm256_loadu_si256(from.cast()));
            _mm512_castsi512_ps(_mm512_slli_epi32::<16>(bits))
        }
    }

    #[inline(always)]
    unsafe fn store(to: *mut f32, x: __m512) {
        // SAFETY: the caller's.
        unsafe { _mm512_storeu_ps(to, x) }
    }

    #[inline(always)]
    unsafe fn store_f16(to: *mut u16, x: __m512) {
        // SAFETY: the caller's.
        unsafe {
            let halves = _mm512_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(x);
            _mm256_storeu_si256(to.cast(), halves);
        }
    }

    #[inline(always)]
    unsafe fn add(a: __m512, b: __m512) -> __m512 {
        // SAFETY: the caller's.
        unsafe { _mm512_add_ps(a, b) }
    }

    #[inline(always)]
    unsafe fn sub(a: __m512, b: __m512) -> __m512 {
        // SAFETY: the caller's.
        unsafe { _mm512_sub_ps(a, b) }
    }

    #[inline(always)]
    unsafe fn mul(a: __m512, b: __m512) -> __m512 {
        // SAFETY: the caller's.
        unsafe { _mm512_mul_ps(a, b) }
    }

    #[inline(always)]
    unsafe fn inverse(x: __m512) -> __m512 {
        // SAFETY: the caller's.
        unsafe {
            // 14 bits, and a step of Newton's method: a division takes several times as long.
            let near = _mm512_rcp14_ps(x);
            let rest = _mm512_fnmadd_ps(x, near, _mm512_set1_ps(1.0));
            _mm512_fmadd_ps(near, rest, near)
        }
    }

    #[inline(always)]
    unsafe fn fma(a: __m512, b: __m512, c: __m512) -> __m512 {
        // SAFETY: the caller's.
        unsafe { _mm512_fmadd_ps(a, b, c) }
    }

    #[inline(always)]
    unsafe fn max(a: __m512, b: __m512) -> __m512 {
        // SAFETY: the caller's.
        unsafe { _mm512_max_ps(a, b) }
    }

    #[inline(always)]
    unsafe fn min(a: __m512, b: __m512) -> __m512 {
        // SAFETY: the caller's.
        unsafe { _mm512_min_ps(a, b) }
    }

    #[inline(always)]
    unsafe fn exp2(x: __m512) -> __m512 {
        // SAFETY: the caller's.
        unsafe {
            let is_normal = _mm512_cmp_ps_mask::<_CMP_NLT_UQ>(x, _mm512_set1_ps(-126.0));
            let n = Self::round(x);
            let r = _mm512_sub_ps(x, n);
            let mut p = _mm512_set1_ps(EXP2[0]);
            for term in &EXP2[1..] {
                p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(*term));
            }
            _mm512_maskz_scalef_ps(is_normal, p, n)
        }
    }

    #[inline(always)]
    unsafe fn round(x: __m512) -> __m512 {
        // SAFETY: the caller's.
        unsafe { _mm512_roundscale_ps::<0>(x) }
    }

    #[inline(always)]
    unsafe fn swap_pairs(x: __m512) -> __m512 {
        // SAFETY: the caller's.
        unsafe { _mm512_permute_ps::<0xb1>(x) }
    }

    #[inline(always)]
    unsafe fn sum(x: __m512) -> f32 {
        // SAFETY: the caller's.
        unsafe { _mm512_reduce_add_ps(x) }
    }

    #[inline(always)]
    unsafe fn store_sums(to: *mut f32, [a, b, c, d]: [__m512; 4]) {
        // SAFETY: the caller's.
        unsafe {
            let ab = _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
            let cd = _mm512_add_ps(_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
            let (ab, cd) = (_mm512_castps_pd(ab), _mm512_castps_pd(cd));
            let low = _mm512_castpd_ps(_mm512_unpacklo_pd(ab, cd));
            let high = _mm512_castpd_ps(_mm512_unpackhi_pd(ab, cd));
            // Each quarter now holds a part of all four sums, in their order.
            let x = _mm512_add_ps(low, high);
            let x = _mm256_add_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps::<1>(x));
            let x = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps::<1>(x));
            _mm_storeu_ps(to, x);
        }
    }

    #[inline(always)]
    unsafe fn highest(x: __m512) -> f32 {
        // SAFETY: the caller's.
        unsafe { _mm512_reduce_max_ps(x) }
    }

    #[inline(always)]
    unsafe fn finite(x: __m512) -> u32 {
        // SAFETY: the caller's.
        unsafe {
            let lowest = _mm512_set1_ps(f32::NEG_INFINITY);
            u32::from(_mm512_cmp_ps_mask::<_CMP_NEQ_UQ>(x, lowest))
        }
    }

    #[inline(always)]
    unsafe fn nonzero(x: __m512) -> u32 {
        // SAFETY: the caller's.
        unsafe { u32::from(_mm512_cmp_ps_mask::<_CMP_NEQ_UQ>(x, _mm512_setzero_ps())) }
    }

    #[inline(always)]
    unsafe fn compress(x: __m512, bits: u32) -> __m512 {
        // SAFETY: the caller's.
        unsafe { _mm512_maskz_compress_ps(bits as u16, x) }
    }

    #[inline(always)]
    unsafe fn transpose_some(
        from: *const f32,
        stride: usize,
        [rows, width]: [usize; 2],
        to: *mut f32,
        to_stride: usize,
        filled: usize,
    ) {
        // SAFETY: the caller's; the masks end with the rows.
        unsafe {
            let mut x = [_mm512_setzero_ps(); 16];
            for (i, x) in x.iter_mut().enumerate().take(rows) {
                *x = Self::load_first(width, from.add(i * stride));
            }
            for (j, x) in transposed(x).into_iter().enumerate().take(width) {
                Self::store_first(filled, to.add(j * to_stride), x);
            }
        }
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
