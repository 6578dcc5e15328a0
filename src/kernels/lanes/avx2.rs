//! Vectors of 8 floats, with AVX2, FMA and F16C.

use std::arch::x86_64::*;

use super::{EXP2, Kernel, Lanes};

/// The 8 floats of a 256-bit register.
pub(crate) struct F32x8;

/// [`Lanes::call`]
///
/// # Safety
/// As there.
#[inline(never)]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn call<K: Kernel>(kernel: K) {
    // SAFETY: the caller's.
    unsafe { kernel.run::<F32x8>() }
}

/// All bits of the first `n` lanes, up to 8.
///
/// # Safety
/// The processor has AVX2.
#[inline(always)]
unsafe fn first(n: usize) -> __m256i {
    // SAFETY: the caller's.
    unsafe {
        let lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
        _mm256_cmpgt_epi32(_mm256_set1_epi32(n as i32), lanes)
    }
}

impl Lanes for F32x8 {
    type V = __m256;
    const N: usize = 8;
    const ROWS: usize = 6;
    const UNROLLED: usize = 4;
    const FEW_ROWS: usize = 2;

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
    unsafe fn splat(x: f32) -> __m256 {
        // SAFETY: the caller's.
        unsafe { _mm256_set1_ps(x) }
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> __m256 {
        // SAFETY: the caller's.
        unsafe { _mm256_loadu_ps(from) }
    }

    #[inline(always)]
    unsafe fn load_first(n: usize, from: *const f32) -> __m256 {
        // SAFETY: the caller's; the mask ends with the floats.
        unsafe { if n >= 8 { Self::load(from) } else { _mm256_maskload_ps(from, first(n)) } }
    }

    #[inline(always)]
    unsafe fn store_first(n: usize, to: *mut f32, x: __m256) {
        // SAFETY: the caller's; the mask ends with the floats. Some processors are slow at masked stores.
        unsafe { if n >= 8 { Self::store(to, x) } else { _mm256_maskstore_ps(to, first(n), x) } }
    }

    #[inline(always)]
    unsafe fn load_f16(from: *const u16) -> __m256 {
        // SAFETY: the caller's.
        unsafe { _mm256_cvtph_ps(_mm_loadu_si128(from.cast())) }
    }

    #[inline(always)]
    unsafe fn load_bf16(from: *const u16) -> __m256 {
        // SAFETY: the caller's.
        unsafe {
            let bits = _mm256_cvtepu16_epi32(_mm_loadu_si128(from.cast()));
            _mm256_castsi256_ps(_mm256_slli_epi32::<16>(bits))
        }
    }

    #[inline(always)]
    unsafe fn store(to: *mut f32, x: __m256) {
        // SAFETY: the caller's.
        unsafe { _mm256_storeu_ps(to, x) }
    }

    #[inline(always)]
    unsafe fn store_f16(to: *mut u16, x: __m256) {
        // SAFETY: the caller's.
        unsafe {
            let halves = _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(x);
            _mm_storeu_si128(to.cast(), halves);
        }
    }

    #[inline(always)]
    unsafe fn add(a: __m256, b: __m256) -> __m256 {
        // SAFETY: the caller's.
        unsafe { _mm256_add_ps(a, b) }
    }

    #[inline(always)]
    unsafe fn sub(a: __m256, b: __m256) -> __m256 {
        // SAFETY: the caller's.
        unsafe { _mm256_sub_ps(a, b) }
    }

    #[inline(always)]
    unsafe fn mul(a: __m256, b: __m256) -> __m256 {
        // SAFETY: the caller's.
        unsafe { _mm256_mul_ps(a, b) }
    }

    #[inline(always)]
    unsafe fn inverse(x: __m256) -> __m256 {
        // SAFETY: the caller's.
        unsafe { _mm256_div_ps(_mm256_set1_ps(1.0), x) }
    }

    #[inline(always)]
    unsafe fn fma(a: __m256, b: __m256, c: __m256) -> __m256 {
        // SAFETY: the caller's.
        unsafe { _mm256_fmadd_ps(a, b, c) }
    }

    #[inline(always)]
    unsafe fn max(a: __m256, b: __m256) -> __m256 {
        // SAFETY: the caller's.
        unsafe { _mm256_max_ps(a, b) }
    }

    #[inline(always)]
    unsafe fn min(a: __m256, b: __m256) -> __m256 {
        // SAFETY: the caller's.
        unsafe { _mm256_min_ps(a, b) }
    }

    #[inline(always)]
    unsafe fn exp2(x: __m256) -> __m256 {
        // SAFETY: the caller's.
        unsafe {
            let is_normal = _mm256_cmp_ps::<_CMP_NLT_UQ>(x, _mm256_set1_ps(-126.0));
            let n = Self::round(x);
            let r = _mm256_sub_ps(x, n);
            let mut p = _mm256_set1_ps(EXP2[0]);
            for term in &EXP2[1..] {
                p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(*term));
            }
            // 2^n, made of its exponent.
            let power = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
            let power = _mm256_castsi256_ps(_mm256_slli_epi32::<23>(power));
            _mm256_and_ps(is_normal, _mm256_mul_ps(p, power))
        }
    }

