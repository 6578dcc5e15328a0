//! The innermost product: two vectors of weights by a few tokens, all sums in registers.

use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};

use super::vector::Vector;

/// For each token of a tile and each lane of a panel: the sum over some words.
#[derive(Clone, Copy)]
pub(super) struct Tile {
    /// How many words each sum runs over.
    pub words: usize,
    /// The panel: for each word, that of every lane.
    pub weights: *const u32,
    /// Whether the same tokens are multiplied with other panels next, so that they stay in the first cache.
    pub weights_pass: bool,
    /// The tile: for each word, that of every token.
    pub tokens: *const u32,
    /// Where the next tile will be read, for the cache.
    pub next: *const u32,
    /// What the sums begin with, token by token; null: with nothing.
    pub from: *const f32,
    /// Floats from one token of `from` to the next.
    pub from_stride: usize,
    /// Where the sums go, token by token.
    pub to: *mut f32,
    /// Floats from one token of `to` to the next.
    pub to_stride: usize,
}

/// Computes a tile of `T` tokens.
///
/// # Safety
/// The processor has the vectors' instructions. There are `words` times two vectors of weights and `words` times `T` words
/// of tokens. At `to` there is room for two vectors in each of `T` rows, and `from` is null or has as many.
#[inline(always)]
pub(super) unsafe fn compute<V: Vector, const T: usize>(tile: &Tile) {
    // SAFETY: every address is within what the caller promises; a prefetch may have any.
    unsafe {
        let mut sums = [[V::zero(); 2]; T];
        if !tile.from.is_null() {
            for (t, sums) in sums.iter_mut().enumerate() {
                let from = tile.from.add(t * tile.from_stride);
                *sums = [V::load(from), V::load(from.add(V::LANES))];
            }
        }
        let mut at = Place { weights: tile.weights, tokens: tile.tokens };
        let mut next = tile.next;
        for _ in 0..tile.words / V::UNROLLED {
            for line in (0..T * V::UNROLLED).step_by(16) {
                _mm_prefetch::<_MM_HINT_T0>(next.wrapping_add(line).cast());
            }
            for _ in 0..V::UNROLLED {
                at.add::<V, T>(&mut sums);
            }
            next = next.wrapping_add(T * V::UNROLLED);
        }
        for _ in 0..tile.words % V::UNROLLED {
            at.add::<V, T>(&mut sums);
        }
        for (t, sums) in sums.iter().enumerate() {
            let to = tile.to.add(t * tile.to_stride);
            V::store(to, sums[0]);
            V::store(to.add(V::LANES), sums[1]);
        }
    }
}

/// Where a tile's next word is read.
struct Place {
    weights: *const u32,
    tokens: *const u32,
}

impl Place {
    /// Adds a word's products, and goes on.
    ///
    /// # Safety
    /// As for [`compute`]; there is a word left.
    #[inline(always)]
    unsafe fn add<V: Vector, const T: usize>(&mut self, sums: &mut [[V::Sums; 2]; T]) {
        // SAFETY: the caller's word.
        unsafe {
            let [a, b] = [V::words(self.weights), V::words(self.weights.add(V::LANES))];
            for (t, sums) in sums.iter_mut().enumerate() {
                let x = V::splat(self.tokens.add(t));
                *sums = [V::add(sums[0], a, x), V::add(sums[1], b, x)];
            }
            self.weights = self.weights.add(2 * V::LANES);
            self.tokens = self.tokens.add(T);
        }
    }
}
