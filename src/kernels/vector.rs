//! What several kernels need to round floats: to brain floats, 32 at a time, and to integers.

use std::arch::x86_64::*;

/// Elements that are all smaller become zeros as integers: of what is much smaller there is no inverse.
pub(crate) const TINY: f32 = 1e-34;

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
