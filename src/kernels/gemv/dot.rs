//! How bytes are multiplied, with and without VNNI.

use std::arch::x86_64::*;

/// Products of bytes, added up in lanes of 32 bits.
pub(super) trait Dot {
    /// `sums + weights * activations`, four neighbours in each lane: bytes without and with sign.
    ///
    /// # Safety
    /// The processor has the instructions.
    unsafe fn dot(sums: __m512i, weights: __m512i, activations: __m512i) -> __m512i;
}

/// AVX-512 VNNI.
pub(super) struct Vnni;

impl Dot for Vnni {
    #[inline(always)]
    unsafe fn dot(sums: __m512i, weights: __m512i, activations: __m512i) -> __m512i {
        // SAFETY: the caller knows that the processor has it.
        unsafe { _mm512_dpbusd_epi32(sums, weights, activations) }
    }
}

/// AVX-512 BW, for weights below 64: two of their products fit in 16 bits.
pub(super) struct Narrow;

impl Dot for Narrow {
    #[inline(always)]
    unsafe fn dot(sums: __m512i, weights: __m512i, activations: __m512i) -> __m512i {
        // SAFETY: the caller knows that the processor has it.
        unsafe {
            let pairs = _mm512_maddubs_epi16(weights, activations);
            _mm512_add_epi32(sums, _mm512_madd_epi16(pairs, _mm512_set1_epi16(1)))
        }
    }
}

/// AVX-512 BW, for any weights.
pub(super) struct Wide;

impl Dot for Wide {
    #[inline(always)]
    unsafe fn dot(sums: __m512i, weights: __m512i, activations: __m512i) -> __m512i {
        // SAFETY: the caller knows that the processor has it.
        unsafe {
            let even = _mm512_srai_epi16::<8>(_mm512_slli_epi16::<8>(activations));
            let even = _mm512_madd_epi16(_mm512_and_si512(weights, _mm512_set1_epi16(255)), even);
            let odd = _mm512_srai_epi16::<8>(activations);
            let odd = _mm512_madd_epi16(_mm512_srli_epi16::<8>(weights), odd);
            _mm512_add_epi32(sums, _mm512_add_epi32(even, odd))
        }
    }
}
