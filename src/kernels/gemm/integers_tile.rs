//! The innermost product of integers with AVX2: two vectors of weights by a few tokens, the sums of a group in registers.

use std::arch::asm;
use std::arch::x86_64::*;
use std::hint::black_box;

use super::integers::Integers;
use super::tile::Tile;

/// Floats, or words, of a vector.
const LANES: usize = 8;

/// A panel's two vectors.
pub(super) type Both = [__m256i; 2];

/// The sums of a tile. They are looked at once for each group, so their place is in memory: the registers are for the
/// group's.
#[repr(align(64))]
struct Sums<const T: usize>([[__m256; 2]; T]);

/// Computes a tile of `T` tokens.
///
/// # Safety
/// The processor has AVX2 and FMA. There are `words` times two vectors of weights and `words` times `T` words of tokens,
/// whole groups: for each, that of every token. At `to` there is room for two vectors in each of `T` rows, and `from` is
/// null or has as many.
#[inline(always)]
pub(super) unsafe fn compute<I: Integers, const T: usize>(tile: &Tile) {
    let group = I::GROUP + 2;
    // SAFETY: every address is within what the caller promises; a prefetch may have any.
    unsafe {
        let mut sums = Sums([[_mm256_setzero_ps(); 2]; T]);
        // Else the compiler would take registers for them.
        let Sums(sums) = black_box(&mut sums);
        if !tile.from.is_null() {
            for (t, sums) in sums.iter_mut().enumerate() {
                let from = tile.from.add(t * tile.from_stride);
                *sums = [_mm256_loadu_ps(from), _mm256_loadu_ps(from.add(LANES))];
            }
        }
        let (mut weights, mut tokens, mut next) = (tile.weights, tile.tokens, tile.next);
        for _ in 0..tile.words / group {
            for line in (0..T * group).step_by(16) {
                _mm_prefetch::<_MM_HINT_T0>(next.wrapping_add(line).cast());
            }
            add::<I, T>(sums, weights, tokens);
            weights = weights.add(group * 2 * LANES);
            tokens = tokens.add(group * T);
            next = next.wrapping_add(group * T);
        }
        for (t, sums) in sums.iter().enumerate() {
            let to = tile.to.add(t * tile.to_stride);
            _mm256_storeu_ps(to, sums[0]);
            _mm256_storeu_ps(to.add(LANES), sums[1]);
        }
    }
}

/// Adds a group.
///
/// # Safety
/// As for [`compute`].
#[inline(always)]
unsafe fn add<I: Integers, const T: usize>(
    sums: &mut [[__m256; 2]; T],
    weights: *const u32,
    tokens: *const u32,
) {
    // SAFETY: the caller's group.
    unsafe {
        let floats = |word: usize| {
            let [a, b] = vectors(weights, word);
            [_mm256_castsi256_ps(a), _mm256_castsi256_ps(b)]
        };
        let splat = |word: usize, t: usize| {
            let word = t * (I::GROUP + 2) + I::GROUP + word;
            _mm256_castsi256_ps(_mm256_set1_epi32(*tokens.add(word).cast()))
        };
        let products = I::products::<T>(weights, tokens);
        let ([a, b], [c, d]) = (floats(I::GROUP), floats(I::GROUP + 1));
        for (t, ([p, q], sums)) in products.into_iter().zip(sums.iter_mut()).enumerate() {
            let (scale, sum) = (splat(0, t), splat(1, t));
            if I::OFFSETS {
                *sums = [_mm256_fmadd_ps(c, sum, sums[0]), _mm256_fmadd_ps(d, sum, sums[1])];
            }
            let (a, b) = (_mm256_mul_ps(a, scale), _mm256_mul_ps(b, scale));
            let (p, q) = (_mm256_cvtepi32_ps(p), _mm256_cvtepi32_ps(q));
            *sums = [_mm256_fmadd_ps(p, a, sums[0]), _mm256_fmadd_ps(q, b, sums[1])];
        }
    }
}

/// The two vectors of a word.
///
/// # Safety
/// The processor has AVX2; there is such a word.
#[inline(always)]
pub(super) unsafe fn vectors(weights: *const u32, word: usize) -> Both {
    // SAFETY: the caller's word.
    unsafe {
        let at = weights.add(word * 2 * LANES);
        [_mm256_loadu_si256(at.cast()), _mm256_loadu_si256(at.add(LANES).cast())]
    }
}

/// The same. The compiler has to compute it here: it would change the order of the sums, which are integers, and keep
/// more than the registers hold.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn here([mut a, mut b]: Both) -> Both {
    // SAFETY: no instruction at all.
    unsafe {
        asm!("/* {} {} */", inout(ymm_reg) a, inout(ymm_reg) b,
            options(nomem, nostack, preserves_flags));
    }
    [a, b]
}
