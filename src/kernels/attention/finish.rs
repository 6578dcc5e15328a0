//! From sums to results: for a tile that saw all cells at once, or for the parts of a split cache together.

use std::f32::consts::LOG2_E;

use super::Attention;
use super::plan::{APART, Plan};
use super::tile::Tile;
use crate::kernels::Crew;
use crate::kernels::lanes::Lanes;

/// What the sums of a row with this highest score and total are multiplied by, so that its weights add up to one. A
/// sink is a score without a value. A row that saw nothing gives zeros.
fn normal(a: &Attention, head: usize, highest: f32, total: f32) -> f32 {
    if total == 0.0 {
        return 0.0;
    }
    if a.sinks.is_null() {
        return 1.0 / total;
    }
    // SAFETY: there is a sink for each head.
    let sink = LOG2_E * unsafe { *a.sinks.add(head) };
    // A sink far above all scores makes this infinite, and the result zero.
    1.0 / (total + (sink - highest).exp2())
}

/// Writes a row of the result: `sums` times `factor`.
///
/// # Safety
/// The processor has the instructions of `L`; `sums` are those of a row, and the output is as the attention says.
#[inline(always)]
unsafe fn write<L: Lanes>(a: &Attention, token: usize, head: usize, sums: *const f32, factor: f32) {
    // SAFETY: the caller's.
    unsafe {
        let to = a.out.add((token * a.heads + head) * a.head_v);
        let factor = L::splat(factor);
        for i in (0..a.head_v).step_by(L::N) {
            L::store(to.add(i), L::mul(factor, L::load(sums.add(i))));
        }
    }
}

/// Writes a tile's results.
///
/// # Safety
/// As [`super::tile::run`], which has been called.
#[inline(always)]
pub(super) unsafe fn write_tile<L: Lanes>(tile: &Tile<'_>) {
    let (a, own) = (tile.a, &tile.plan.own);
    for row in 0..tile.rows() {
        let (token, head) = tile.token_and_head(row);
        // SAFETY: the caller's.
        unsafe {
            let factor = normal(a, head, *tile.at(own.highest + row), *tile.at(own.total + row));
            write::<L>(a, token, head, tile.at(own.sums + row * own.sum_row), factor);
        }
    }
}

/// Puts a tile's sums where they wait for the other parts of the cache.
///
/// # Safety
/// As [`super::tile::run`], which has been called; `parts` is the shared scratch.
#[inline(always)]
pub(super) unsafe fn keep_tile<L: Lanes>(tile: &Tile<'_>, parts: *mut f32) {
    let (a, own) = (tile.a, &tile.plan.own);
    for row in 0..tile.rows() {
        let (token, head) = tile.token_and_head(row);
        let part = (token * a.heads + head) * tile.plan.chunks + tile.chunk;
        // SAFETY: the caller's.
        unsafe {
            let part = parts.add(part * Plan::part(a));
            *part = *tile.at(own.highest + row);
            *part.add(1) = *tile.at(own.total + row);
            let (from, to) = (tile.at(own.sums + row * own.sum_row), part.add(APART));
            for i in (0..a.head_v).step_by(L::N) {
                L::store(to.add(i), L::load(from.add(i)));
            }
        }
    }
}

/// Makes results of all parts, in the order of the cells. Each thread has some of the rows.
///
/// # Safety
/// As [`super::tile::run`]; every tile has been kept in `parts`, and all threads know of it.
#[inline(always)]
pub(super) unsafe fn combine<L: Lanes>(
    a: &Attention,
    plan: &Plan,
    crew: Crew<'_>,
    parts: *mut f32,
) {
    let size = Plan::part(a);
    for row in crew.share(a.tokens * a.heads, 1) {
        // SAFETY: the caller's. The first part is this thread's to change now.
        unsafe {
            let parts = parts.add(row * plan.chunks * size);
            let mut highest = f32::NEG_INFINITY;
            for chunk in 0..plan.chunks {
                highest = highest.max(*parts.add(chunk * size));
            }
            let zero = if highest == f32::NEG_INFINITY { 0.0 } else { highest };
            let mut total = 0.0;
            for chunk in 0..plan.chunks {
                let part = parts.add(chunk * size);
                let factor = (*part - zero).exp2();
                total += factor * *part.add(1);
                let to = parts.add(APART);
                for i in (0..a.head_v).step_by(L::N) {
                    let x = L::mul(L::splat(factor), L::load(part.add(APART + i)));
                    let sum = if chunk == 0 { x } else { L::add(x, L::load(to.add(i))) };
                    L::store(to.add(i), sum);
                }
            }
            let (token, head) = (row / a.heads, row % a.heads);
            let factor = normal(a, head, highest, total);
            write::<L>(a, token, head, parts.add(APART), factor);
        }
    }
}
