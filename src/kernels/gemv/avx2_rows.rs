//! The loop over rows of weights with AVX2: a vector has two quarters of 16 bytes, each with four lanes.

use std::arch::x86_64::*;

use super::layout::{BLOCK, Extra, Layout, ROWS};
use super::rows::{Place, prefetch};

/// What the units of a step are multiplied with: for each quarter four lanes, those of the four rows.
#[derive(Clone, Copy)]
pub(super) struct Factors<const U: usize> {
    pub scales: [__m256; U],
    /// What the quarters' sums are multiplied with: where something was added to the quants, the scales once more.
    pub mins: [__m256; U],
}

/// A type of weights: units of `V` vectors, `U` of them a step, as in [`super::layout::Format`] for AVX-512.
pub(super) trait Format<const U: usize, const V: usize> {
    const LAYOUT: Layout;
    /// Bytes of a whole step of weights.
    const BYTES: usize;
    /// Whether quants have a sign. If not, they are below 64: two products of bytes fit in 16 bits, and two of those.
    const IS_SIGNED: bool = false;

    /// The factors of four rows.
    ///
    /// # Safety
    /// The processor has AVX2 and F16C; the blocks can be read.
    unsafe fn factors(rows: &[*const u8; ROWS], blocks: usize) -> Factors<U>;

    /// A unit of one row.
    ///
    /// # Safety
    /// The processor has AVX2; the blocks can be read.
    unsafe fn quants<const UNIT: usize>(row: *const u8, blocks: usize) -> [__m256i; V];
}

/// All rows of a place for so many tokens, a few together for all tokens, so that they come from memory once.
///
/// # Safety
/// The processor has AVX2, FMA and F16C; what `place` shows is there.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn all<F, const U: usize, const V: usize>(place: &Place, tokens: usize)
where
    F: Format<U, V>,
{
    for first in 0..place.apart {
        let mut t = 0;
        while t < tokens {
            // SAFETY: the rows and tokens from here on are some of the place's.
            unsafe {
                let some = place.from(first, t, F::LAYOUT.bytes(place.width));
                t += match tokens - t {
                    1 => {
                        block::<F, U, V, 1>(&some);
                        1
                    }
                    2..4 => {
                        block::<F, U, V, 2>(&some);
                        2
                    }
                    _ => {
                        block::<F, U, V, 4>(&some);
                        4
                    }
                }
            }
        }
    }
}

/// Computes up to [`ROWS`] rows, the first ones of their streams, for `T` tokens.
///
/// # Safety
/// As for [`all`].
#[inline(always)]
unsafe fn block<F, const U: usize, const V: usize, const T: usize>(place: &Place)
where
    F: Format<U, V>,
{
    let mut rows = place.rows();
    let mut tokens = place.tokens::<T>(&F::LAYOUT);
    let are_many = place.are_many::<T>(&F::LAYOUT);
    let mut blocks = place.width / BLOCK;
    // SAFETY: as above; the rows have that many blocks, and the tokens as many steps.
    unsafe {
        let mut sums = [_mm256_setzero_ps(); T];
        while blocks >= F::LAYOUT.blocks {
            prefetch(&rows, F::BYTES, place.ahead, are_many);
            step::<F, U, V, T>(&mut sums, &rows, F::LAYOUT.blocks, &tokens);
            for row in &mut rows {
                *row = row.wrapping_add(F::BYTES);
            }
            for token in &mut tokens {
                *token = token.wrapping_add(F::LAYOUT.step_bytes());
            }
            blocks -= F::LAYOUT.blocks;
        }
        if F::LAYOUT.may_end_early() && blocks > 0 {
            step::<F, U, V, T>(&mut sums, &rows, blocks, &tokens);
        }
        for (t, sums) in sums.iter().enumerate() {
            let upper = _mm256_extractf128_ps::<1>(*sums);
            place.store(t, _mm_add_ps(_mm256_castps256_ps128(*sums), upper));
        }
    }
}

