//! The loop over rows of weights that all types share.

use std::arch::x86_64::*;

use super::super::{Level, Vectors};
use super::dot::Dot;
use super::layout::{BLOCK, Extra, Factors, Format, Layout, ROWS};

/// How many bytes ahead of the weights in use memory is asked for more. Measured.
const NEAR: usize = 256;
/// The same where activations fill much of the first-level cache, into which no weights are brought early then, and for
/// processors with AMX, whose memory is further away.
const FAR: usize = 2048;
/// So many bytes of activations are much of it.
const MANY: usize = 10 << 10;

/// How many bytes ahead of the weights in use a processor of this level is asked for more.
pub(super) fn ahead(level: Level) -> usize {
    if level >= Level::Amx { FAR } else { NEAR }
}

/// Where a kernel reads and writes.
#[derive(Clone, Copy)]
pub(super) struct Place {
    /// The first of the rows.
    pub weights: *const u8,
    /// Bytes from one row to the next.
    pub stride: usize,
    /// Rows to compute.
    pub rows: usize,
    /// Rows from one of those that are computed together to the next. Each is the head of as many that follow each other
    /// in memory, which then comes by itself: the processor sees so many streams.
    pub apart: usize,
    /// Bytes from the weights in use to those to ask for: see [`ahead`].
    pub ahead: usize,
    /// Elements of a row.
    pub width: usize,
    /// The first token's quantized activations; the others follow. Null where weights are floats.
    pub activations: *const u8,
    /// For each token the values, that for the first row first.
    pub y: Vectors,
}

impl Place {
    /// The same from this row and token on, whose activations have so many bytes.
    ///
    /// # Safety
    /// They are there.
    #[inline(always)]
    pub(super) unsafe fn from(&self, row: usize, token: usize, bytes: usize) -> Self {
        // SAFETY: the caller promises it.
        unsafe {
            Self {
                weights: self.weights.add(row * self.stride),
                rows: self.rows - row,
                activations: self.activations.add(token * bytes),
                y: self.y.from(token).elements(row),
                ..*self
            }
        }
    }

    /// Rows that are computed together. In place of one that is not there it is the first.
    #[inline(always)]
    pub(super) fn rows(&self) -> [*const u8; ROWS] {
        let mut rows = [self.weights; ROWS];
        for (r, row) in rows.iter_mut().enumerate() {
            let at = r * self.apart;
            *row = row.wrapping_add(if at < self.rows { at * self.stride } else { 0 });
        }
        rows
    }

    /// The activations of some tokens.
    #[inline(always)]
    pub(super) fn tokens<const T: usize>(&self, layout: &Layout) -> [*const u8; T] {
        let mut tokens = [self.activations; T];
        for (t, token) in tokens.iter_mut().enumerate() {
            *token = token.wrapping_add(t * layout.bytes(self.width));
        }
        tokens
    }

    /// Whether the activations of so many tokens take much of the first-level cache.
    #[inline(always)]
    pub(super) fn are_many<const T: usize>(&self, layout: &Layout) -> bool {
        T * layout.bytes(self.width) > MANY
    }

    /// Writes a token's values for rows that are computed together.
    ///
    /// # Safety
    /// The processor has SSE; the token's values can be written.
    #[inline(always)]
    pub(super) unsafe fn store(&self, token: usize, sums: __m128) {
        let mut values = [0.0f32; ROWS];
        // SAFETY: the caller promises it; rows that are not there are left out.
        unsafe {
            _mm_storeu_ps(values.as_mut_ptr(), sums);
            for (r, value) in values.iter().enumerate() {
                let row = r * self.apart;
                if row < self.rows {
                    *self.y.at(token).add(row) = *value;
                }
            }
        }
    }
}

/// Computes up to [`ROWS`] rows, the first ones of their streams, for `T` tokens.
///
/// # Safety
/// The processor has AVX-512 F, BW, VL and DQ and what `D` needs; what `place` shows is there.
#[inline(always)]
pub(super) unsafe fn block<F, D, const U: usize, const V: usize, const T: usize>(place: &Place)
where
    F: Format<U, V>,
    D: Dot,
{
    let mut rows = place.rows();
    let mut tokens = place.tokens::<T>(&F::LAYOUT);
    let are_many = place.are_many::<T>(&F::LAYOUT);
    let mut blocks = place.width / BLOCK;
    // SAFETY: as above; the rows have that many blocks, and the tokens as many steps.
    unsafe {
        let mut sums = [_mm512_setzero_ps(); T];
        while blocks >= F::LAYOUT.blocks {
            prefetch(&rows, F::BYTES, place.ahead, are_many);
            step::<F, D, U, V, T>(&mut sums, &rows, F::LAYOUT.blocks, &tokens);
            for row in &mut rows {
                *row = row.wrapping_add(F::BYTES);
            }
            for token in &mut tokens {
                *token = token.wrapping_add(F::LAYOUT.step_bytes());
            }
            blocks -= F::LAYOUT.blocks;
        }
        if F::LAYOUT.may_end_early() && blocks > 0 {
            prefetch(&rows, F::BYTES, place.ahead, are_many);
            step::<F, D, U, V, T>(&mut sums, &rows, blocks, &tokens);
        }
        for (t, sums) in sums.iter().enumerate() {
            place.store(t, over_quarters(*sums));
        }
    }
}

