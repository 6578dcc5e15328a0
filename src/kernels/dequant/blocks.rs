//! The types with blocks of 32 elements: a scale, perhaps an offset, and quants of 4, 5 or 8 bits.

use std::arch::x86_64::*;

use super::scalar::NON_LINEAR;
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

impl Block for Q4_0 {
    const BYTES: usize = 18;

    #[inline(always)]
    unsafe fn decode<S: Sink>(block: *const u8, to: S) {
        // SAFETY: a whole block.
        unsafe {
            let q = nibbles(block.add(2)).map(|q| _mm_sub_epi8(q, _mm_set1_epi8(8)));
            to.scaled(0, q, [half(block); 2]);
        }
    }
}

impl Block for Q4_1 {
    const BYTES: usize = 20;

    #[inline(always)]
    unsafe fn decode<S: Sink>(block: *const u8, to: S) {
        // SAFETY: a whole block.
        unsafe { to.shifted(0, nibbles(block.add(4)), [half(block); 2], [half(block.add(2)); 2]) }
    }
}

impl Block for Q5_0 {
    const BYTES: usize = 22;

    #[inline(always)]
    unsafe fn decode<S: Sink>(block: *const u8, to: S) {
        // SAFETY: a whole block.
        unsafe {
            // Four ones above a nibble take 16 from it.
            let minus_16 = _mm256_andnot_si256(bits(block.add(2)), _mm256_set1_epi8(-16));
            let q = or(nibbles(block.add(6)), minus_16);
            to.scaled(0, q, [half(block); 2]);
        }
    }
}

impl Block for Q5_1 {
    const BYTES: usize = 24;

    #[inline(always)]
    unsafe fn decode<S: Sink>(block: *const u8, to: S) {
        // SAFETY: a whole block.
        unsafe {
            let plus_16 = _mm256_and_si256(bits(block.add(4)), _mm256_set1_epi8(16));
            let q = or(nibbles(block.add(8)), plus_16);
            to.shifted(0, q, [half(block); 2], [half(block.add(2)); 2]);
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
        unsafe { to.scaled(0, non_linear(block.add(2)), [half(block); 2]) }
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
/// The bytes can be read.
#[inline(always)]
unsafe fn nibbles(at: *const u8) -> [__m128i; 2] {
    // SAFETY: the caller's.
    unsafe {
        let (q, low) = (load(at), _mm_set1_epi8(15));
        [_mm_and_si128(q, low), _mm_and_si128(_mm_srli_epi16::<4>(q), low)]
    }
}

/// 32 quants in 16 bytes that stand for unevenly spaced values.
///
/// # Safety
/// The bytes can be read, and the processor has AVX2.
#[inline(always)]
pub(super) unsafe fn non_linear(at: *const u8) -> [__m128i; 2] {
    // SAFETY: the caller's; the table has 16 bytes.
    unsafe {
        let values = load(NON_LINEAR.as_ptr().cast());
        let [low, high] = nibbles(at);
        [_mm_shuffle_epi8(values, low), _mm_shuffle_epi8(values, high)]
    }
}

/// 32 bytes, all ones where one of 32 bits is set.
///
/// # Safety
/// The four bytes can be read, and the processor has AVX2.
#[inline(always)]
unsafe fn bits(at: *const u8) -> __m256i {
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
        _mm256_cmpeq_epi8(bits, bit_of_each)
    }
}

/// Sets bits of 32 bytes.
///
/// # Safety
/// The processor has AVX2.
#[inline(always)]
unsafe fn or(q: [__m128i; 2], more: __m256i) -> [__m128i; 2] {
    // SAFETY: the caller's.
    unsafe {
        let [low, high] = split(more);
        [_mm_or_si128(q[0], low), _mm_or_si128(q[1], high)]
    }
}

/// Both halves.
///
/// # Safety
/// The processor has AVX2.
#[inline(always)]
pub(super) unsafe fn split(x: __m256i) -> [__m128i; 2] {
    // SAFETY: the caller's.
    unsafe { [_mm256_castsi256_si128(x), _mm256_extracti128_si256::<1>(x)] }
}
