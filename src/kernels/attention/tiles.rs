//! Many query rows with AMX: queries, keys, weights and values become brain floats, and two products of the processor's
//! tiles remain. Sums stay f32.

use std::arch::x86_64::*;

use super::LONGEST_HEAD;
use super::picked::Picked;
use super::tile::Tile;
use crate::kernels::amx::{self, COLUMNS, MOST, STEP, TileProduct};
use crate::kernels::gemm::{interleave, rows16};
use crate::kernels::lanes::F32x16;
use crate::kernels::vector::{brain_floats, in_two_parts};

/// Elements of a step.
const ELEMENTS: usize = 2 * STEP;

/// Makes the tile's queries pairs of brain floats, where they are: as [`split`] does.
///
/// # Safety
/// As [`super::tile::run`], and the plan is for the processor's tiles; the queries are scaled.
pub(super) unsafe fn split_queries(tile: &Tile<'_>) {
    let own = &tile.plan.own;
    // SAFETY: the caller's.
    unsafe { split(tile.at(own.q), own.q_row, tile.rows(), tile.a.head_k) }
}

/// The scores of the block's first `width` cells, whole steps. Exponentials make much of an error, so the factors keep
/// 16 bits: the products of the high halves, and those of a high one and a low one.
///
/// # Safety
/// As [`split_queries`], which was called; the block has so many cells.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512bf16,avx2,fma,f16c")]
pub(super) unsafe fn scores(tile: &Tile<'_>, width: usize) {
    let (a, own) = (tile.a, &tile.plan.own);
    // A panel has the words of the low halves, then those of the high ones.
    let half = a.head_k / 2 * COLUMNS;
    let panel = |first: usize| (own.panels + first * a.head_k, first);
    // SAFETY: the caller's; a panel takes what one of floats does.
    unsafe {
        for (to, first) in (0..width).step_by(COLUMNS).map(panel) {
            Picked::keys(tile, 0, first, COLUMNS).copy::<F32x16>(tile, tile.at(own.k), own.k_row);
            split(tile.at(own.k), own.k_row, COLUMNS, a.head_k);
            for (part, to) in [(0, to + half), (a.head_k / 2, to)] {
                for side in [0, COLUMNS / 2] {
                    let rows = tile.at(own.k + side * own.k_row + part).cast();
                    let to = tile.at(to + side).cast();
                    rows16(rows, own.k_row, COLUMNS / 2, a.head_k / 2, to, COLUMNS);
                }
            }
        }
        products(tile.rows(), |row, rows| {
            for (right, first) in (0..width).step_by(COLUMNS).map(panel) {
                let to = tile.at(own.scores + row * own.score_row + first);
                let high = TileProduct {
                    rows,
                    steps: a.head_k / ELEMENTS,
                    left: tile.at(own.q + row * own.q_row).cast(),
                    left_row: own.q_row,
                    left_step: STEP,
                    right: tile.at(right + half).cast(),
                    right_passes: false,
                    from: std::ptr::null(),
                    from_row: 0,
                    to,
                    to_row: own.score_row,
                };
                high.run();
                TileProduct {
                    steps: 2 * high.steps,
                    right: tile.at(right).cast(),
                    from: to,
                    from_row: own.score_row,
                    ..high
                }
                .run();
            }
        });
    }
}

