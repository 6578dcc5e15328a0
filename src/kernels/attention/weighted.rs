//! Sums of the values of some cells, weighted by few rows of weights.

use super::direct::Part;
use crate::kernels::lanes::{Element, Kernel, Lanes};

/// Adds to the sums of `R` rows. At the block's first cells these are multiplied by their factors before.
pub(super) struct Weighted<'a, E, const R: usize>(pub Part<'a, E>);

impl<E: Element, const R: usize> Kernel for Weighted<'_, E, R> {
    #[inline(always)]
    unsafe fn run<L: Lanes>(self) {
        let mut column = 0;
        while column < self.0.rows.width {
            // SAFETY: the caller's.
            let vectors = unsafe {
                match (self.0.rows.width - column) / L::N {
                    1 => self.columns::<L, 1>(column),
                    2 | 3 => self.columns::<L, 2>(column),
                    _ => self.columns::<L, 4>(column),
                }
            };
            column += vectors * L::N;
        }
    }
}

impl<E: Element, const R: usize> Weighted<'_, E, R> {
    /// Adds in `C` vectors of columns, from one on. Returns their number.
    ///
    /// # Safety
    /// As [`Kernel::run`]; there are so many columns.
    #[inline(always)]
    unsafe fn columns<L: Lanes, const C: usize>(&self, column: usize) -> usize {
        let Part { tile, rows, row, first, cells, .. } = self.0;
        let own = &tile.plan.own;
        // SAFETY: the caller's.
        unsafe {
            let weights = tile.at(own.scores + row * own.score_row + first);
            let out = tile.at(own.sums + row * own.sum_row + column);
            let mut sums = [[L::splat(0.0); C]; R];
            for (r, sums) in sums.iter_mut().enumerate() {
                let factor = if first == 0 { *tile.at(own.factor + row + r) } else { 1.0 };
                let factor = L::splat(factor);
                for (c, sum) in sums.iter_mut().enumerate() {
                    *sum = L::mul(factor, L::load(out.add(r * own.sum_row + c * L::N)));
                }
            }
            let is_first =
                rows.ahead > 0 && row.is_multiple_of(tile.rows_of_group()) && column == 0;
            for i in 0..cells {
                if is_first {
                    rows.prefetch::<L>(i);
                }
                let value = rows.row(i).add(column * E::BYTES);
                let mut values = [L::splat(0.0); C];
                for (c, x) in values.iter_mut().enumerate() {
                    *x = E::load::<L>(value.add(c * L::N * E::BYTES));
                }
                for (r, sums) in sums.iter_mut().enumerate() {
                    let weight = L::splat(*weights.add(r * own.score_row + i));
                    for (sum, x) in sums.iter_mut().zip(values) {
                        *sum = L::fma(weight, x, *sum);
                    }
                }
            }
            for (r, sums) in sums.into_iter().enumerate() {
                for (c, sum) in sums.into_iter().enumerate() {
                    L::store(out.add(r * own.sum_row + c * L::N), sum);
                }
            }
        }
        C
    }
}
