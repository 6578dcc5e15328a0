//! The types with blocks of 32 elements: a scale, perhaps an offset, and quants of 4, 5 or 8 bits.

use std::arch::x86_64::*;

use super::scalar::{FOUR_BIT_FLOATS, NON_LINEAR, power_of_two};
use super::sink::Sink;

/// How the elements of a block lie in its bytes.
pub(super) trait Block {
    /// Elements of a block.
    const ELEMENTS: usize = 32;
    /// Bytes of a block.
    const BYTES: usize;

    /// Decodes one block.
    ///
    /// # Safety
    /// The block can be read, the sink has room for it, and the processor has AVX2, F16C and the sink's features.
    unsafe fn decode<S: Sink>(block: *const u8, to: S);
}

pub(super) struct Q4_0;
pub(super) struct Q4_1;
pub(super) struct Q5_0;
pub(super) struct Q5_1;
pub(super) struct Q8_0;
pub(super) struct Iq4Nl;
pub(super) struct Mxfp4;

impl Block for Q4_0 {
    const BYTES: usize = 18;

    #[inline(always)]
    unsafe fn decode<S: Sink>(block: *const u8, to: S) {
        // SAFETY: a whole block.
        unsafe {
            let values = _mm_setr_epi8(-8, -7, -6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7);
            to.looked_up(0, nibbles(block.add(2)), values, half(block));
        }
    }
}

impl Block for Q4_1 {
    const BYTES: usize = 20;

    #[inline(always)]
    unsafe fn decode<S: Sink>(block: *const u8, to: S) {
        // SAFETY: a whole block.
        unsafe { to.even::<4>(0, nibbles(block.add(4)), half(block), half(block.add(2))) }
    }
}

impl Block for Q5_0 {
    const BYTES: usize = 22;

    #[inline(always)]
    unsafe fn decode<S: Sink>(block: *const u8, to: S) {
        // SAFETY: a whole block.
        unsafe {
            let scale = half(block);
            let q = _mm256_or_si256(nibbles(block.add(6)), fifth_bits(block.add(2)));
            to.even::<5>(0, q, scale, -16.0 * scale);
        }
    }
}

impl Block for Q5_1 {
    const BYTES: usize = 24;

    #[inline(always)]
    unsafe fn decode<S: Sink>(block: *const u8, to: S) {
        // SAFETY: a whole block.
        unsafe {
            let q = _mm256_or_si256(nibbles(block.add(8)), fifth_bits(block.add(4)));
            to.even::<5>(0, q, half(block), half(block.add(2)));
        }
    }
}

impl Block for Q8_0 {
    const BYTES: usize = 34;

    #[inline(always)]
    unsafe fn decode<S: Sink>(block: *const u8, to: S) {
        // SAFETY: a whole block.
        unsafe { to.scaled(0, [load(block.add(2)), load(block.add(18))], [half(block); 2]) }
    }
}

impl Block for Iq4Nl {
    const BYTES: usize = 18;

    #[inline(always)]
    unsafe fn decode<S: Sink>(block: *const u8, to: S) {
        // SAFETY: a whole block.
        unsafe { to.looked_up(0, nibbles(block.add(2)), non_linear(), half(block)) }
    }
}

impl Block for Mxfp4 {
    const BYTES: usize = 17;

    #[inline(always)]
    unsafe fn decode<S: Sink>(block: *const u8, to: S) {
        // SAFETY: a whole block; the table has 16 bytes.
        unsafe {
            let values = load(FOUR_BIT_FLOATS.as_ptr().cast());
            to.looked_up(0, nibbles(block.add(1)), values, power_of_two(*block));
        }
    }
}

/// A 16-bit float.
///
/// # Safety
/// Its two bytes can be read, and the processor has F16C.
#[inline(always)]
pub(super) unsafe fn half(at: *const u8) -> f32 {
    // SAFETY: the caller's.
    unsafe {
        let bits = at.cast::<u16>().read_unaligned();
        _mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(i32::from(bits))))
    }
}

/// 16 bytes.
///
/// # Safety
/// They can be read.
#[inline(always)]
pub(super) unsafe fn load(at: *const u8) -> __m128i {
    // SAFETY: the caller's.
    unsafe { _mm_loadu_si128(at.cast()) }
}

/// 32 quants in 16 bytes: the low halves of the bytes, then the high ones.
///
/// # Safety
/// The bytes can be read, and the processor has AVX2.
#[inline(always)]
pub(super) unsafe fn nibbles(at: *const u8) -> __m256i {
    // SAFETY: the caller's.
    unsafe {
        let twice = _mm256_broadcastsi128_si256(load(at));
        let shifted = _mm256_srlv_epi64(twice, _mm256_setr_epi64x(0, 0, 4, 4));
        _mm256_and_si256(shifted, _mm256_set1_epi8(15))
    }
}

/// The unevenly spaced values that quants of 4 bits stand for in some types.
///
/// # Safety
/// Any processor has it.
#[inline(always)]
pub(super) unsafe fn non_linear() -> __m128i {
    // SAFETY: the table has 16 bytes.
    unsafe { load(NON_LINEAR.as_ptr().cast()) }
}

/// The fifth bits of 32 quants, in their place.
///
/// # Safety
/// The four bytes can be read, and the processor has AVX2.
#[inline(always)]
unsafe fn fifth_bits(at: *const u8) -> __m256i {
    // SAFETY: the caller's.
    unsafe {
        let word = _mm256_set1_epi32(at.cast::<i32>().read_unaligned());
        let byte_of_each = _mm256_setr_epi64x(
            0,
            0x0101_0101_0101_0101,
            0x0202_0202_0202_0202,
            0x0303_0303_0303_0303,
        );
        let bit_of_each = _mm256_set1_epi64x(0x8040_2010_0804_0201_u64 as i64);
        let bits = _mm256_and_si256(_mm256_shuffle_epi8(word, byte_of_each), bit_of_each);
        _mm256_and_si256(_mm256_cmpeq_epi8(bits, bit_of_each), _mm256_set1_epi8(16))
    }
}