/// Adds the values of the block's first `width` cells to the sums, which are multiplied by their factors before.
///
/// # Safety
/// As [`scores`]; the cells have weights, in whose place nothing of use is left.
pub(super) unsafe fn add_values(tile: &Tile<'_>, width: usize) {
    let (a, own) = (tile.a, &tile.plan.own);
    let apart = width / 2 * COLUMNS;
    // SAFETY: the caller's; a pair of rows becomes a row of words in each panel of columns.
    unsafe {
        for row in 0..tile.rows() {
            scale(tile.at(own.sums + row * own.sum_row), a.head_v, *tile.at(own.factor + row));
        }
        round(tile.at(own.scores), own.score_row, tile.rows(), width);
        let pair = tile.at(own.v).cast::<u32>();
        for word in 0..width / 2 {
            Picked::values(tile, 0, 2 * word, 2).round(tile, pair, own.v_row);
            let to = tile.at(own.panels + word * COLUMNS).cast();
            interleave(pair, own.v_row, a.head_v, to, apart);
        }
        products(tile.rows(), |row, rows| {
            for column in (0..a.head_v).step_by(COLUMNS) {
                let sums = tile.at(own.sums + row * own.sum_row + column);
                TileProduct {
                    rows,
                    steps: width / ELEMENTS,
                    left: tile.at(own.scores + row * own.score_row).cast(),
                    left_row: own.score_row,
                    left_step: STEP,
                    right: tile.at(own.panels + column / COLUMNS * apart).cast(),
                    right_passes: false,
                    from: sums,
                    from_row: own.sum_row,
                    to: sums,
                    to_row: own.sum_row,
                }
                .run();
            }
        });
    }
}

/// Calls something for some rows after the others, with the processor's tiles ready for as many.
///
/// # Safety
/// The processor has the level.
unsafe fn products(rows: usize, some: impl Fn(usize, usize)) {
    let mut ready_for = 0;
    for row in (0..rows).step_by(MOST) {
        let n = MOST.min(rows - row);
        // SAFETY: the caller's processor.
        unsafe {
            if n != ready_for {
                ready_for = n;
                amx::prepare(n);
            }
        }
        some(row, n);
    }
    // SAFETY: the caller's processor.
    unsafe { amx::release() }
}

/// Makes rows of floats two of brain floats, where they are: the nearest ones, and then what is left. Whole steps.
///
/// # Safety
/// The processor has the level; there are so many rows.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512bf16")]
unsafe fn split(data: *mut f32, stride: usize, rows: usize, n: usize) {
    let mut copy = [0f32; LONGEST_HEAD];
    for row in 0..rows {
        // SAFETY: the caller's rows, no longer than a head may be.
        unsafe {
            let row = data.add(row * stride);
            row.copy_to_nonoverlapping(copy.as_mut_ptr(), n);
            for i in (0..n).step_by(ELEMENTS) {
                let x = [i, i + STEP].map(|i| _mm512_loadu_ps(copy.as_ptr().add(i)));
                let [near, left] = in_two_parts(x);
                _mm512_storeu_si512(row.add(i / 2).cast(), near);
                _mm512_storeu_si512(row.add((n + i) / 2).cast(), left);
            }
        }
    }
}

/// Makes rows of floats brain floats, where they are; whole steps.
///
/// # Safety
/// The processor has the level; there are so many rows.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512bf16")]
unsafe fn round(data: *mut f32, stride: usize, rows: usize, n: usize) {
    for row in 0..rows {
        for i in (0..n).step_by(ELEMENTS) {
            // SAFETY: the caller's rows; what is written lies at most where it was just read.
            unsafe {
                let row = data.add(row * stride);
                let x = brain_floats([i, i + STEP].map(|i| _mm512_loadu_ps(row.add(i))));
                _mm512_storeu_si512(row.add(i / 2).cast(), x);
            }
        }
    }
}

/// Multiplies floats, whole vectors, with a factor.
///
/// # Safety
/// The processor has the level; there are so many.
#[target_feature(enable = "avx512f")]
unsafe fn scale(data: *mut f32, n: usize, factor: f32) {
    if factor == 1.0 {
        return;
    }
    let factor = _mm512_set1_ps(factor);
    for i in (0..n).step_by(STEP) {
        // SAFETY: the caller's floats.
        unsafe {
            let at = data.add(i);
            _mm512_storeu_ps(at, _mm512_mul_ps(factor, _mm512_loadu_ps(at)));
        }
    }
}
