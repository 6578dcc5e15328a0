//! The running softmax (Milakov and Gimelshein, "Online normalizer calculation for softmax", 2018): from a block's
//! scores to exponentials below the highest score so far, and what earlier sums must be multiplied by.
//!
//! Scores are in units of ln 2, so that the exponentials are powers of 2.

use std::f32::consts::LOG2_E;

use super::plan::BLOCK;
use super::tile::Tile;
use crate::kernels::lanes::{Kernel, Lanes, tanh};

/// Makes weights of the scores of the block's first `width` cells.
///
/// # Safety
/// As [`super::tile::run`]; scores and mask have so many columns, a multiple of `L::N`.
#[inline(always)]
pub(super) unsafe fn weights<L: Lanes>(tile: &Tile<'_>, width: usize) {
    // SAFETY: the caller's.
    unsafe {
        if tile.a.soft_cap == 0.0 {
            L::call(Weights::<false> { tile, width });
        } else {
            L::call(Weights::<true> { tile, width });
        }
    }
}

/// The weights of all rows, with or without a cap.
struct Weights<'a, const CAP: bool> {
    tile: &'a Tile<'a>,
    width: usize,
}

impl<const CAP: bool> Kernel for Weights<'_, CAP> {
    #[inline(always)]
    unsafe fn run<L: Lanes>(self) {
        for row in 0..self.tile.rows() {
            // SAFETY: the caller's.
            unsafe { self.row::<L>(row) };
        }
    }
}

impl<const CAP: bool> Weights<'_, CAP> {
    /// The weights of one row.
    ///
    /// # Safety
    /// As [`weights`].
    #[inline(always)]
    unsafe fn row<L: Lanes>(&self, row: usize) {
        let (tile, own) = (self.tile, &self.tile.plan.own);
        // SAFETY: the caller's.
        unsafe {
            let scores = tile.at(own.scores + row * own.score_row);
            let mask = tile.at(own.mask + tile.token_of(row) * BLOCK);
            let cap = L::splat(LOG2_E * tile.a.soft_cap);
            let slope = L::splat(*tile.at(own.slope + row));
            let mut high = L::splat(f32::NEG_INFINITY);
            for i in (0..self.width).step_by(L::N) {
                let mut x = L::load(scores.add(i));
                if CAP {
                    x = L::mul(cap, tanh::<L>(x));
                }
                let x = L::fma(slope, L::load(mask.add(i)), x);
                L::store(scores.add(i), x);
                high = L::max(x, high);
            }
            let highest = tile.at(own.highest + row);
            let before = *highest;
            *highest = L::highest(high).max(before);
            // A row that has seen nothing yet has no highest score: any other than that gives zeros.
            let zero = if *highest == f32::NEG_INFINITY { 0.0 } else { *highest };
            let mut total = L::splat(0.0);
            for i in (0..self.width).step_by(L::N) {
                let x = L::exp2(L::sub(L::load(scores.add(i)), L::splat(zero)));
                L::store(scores.add(i), x);
                total = L::add(total, x);
            }
            let factor = if before == zero { 1.0 } else { (before - zero).exp2() };
            *tile.at(own.factor + row) = factor;
            let sum = tile.at(own.total + row);
            *sum = *sum * factor + L::sum(total);
        }
    }
}
