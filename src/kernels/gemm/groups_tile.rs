//! The innermost product of integers with VNNI: two vectors of weights by a few tokens, all sums in registers.

use std::arch::x86_64::*;

use super::groups::Groups;
use super::tile::Tile;

/// Floats, or words, of a vector.
const LANES: usize = 16;

/// Computes a tile of `T` tokens.
///
/// # Safety
/// The processor has AVX-512 F and VNNI. There are `words` times two vectors of weights and `words` times `T` words of
/// tokens, whole groups: for each, that of every token. At `to` there is room for two vectors in each of `T` rows, and `from` is null or has as many.
#[inline(always)]
pub(super) unsafe fn compute<G: Groups, const T: usize>(tile: &Tile) {
    // SAFETY: every address is within what the caller promises; a prefetch may have any.
    unsafe {
        let mut sums = [[_mm512_setzero_ps(); 2]; T];
        if !tile.from.is_null() {
            for (t, sums) in sums.iter_mut().enumerate() {
                let from = tile.from.add(t * tile.from_stride);
                *sums = [_mm512_loadu_ps(from), _mm512_loadu_ps(from.add(LANES))];
            }
        }
        let (mut weights, mut tokens, mut next) = (tile.weights, tile.tokens, tile.next);
        for _ in 0..tile.words / G::WORDS {
            for line in (0..T * G::WORDS).step_by(16) {
                _mm_prefetch::<_MM_HINT_T0>(next.wrapping_add(line).cast());
            }
            add::<G, T>(&mut sums, weights, tokens);
            weights = weights.add(G::WORDS * 2 * LANES);
            tokens = tokens.add(G::WORDS * T);
            next = next.wrapping_add(G::WORDS * T);
        }
        for (t, sums) in sums.iter().enumerate() {
            let to = tile.to.add(t * tile.to_stride);
            _mm512_storeu_ps(to, sums[0]);
            _mm512_storeu_ps(to.add(LANES), sums[1]);
        }
    }
}

/// Adds a group.
///
/// # Safety
/// As for [`compute`].
#[inline(always)]
pub(super) unsafe fn add<G: Groups, const T: usize>(
    sums: &mut [[__m512; 2]; T],
    weights: *const u32,
    tokens: *const u32,
) {
    // SAFETY: the caller's group.
    unsafe {
        let floats = |word: usize| {
            let [a, b] = vectors(weights, word);
            [_mm512_castsi512_ps(a), _mm512_castsi512_ps(b)]
        };
        let float = |word: usize, t: usize| {
            _mm512_castsi512_ps(_mm512_set1_epi32(*tokens.add(t * G::WORDS + word).cast()))
        };
        let products = G::products::<T>(weights, tokens);
        let [a, b] = floats(G::INTEGERS);
        for (t, ([p, q], sums)) in products.into_iter().zip(sums.iter_mut()).enumerate() {
            let scale = float(G::INTEGERS, t);
            let (p, q) = (_mm512_cvtepi32_ps(p), _mm512_cvtepi32_ps(q));
            *sums = [
                _mm512_fmadd_ps(p, _mm512_mul_ps(a, scale), sums[0]),
                _mm512_fmadd_ps(q, _mm512_mul_ps(b, scale), sums[1]),
            ];
        }
        if G::OFFSETS {
            let [a, b] = floats(G::INTEGERS + 1);
            for (t, sums) in sums.iter_mut().enumerate() {
                let x = float(G::INTEGERS + 1, t);
                *sums = [_mm512_fmadd_ps(a, x, sums[0]), _mm512_fmadd_ps(b, x, sums[1])];
            }
        }
    }
}

/// The two vectors of a word.
///
/// # Safety
/// The processor has AVX-512 F; there is such a word.
#[inline(always)]
pub(super) unsafe fn vectors(weights: *const u32, word: usize) -> [__m512i; 2] {
    // SAFETY: the caller's word.
    unsafe {
        let at = weights.add(word * 2 * LANES);
        [_mm512_loadu_si512(at.cast()), _mm512_loadu_si512(at.add(LANES).cast())]
    }
}
