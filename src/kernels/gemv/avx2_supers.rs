//! Q4_K, Q5_K and Q6_K with AVX2.

use std::arch::x86_64::*;

use super::avx2_rows::{Factors, Format};
use super::k6::Q6K;
use super::k45::{Q4K, Q5K, scales_and_mins};
use super::layout::{Extra, Layout, ROWS};
use super::supers::word;

/// The even and the odd parts of 128 elements are units, with two parts each.
const LAYOUT: Layout = Layout {
    vector: 32,
    vectors: 2,
    blocks: 8,
    group: 4,
    interleave: 2,
    // Minimums are subtracted.
    extra: Extra::Quarters(-1),
};

impl Format<4, 2> for Q4K {
    const LAYOUT: Layout = LAYOUT;
    const BYTES: usize = 144;

    #[inline(always)]
    unsafe fn factors(rows: &[*const u8; ROWS], _: usize) -> Factors<4> {
        // SAFETY: the caller promises the processor and the blocks.
        unsafe { factors(rows) }
    }

    #[inline(always)]
    unsafe fn quants<const UNIT: usize>(row: *const u8, _: usize) -> [__m256i; 2] {
        // SAFETY: the caller promises the processor and the block.
        unsafe { fours::<UNIT>(row.add(16)) }
    }
}

impl Format<4, 2> for Q5K {
    const LAYOUT: Layout = LAYOUT;
    const BYTES: usize = 176;

    #[inline(always)]
    unsafe fn factors(rows: &[*const u8; ROWS], _: usize) -> Factors<4> {
        // SAFETY: the caller promises the processor and the blocks.
        unsafe { factors(rows) }
    }

    #[inline(always)]
    unsafe fn quants<const UNIT: usize>(row: *const u8, _: usize) -> [__m256i; 2] {
        // Bit i of a byte belongs to part i.
        let part = 4 * (UNIT / 2) + UNIT % 2;
        // SAFETY: the caller promises the processor and the block.
        unsafe {
            let bit = |part: usize| _mm_set1_epi8((1u8 << part) as i8);
            let bit = _mm256_set_m128i(bit(part + 2), bit(part));
            let mut quants = fours::<UNIT>(row.add(48));
            for (half, quants) in quants.iter_mut().enumerate() {
                let fifths = _mm_loadu_si128(row.add(16 + 16 * half).cast());
                let fifths = _mm256_and_si256(_mm256_broadcastsi128_si256(fifths), bit);
                let fifths = _mm256_cmpeq_epi8(fifths, bit);
                let fifths = _mm256_and_si256(fifths, _mm256_set1_epi8(16));
                *quants = _mm256_or_si256(*quants, fifths);
            }
            quants
        }
    }
}

/// The lower four bits of the first halves of two parts, and of their second halves.
///
/// # Safety
/// The processor has AVX2; there are 128 bytes.
#[inline(always)]
unsafe fn fours<const UNIT: usize>(at: *const u8) -> [__m256i; 2] {
    // SAFETY: the caller promises both.
    unsafe {
        let at = at.add(UNIT / 2 * 64).cast::<__m128i>();
        let load = |i: usize| _mm_loadu_si128(at.add(i));
        let halves = [_mm256_set_m128i(load(2), load(0)), _mm256_set_m128i(load(3), load(1))];
        let low = _mm256_set1_epi8(15);
        let mut quants = [_mm256_setzero_si256(); 2];
        for (quants, half) in quants.iter_mut().zip(halves) {
            let half = if UNIT % 2 == 1 { _mm256_srli_epi16::<4>(half) } else { half };
            *quants = _mm256_and_si256(half, low);
        }
        quants
    }
}

/// The parts' scales and minimums.
///
/// # Safety
/// The processor has AVX2 and F16C; the blocks are there.
#[inline(always)]
unsafe fn factors(rows: &[*const u8; ROWS]) -> Factors<4> {
    // SAFETY: the caller promises the processor and the blocks.
    unsafe {
        let mut small = [_mm_setzero_si128(); ROWS];
        for (small, row) in small.iter_mut().zip(rows) {
            *small = scales_and_mins(_mm_loadu_si128(row.cast()));
        }
        let (scale, min) = (floats(rows, 0), floats(rows, 2));
        // Two scales and two minimums at a time: parts 0 and 1, then 2 and 3; a unit has every other.
        let mut factors = Factors { scales: [scale; 4], mins: [min; 4] };
        let [a, b, c, d] = side_by_side(small);
        for (pair, (first, second)) in [(a, b), (c, d)].into_iter().enumerate() {
            let scales = _mm_unpacklo_epi32(first, second);
            let mins = _mm_unpackhi_epi32(first, second);
            factors.scales[2 * pair] = times(scales, scale);
            factors.scales[2 * pair + 1] = times(_mm_srli_si128::<8>(scales), scale);
            factors.mins[2 * pair] = times(mins, min);
            factors.mins[2 * pair + 1] = times(_mm_srli_si128::<8>(mins), min);
        }
        factors
    }
}

