//! Which cells a tile sees: they are collected by their mask, so that what nobody sees costs nothing and is never read,
//! be it after a token, before a window, or another sequence's.

use super::plan::{BLOCK, PANEL};
use super::tile::Tile;
use crate::kernels::lanes::Lanes;

/// Minus infinity as f16: what the mask says of a cell that a token does not see.
const UNSEEN: u16 = 0xfc00;

/// Adds what is seen of the next `2 * L::N` cells to the `n` cells of the block, and says how many these are now.
///
/// # Safety
/// As [`super::tile::run`]; the block has room for all of them.
#[inline(always)]
pub(super) unsafe fn collect<L: Lanes>(tile: &Tile<'_>, cell: usize, n: usize) -> usize {
    let left = tile.cells.end - cell;
    let mut seen = 0;
    // SAFETY: the mask has a row of `kv` columns for each token, the block one of `BLOCK`.
    unsafe {
        for token in 0..tile.tokens {
            let to = tile.at(tile.plan.own.mask + token * BLOCK + n);
            let mut copy = [UNSEEN; PANEL];
            let mut from = copy.as_ptr();
            if tile.a.mask.is_null() {
                copy[..left.min(PANEL)].fill(0);
            } else {
                let row = (tile.first_token + token) * tile.a.mask_stride;
                let row = tile.a.mask.byte_add(row).add(cell);
                if left < 2 * L::N {
                    std::ptr::copy_nonoverlapping(row, copy.as_mut_ptr(), left);
                } else {
                    from = row;
                }
            }
            let (low, high) = (L::load_f16(from), L::load_f16(from.add(L::N)));
            L::store(to, low);
            L::store(to.add(L::N), high);
            seen |= L::finite(low) | L::finite(high) << L::N;
        }
        // The first ones, or all, lie where they should.
        if seen & seen.wrapping_add(1) != 0 {
            close_up::<L>(tile, n, seen);
        }
        let numbers = tile.numbers().add(n);
        let count = seen.count_ones() as usize;
        let mut bits = seen;
        for i in 0..count {
            *numbers.add(i) = cell as u32 + bits.trailing_zeros();
            bits &= bits.wrapping_sub(1);
        }
        n + count
    }
}

/// Removes the columns of unseen cells from the newest part of the mask.
///
/// # Safety
/// As [`collect`].
#[inline(always)]
unsafe fn close_up<L: Lanes>(tile: &Tile<'_>, n: usize, seen: u32) {
    let (low, high) = (seen & ((1 << L::N) - 1), seen >> L::N);
    // SAFETY: the caller's.
    unsafe {
        for token in 0..tile.tokens {
            let at = tile.at(tile.plan.own.mask + token * BLOCK + n);
            let (a, b) = (L::load(at), L::load(at.add(L::N)));
            L::store(at, L::compress(a, low));
            L::store(at.add(low.count_ones() as usize), L::compress(b, high));
        }
    }
}

/// Fills the block up to a multiple of `step` cells, with cells that can be read but that the mask hides. Says how many
/// there are then.
///
/// # Safety
/// As [`super::tile::run`]; `n` cells, at least one, are in the block.
#[inline(always)]
pub(super) unsafe fn pad<L: Lanes>(tile: &Tile<'_>, n: usize, step: usize) -> usize {
    let width = n.next_multiple_of(step);
    // SAFETY: the block's size is a multiple of any step.
    unsafe {
        for i in n..width {
            *tile.numbers().add(i) = *tile.numbers().add(n - 1);
            for token in 0..tile.tokens {
                *tile.at(tile.plan.own.mask + token * BLOCK + i) = f32::NEG_INFINITY;
            }
        }
    }
    width
}
