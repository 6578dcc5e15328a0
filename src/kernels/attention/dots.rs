//! Products of few queries with the keys of some cells.

use super::direct::Part;
use crate::kernels::lanes::{Element, Kernel, Lanes};

/// Scores of `R` rows, for `C` cells at a time: `C` divides the number of cells.
pub(super) struct Dots<'a, E, const R: usize, const C: usize>(pub Part<'a, E>);

impl<E: Element, const R: usize, const C: usize> Kernel for Dots<'_, E, R, C> {
    #[inline(always)]
    unsafe fn run<L: Lanes>(self) {
        let Part { tile, rows, row, first, cells, .. } = self.0;
        let own = &tile.plan.own;
        // SAFETY: the caller's.
        unsafe {
            let q = tile.at(own.q + row * own.q_row);
            let scores = tile.at(own.scores + row * own.score_row + first);
            let is_first = rows.ahead > 0 && row.is_multiple_of(tile.rows_of_group());
            for i in (0..cells).step_by(C) {
                let mut keys = [rows.at; C];
                for (c, key) in keys.iter_mut().enumerate() {
                    *key = rows.row(i + c);
                }
                let mut sums = [[L::splat(0.0); C]; R];
                for (c, key) in keys.iter().enumerate() {
                    if is_first {
                        rows.prefetch::<L>(i + c);
                    }
                    for column in (0..rows.width).step_by(L::N) {
                        let key = E::load::<L>(key.add(column * E::BYTES));
                        for (r, sums) in sums.iter_mut().enumerate() {
                            let query = L::load(q.add(r * own.q_row + column));
                            sums[c] = L::fma(query, key, sums[c]);
                        }
                    }
                }
                for (r, sums) in sums.iter().enumerate() {
                    let to = scores.add(r * own.score_row + i);
                    for c in (0..C).step_by(4) {
                        L::store_sums(to.add(c), [sums[c], sums[c + 1], sums[c + 2], sums[c + 3]]);
                    }
                }
            }
        }
    }
}