    #[inline(always)]
    unsafe fn round(x: __m256) -> __m256 {
        // SAFETY: the caller's.
        unsafe { _mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(x) }
    }

    #[inline(always)]
    unsafe fn swap_pairs(x: __m256) -> __m256 {
        // SAFETY: the caller's.
        unsafe { _mm256_permute_ps::<0xb1>(x) }
    }

    #[inline(always)]
    unsafe fn sum(x: __m256) -> f32 {
        // SAFETY: the caller's.
        unsafe {
            let x = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps::<1>(x));
            let x = _mm_add_ps(x, _mm_movehl_ps(x, x));
            _mm_cvtss_f32(_mm_add_ss(x, _mm_movehdup_ps(x)))
        }
    }

    #[inline(always)]
    unsafe fn store_sums(to: *mut f32, [a, b, c, d]: [__m256; 4]) {
        // SAFETY: the caller's.
        unsafe {
            let x = _mm256_hadd_ps(_mm256_hadd_ps(a, b), _mm256_hadd_ps(c, d));
            let x = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps::<1>(x));
            _mm_storeu_ps(to, x);
        }
    }

    #[inline(always)]
    unsafe fn highest(x: __m256) -> f32 {
        // SAFETY: the caller's.
        unsafe {
            let x = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps::<1>(x));
            let x = _mm_max_ps(x, _mm_movehl_ps(x, x));
            _mm_cvtss_f32(_mm_max_ss(x, _mm_movehdup_ps(x)))
        }
    }

    #[inline(always)]
    unsafe fn finite(x: __m256) -> u32 {
        // SAFETY: the caller's.
        unsafe {
            let lowest = _mm256_set1_ps(f32::NEG_INFINITY);
            _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_NEQ_UQ>(x, lowest)) as u32
        }
    }

    #[inline(always)]
    unsafe fn nonzero(x: __m256) -> u32 {
        // SAFETY: the caller's.
        unsafe { _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_NEQ_UQ>(x, _mm256_setzero_ps())) as u32 }
    }

    #[inline(always)]
    unsafe fn compress(x: __m256, bits: u32) -> __m256 {
        let mut from = [0.0; 8];
        let mut to = [0.0; 8];
        // SAFETY: the caller's, and there is room for 8 floats.
        unsafe { _mm256_storeu_ps(from.as_mut_ptr(), x) };
        let mut n = 0;
        for (i, x) in from.into_iter().enumerate() {
            to[n & 7] = x;
            n += (bits >> i & 1) as usize;
        }
        // SAFETY: the caller's, and there are 8 floats.
        unsafe { _mm256_loadu_ps(to.as_ptr()) }
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
        // SAFETY: the caller's.
        unsafe {
            let mut x = [_mm256_setzero_ps(); 8];
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
///
/// # Safety
/// The processor has AVX2.
#[inline(always)]
unsafe fn transposed(x: [__m256; 8]) -> [__m256; 8] {
    // SAFETY: the caller's.
    unsafe {
        let double = |x: __m256| _mm256_castps_pd(x);
        let mut y = [_mm256_setzero_ps(); 8];
        for i in [0, 4] {
            let ab = double(_mm256_unpacklo_ps(x[i], x[i + 1]));
            let cd = double(_mm256_unpacklo_ps(x[i + 2], x[i + 3]));
            y[i] = _mm256_castpd_ps(_mm256_unpacklo_pd(ab, cd));
            y[i + 1] = _mm256_castpd_ps(_mm256_unpackhi_pd(ab, cd));
            let ab = double(_mm256_unpackhi_ps(x[i], x[i + 1]));
            let cd = double(_mm256_unpackhi_ps(x[i + 2], x[i + 3]));
            y[i + 2] = _mm256_castpd_ps(_mm256_unpacklo_pd(ab, cd));
            y[i + 3] = _mm256_castpd_ps(_mm256_unpackhi_pd(ab, cd));
        }
        // Now y[i + j] holds, in its half l, column 4 l + j of the rows from i on.
        let mut x = y;
        for j in 0..4 {
            x[j] = _mm256_permute2f128_ps::<0x20>(y[j], y[j + 4]);
            x[j + 4] = _mm256_permute2f128_ps::<0x31>(y[j], y[j + 4]);
        }
        x
    }
}
