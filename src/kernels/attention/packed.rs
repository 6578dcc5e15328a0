//! Many query rows: keys and values of a block are copied as f32, the keys transposed, and two products of matrices
//! remain.

use super::picked::Picked;
use super::product::{Matrix, Product};
use super::tile::Tile;
use crate::kernels::lanes::Lanes;

/// The scores of the block's first `width` cells, a multiple of `2 * L::N`.
///
/// # Safety
/// As [`super::tile::run`]; the block has so many cells.
#[inline(always)]
pub(super) unsafe fn scores<L: Lanes>(tile: &Tile<'_>, width: usize) {
    let (a, own) = (tile.a, &tile.plan.own);
    let panel = 2 * L::N;
    // SAFETY: the caller's.
    unsafe {
        for first in (0..width).step_by(panel) {
            Picked::keys(tile, 0, first, panel).copy::<L>(tile, tile.at(own.k), own.k_row);
            let to = tile.at(own.panels + first * a.head_k);
            for i in (0..a.head_k).step_by(L::N) {
                for half in [0, L::N] {
                    let from = tile.at(own.k + half * own.k_row + i);
                    L::transpose(from, own.k_row, to.add(i * panel + half), panel);
                }
            }
            Product {
                rows: tile.rows(),
                depth: a.head_k,
                columns: panel,
                left: Matrix { at: tile.at(own.q), row: own.q_row },
                right: Matrix { at: to, row: panel },
                out: Matrix { at: tile.at(own.scores + first), row: own.score_row },
                factors: std::ptr::null(),
            }
            .run::<L>();
        }
    }
}

/// Adds the values of the block's first `width` cells to the sums.
///
/// # Safety
/// As [`super::tile::run`]; the block has so many cells, with weights.
#[inline(always)]
pub(super) unsafe fn add_values<L: Lanes>(tile: &Tile<'_>, width: usize) {
    let (a, own) = (tile.a, &tile.plan.own);
    // SAFETY: the caller's.
    unsafe {
        Picked::values(tile, 0, 0, width).copy::<L>(tile, tile.at(own.v), own.v_row);
        Product {
            rows: tile.rows(),
            depth: width,
            columns: a.head_v,
            left: Matrix { at: tile.at(own.scores), row: own.score_row },
            right: Matrix { at: tile.at(own.v), row: own.v_row },
            out: Matrix { at: tile.at(own.sums), row: own.sum_row },
            factors: tile.at(own.factor),
        }
        .run::<L>();
    }
}