/// Adds one step to the sums of all tokens: so many `blocks` of it.
///
/// # Safety
/// As for [`all`].
#[inline(always)]
unsafe fn step<F, const U: usize, const V: usize, const T: usize>(
    sums: &mut [__m256; T],
    rows: &[*const u8; ROWS],
    blocks: usize,
    tokens: &[*const u8; T],
) where
    F: Format<U, V>,
{
    const { assert!(U == 1 || U == 2 || U == 4 || U == 8) };
    // SAFETY: as above.
    unsafe {
        let factors = F::factors(rows, blocks);
        unit::<F, U, V, T, 0>(sums, &factors, rows, blocks, tokens);
        if U > 1 {
            unit::<F, U, V, T, 1>(sums, &factors, rows, blocks, tokens);
        }
        if U > 2 {
            unit::<F, U, V, T, 2>(sums, &factors, rows, blocks, tokens);
            unit::<F, U, V, T, 3>(sums, &factors, rows, blocks, tokens);
        }
        if U > 4 {
            unit::<F, U, V, T, 4>(sums, &factors, rows, blocks, tokens);
            unit::<F, U, V, T, 5>(sums, &factors, rows, blocks, tokens);
            unit::<F, U, V, T, 6>(sums, &factors, rows, blocks, tokens);
            unit::<F, U, V, T, 7>(sums, &factors, rows, blocks, tokens);
        }
    }
}

/// Adds one unit of a step to the sums of all tokens.
///
/// # Safety
/// As for [`all`].
#[inline(always)]
unsafe fn unit<F, const U: usize, const V: usize, const T: usize, const UNIT: usize>(
    sums: &mut [__m256; T],
    factors: &Factors<U>,
    rows: &[*const u8; ROWS],
    blocks: usize,
    tokens: &[*const u8; T],
) where
    F: Format<U, V>,
{
    // SAFETY: as above.
    unsafe {
        let mut weights = [[_mm256_setzero_si256(); V]; ROWS];
        for (weights, row) in weights.iter_mut().zip(rows) {
            *weights = F::quants::<UNIT>(*row, blocks);
        }
        for (sum, token) in sums.iter_mut().zip(tokens) {
            let unit = token.add(UNIT * F::LAYOUT.unit_bytes());
            let mut products = [_mm256_setzero_si256(); ROWS];
            for (products, weights) in products.iter_mut().zip(&weights) {
                *products = dot::<F, U, V>(weights, unit);
            }
            let [a, b, c, d] = products;
            let products = _mm256_hadd_epi32(_mm256_hadd_epi32(a, b), _mm256_hadd_epi32(c, d));
            let scales = _mm256_loadu_ps(unit.add(F::LAYOUT.scales_at()).cast());
            let scales = _mm256_mul_ps(factors.scales[UNIT], scales);
            *sum = _mm256_fmadd_ps(_mm256_cvtepi32_ps(products), scales, *sum);
            if F::LAYOUT.extra != Extra::None {
                let extra = _mm256_loadu_ps(unit.add(F::LAYOUT.extra_at()).cast());
                *sum = _mm256_fmadd_ps(factors.mins[UNIT], extra, *sum);
            }
        }
    }
}

/// The products of a unit of weights with activations, added up by fours, or eights where there are two vectors.
///
/// # Safety
/// As for [`all`].
#[inline(always)]
unsafe fn dot<F: Format<U, V>, const U: usize, const V: usize>(
    weights: &[__m256i; V],
    unit: *const u8,
) -> __m256i {
    // SAFETY: as above.
    unsafe {
        let ones = _mm256_set1_epi16(1);
        if F::IS_SIGNED {
            let mut sums = _mm256_setzero_si256();
            for (v, weights) in weights.iter().enumerate() {
                let activations = _mm256_loadu_si256(unit.add(32 * v).cast());
                let signed = _mm256_sign_epi8(activations, *weights);
                let pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(*weights), signed);
                sums = _mm256_add_epi32(sums, _mm256_madd_epi16(pairs, ones));
            }
            sums
        } else {
            let mut pairs = _mm256_setzero_si256();
            for (v, weights) in weights.iter().enumerate() {
                let activations = _mm256_loadu_si256(unit.add(32 * v).cast());
                pairs = _mm256_add_epi16(pairs, _mm256_maddubs_epi16(*weights, activations));
            }
            _mm256_madd_epi16(pairs, ones)
        }
    }
}