/// Asks for the lines that come a while after so many bytes of each row. They need not be there.
#[inline(always)]
pub(super) fn prefetch(rows: &[*const u8; ROWS], bytes: usize, ahead: usize, are_many: bool) {
    for row in rows {
        for line in (0..bytes).step_by(64) {
            // SAFETY: a hint reads nothing; every x86-64 processor knows it.
            unsafe {
                if are_many {
                    _mm_prefetch::<_MM_HINT_T1>(row.wrapping_add(FAR + line).cast());
                } else {
                    _mm_prefetch::<_MM_HINT_T0>(row.wrapping_add(ahead + line).cast());
                }
            }
        }
    }
}

/// Adds one step to the sums of all tokens: so many `blocks` of it.
///
/// # Safety
/// As for [`block`].
#[inline(always)]
unsafe fn step<F, D, const U: usize, const V: usize, const T: usize>(
    sums: &mut [__m512; T],
    rows: &[*const u8; ROWS],
    blocks: usize,
    tokens: &[*const u8; T],
) where
    F: Format<U, V>,
    D: Dot,
{
    const { assert!(0 < U && U <= 4) };
    // SAFETY: as above.
    unsafe {
        let factors = F::factors(rows, blocks);
        unit::<F, D, U, V, T, 0>(sums, &factors, rows, blocks, tokens);
        if U > 1 {
            unit::<F, D, U, V, T, 1>(sums, &factors, rows, blocks, tokens);
        }
        if U > 2 {
            unit::<F, D, U, V, T, 2>(sums, &factors, rows, blocks, tokens);
        }
        if U > 3 {
            unit::<F, D, U, V, T, 3>(sums, &factors, rows, blocks, tokens);
        }
    }
}

/// Adds one unit of a step to the sums of all tokens.
///
/// # Safety
/// As for [`block`].
#[inline(always)]
unsafe fn unit<F, D, const U: usize, const V: usize, const T: usize, const UNIT: usize>(
    sums: &mut [__m512; T],
    factors: &Factors<U>,
    rows: &[*const u8; ROWS],
    blocks: usize,
    tokens: &[*const u8; T],
) where
    F: Format<U, V>,
    D: Dot,
{
    // SAFETY: as above.
    unsafe {
        let mut weights = [[_mm512_setzero_si512(); V]; ROWS];
        for (weights, row) in weights.iter_mut().zip(rows) {
            *weights = F::quants::<UNIT>(*row, blocks);
        }
        for (sum, token) in sums.iter_mut().zip(tokens) {
            let unit = token.add(UNIT * F::LAYOUT.unit_bytes());
            let extra = unit.add(F::LAYOUT.extra_at());
            let offsets = match F::LAYOUT.extra {
                Extra::Lanes(_) => _mm512_loadu_si512(extra.cast()),
                _ => _mm512_setzero_si512(),
            };
            let mut products = [offsets; ROWS];
            for v in 0..V {
                let activations = _mm512_loadu_si512(unit.add(64 * v).cast());
                for (products, weights) in products.iter_mut().zip(&weights) {
                    *products = D::dot(*products, weights[v], activations);
                }
            }
            let scales = _mm512_loadu_ps(unit.add(F::LAYOUT.scales_at()).cast());
            let scales = _mm512_mul_ps(factors.scales[UNIT], scales);
            let products = _mm512_cvtepi32_ps(within_quarters(products));
            *sum = _mm512_fmadd_ps(products, scales, *sum);
            if let Extra::Quarters(_) = F::LAYOUT.extra {
                *sum = _mm512_fmadd_ps(factors.mins[UNIT], _mm512_loadu_ps(extra.cast()), *sum);
            }
        }
    }
}

/// The sums of each quarter of four vectors: lane i of a quarter has vector i's.
///
/// # Safety
/// The processor has AVX-512 F.
#[inline(always)]
unsafe fn within_quarters([a, b, c, d]: [__m512i; ROWS]) -> __m512i {
    // SAFETY: the caller knows that the processor has it.
    unsafe {
        let ab = _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
        let cd = _mm512_add_epi32(_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
        _mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd))
    }
}

/// The sum of a vector's four quarters.
///
/// # Safety
/// The processor has AVX-512 F and DQ.
#[inline(always)]
unsafe fn over_quarters(sums: __m512) -> __m128 {
    // SAFETY: the caller knows that the processor has it.
    unsafe {
        let upper = _mm512_extractf32x8_ps::<1>(sums);
        let sums = _mm256_add_ps(_mm512_castps512_ps256(sums), upper);
        _mm_add_ps(_mm256_castps256_ps128(sums), _mm256_extractf128_ps::<1>(sums))
    }
}
