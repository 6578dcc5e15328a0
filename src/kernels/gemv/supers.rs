//! What types of 256 elements have in common: a step is one block, whose scales are small integers times a float.

use std::arch::x86_64::*;

use super::layout::ROWS;

/// How far each lane is turned, if four neighbours are turned alike.
pub(super) type Turns = [i32; 16];

/// The turns of four quarters.
pub(super) const fn turns(quarters: [i32; 4]) -> Turns {
    let mut turns = [0; 16];
    let mut i = 0;
    while i < 16 {
        turns[i] = quarters[i / 4];
        i += 1;
    }
    turns
}

/// `low` with some of the bits of `high` turned left: those of the mask `bits`.
///
/// # Safety
/// The processor has AVX-512 F.
#[inline(always)]
pub(super) unsafe fn with_bits(low: __m512i, high: __m512i, turns: &Turns, bits: i8) -> __m512i {
    // SAFETY: the caller knows that the processor has it.
    unsafe {
        let high = _mm512_rolv_epi32(high, _mm512_loadu_si512(turns.as_ptr().cast()));
        // a | (b & c)
        _mm512_ternarylogic_epi32::<0xf8>(low, high, _mm512_set1_epi8(bits))
    }
}

/// 64 bytes.
///
/// # Safety
/// The processor has AVX-512 F; they can be read.
#[inline(always)]
pub(super) unsafe fn bytes(at: *const u8) -> __m512i {
    // SAFETY: the caller promises both.
    unsafe { _mm512_loadu_si512(at.cast()) }
}

/// The 16-bit float at one place of each row, for all quarters.
///
/// # Safety
/// The processor has AVX-512 F and F16C; two bytes can be read.
#[inline(always)]
pub(super) unsafe fn floats(rows: &[*const u8; ROWS], at: usize) -> __m512 {
    // SAFETY: the caller promises both.
    unsafe {
        let mut four = _mm_setzero_si128();
        four = _mm_insert_epi16::<0>(four, i32::from(word(rows[0].add(at))));
        four = _mm_insert_epi16::<1>(four, i32::from(word(rows[1].add(at))));
        four = _mm_insert_epi16::<2>(four, i32::from(word(rows[2].add(at))));
        four = _mm_insert_epi16::<3>(four, i32::from(word(rows[3].add(at))));
        _mm512_broadcast_f32x4(_mm_cvtph_ps(four))
    }
}

/// Two bytes.
///
/// # Safety
/// They can be read.
#[inline(always)]
pub(super) unsafe fn word(at: *const u8) -> u16 {
    // SAFETY: the caller promises it.
    unsafe { at.cast::<u16>().read_unaligned() }
}

/// The first and the second integer of every quarter of four rows: four neighbours are one quarter's of all rows.
///
/// # Safety
/// The processor has AVX-512 F.
#[inline(always)]
pub(super) unsafe fn first_two([a, b, c, d]: [__m512i; ROWS]) -> [__m512; 2] {
    // SAFETY: the caller knows that the processor has it.
    unsafe { both(_mm512_unpacklo_epi32(a, b), _mm512_unpacklo_epi32(c, d)) }
}

/// Likewise the third and the fourth.
///
/// # Safety
/// The processor has AVX-512 F.
#[inline(always)]
pub(super) unsafe fn last_two([a, b, c, d]: [__m512i; ROWS]) -> [__m512; 2] {
    // SAFETY: the caller knows that the processor has it.
    unsafe { both(_mm512_unpackhi_epi32(a, b), _mm512_unpackhi_epi32(c, d)) }
}

/// # Safety
/// The processor has AVX-512 F.
#[inline(always)]
unsafe fn both(ab: __m512i, cd: __m512i) -> [__m512; 2] {
    // SAFETY: the caller knows that the processor has it.
    unsafe {
        let first = _mm512_unpacklo_epi64(ab, cd);
        let second = _mm512_unpackhi_epi64(ab, cd);
        [_mm512_cvtepi32_ps(first), _mm512_cvtepi32_ps(second)]
    }
}