/// A unit is 32 elements, with a scale for each half.
impl Format<8, 1> for Q6K {
    const LAYOUT: Layout = Layout {
        vector: 32,
        vectors: 1,
        blocks: 8,
        group: 8,
        interleave: 1,
        extra: Extra::Quarters(-32),
    };
    const BYTES: usize = 210;

    #[inline(always)]
    unsafe fn factors(rows: &[*const u8; ROWS], _: usize) -> Factors<8> {
        // SAFETY: the caller promises the processor and the blocks.
        unsafe {
            let mut small = [_mm_setzero_si128(); ROWS];
            for (small, row) in small.iter_mut().zip(rows) {
                *small = _mm_loadu_si128(row.add(192).cast());
            }
            let scale = floats(rows, 208);
            let mut scales = [scale; 8];
            for (pair, small) in side_by_side(small).into_iter().enumerate() {
                scales[2 * pair] = times_signed(small, scale);
                scales[2 * pair + 1] = times_signed(_mm_srli_si128::<8>(small), scale);
            }
            Factors { scales, mins: scales }
        }
    }

    /// 64 bytes have the lower four bits of 128 quants; 32 bytes the upper two of every 32.
    #[inline(always)]
    unsafe fn quants<const UNIT: usize>(row: *const u8, _: usize) -> [__m256i; 1] {
        let (half, part) = (UNIT / 4, UNIT % 4);
        // SAFETY: the caller promises the processor and the block.
        unsafe {
            let low = _mm256_loadu_si256(row.add(64 * half + part % 2 * 32).cast());
            let low = if part < 2 { low } else { _mm256_srli_epi16::<4>(low) };
            let high = _mm256_loadu_si256(row.add(128 + 32 * half).cast());
            let high = match part {
                0 => _mm256_slli_epi16::<4>(high),
                1 => _mm256_slli_epi16::<2>(high),
                2 => high,
                _ => _mm256_srli_epi16::<2>(high),
            };
            let low = _mm256_and_si256(low, _mm256_set1_epi8(15));
            [_mm256_or_si256(low, _mm256_and_si256(high, _mm256_set1_epi8(0x30)))]
        }
    }
}

/// The 16 bytes of four rows: four neighbours are the same byte of all rows.
///
/// # Safety
/// The processor has AVX2.
#[inline(always)]
unsafe fn side_by_side([a, b, c, d]: [__m128i; ROWS]) -> [__m128i; 4] {
    // SAFETY: the caller knows that the processor has it.
    unsafe {
        let ab = [_mm_unpacklo_epi8(a, b), _mm_unpackhi_epi8(a, b)];
        let cd = [_mm_unpacklo_epi8(c, d), _mm_unpackhi_epi8(c, d)];
        [
            _mm_unpacklo_epi16(ab[0], cd[0]),
            _mm_unpackhi_epi16(ab[0], cd[0]),
            _mm_unpacklo_epi16(ab[1], cd[1]),
            _mm_unpackhi_epi16(ab[1], cd[1]),
        ]
    }
}

/// The first eight bytes, without sign, times the rows' floats.
///
/// # Safety
/// The processor has AVX2.
#[inline(always)]
unsafe fn times(small: __m128i, float: __m256) -> __m256 {
    // SAFETY: the caller knows that the processor has it.
    unsafe { _mm256_mul_ps(_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(small)), float) }
}

/// The first eight bytes, with sign, times the rows' floats.
///
/// # Safety
/// The processor has AVX2.
#[inline(always)]
unsafe fn times_signed(small: __m128i, float: __m256) -> __m256 {
    // SAFETY: the caller knows that the processor has it.
    unsafe { _mm256_mul_ps(_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(small)), float) }
}

/// The 16-bit float at one place of each row, for both quarters.
///
/// # Safety
/// The processor has AVX2 and F16C; two bytes can be read.
#[inline(always)]
unsafe fn floats(rows: &[*const u8; ROWS], at: usize) -> __m256 {
    // SAFETY: the caller promises both.
    unsafe {
        let [a, b, c, d] = rows.map(|row| word(row.add(at)) as i16);
        _mm256_cvtph_ps(_mm_setr_epi16(a, b, c, d, a, b, c, d))
    }
}
