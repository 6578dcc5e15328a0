//! Few query rows: keys and values are read where they lie, once for all rows whose sums fit in registers.
//!
//! A few cells at a time are computed with for all groups, as neighbouring groups are neighbours in memory.

use std::marker::PhantomData;

use super::dots::Dots;
use super::picked::{Picked, Rows};
use super::plan::STEP;
use super::tile::Tile;
use super::weighted::Weighted;
use crate::kernels::WeightType;
use crate::kernels::lanes::{Element, Half, Lanes, Single};

/// Query rows of a tile, from one on, with keys or values of `cells` cells: the block's from `first` on.
#[derive(Clone, Copy)]
pub(super) struct Part<'a, E> {
    pub tile: &'a Tile<'a>,
    pub rows: Rows,
    pub row: usize,
    pub first: usize,
    pub cells: usize,
    pub element: PhantomData<E>,
}

/// The scores of the block's first `cells` cells, a multiple of `L::N`.
///
/// # Safety
/// As [`super::tile::run`]; the block has so many cells.
#[inline(always)]
pub(super) unsafe fn scores<L: Lanes>(tile: &Tile<'_>, cells: usize) {
    let own = &tile.plan.own;
    for (first, group) in steps(tile, cells) {
        let n = STEP.min(cells - first);
        // SAFETY: the caller's.
        unsafe {
            let keys = Picked::keys(tile, group, first, n);
            let keys = keys.readable::<L>(tile, tile.at(own.k), own.k_row);
            match keys.weight_type {
                WeightType::F16 => score_part::<L, Half>(tile, keys, group, [first, n]),
                _ => score_part::<L, Single>(tile, keys, group, [first, n]),
            }
        }
    }
}

/// Adds the values of the block's first `cells` cells to the sums.
///
/// # Safety
/// As [`super::tile::run`]; the block has so many cells, with weights.
#[inline(always)]
pub(super) unsafe fn add_values<L: Lanes>(tile: &Tile<'_>, cells: usize) {
    let own = &tile.plan.own;
    for (first, group) in steps(tile, cells) {
        let n = STEP.min(cells - first);
        // SAFETY: the caller's.
        unsafe {
            let values = Picked::values(tile, group, first, n);
            let values = values.readable::<L>(tile, tile.at(own.v), own.v_row);
            match values.weight_type {
                WeightType::F16 => add_part::<L, Half>(tile, values, group, [first, n]),
                _ => add_part::<L, Single>(tile, values, group, [first, n]),
            }
        }
    }
}

/// The first cells of all steps, with each group of the tile.
fn steps(tile: &Tile<'_>, cells: usize) -> impl Iterator<Item = (usize, usize)> {
    let groups = tile.groups.len();
    (0..cells).step_by(STEP).flat_map(move |first| (0..groups).map(move |group| (first, group)))
}

/// How many of the rows that are left are computed together: as equal parts as can be.
fn together(left: usize, most: usize) -> usize {
    left.div_ceil(left.div_ceil(most))
}

/// The scores of a group's rows.
///
/// # Safety
/// As [`scores`].
#[inline(always)]
unsafe fn score_part<L: Lanes, E: Element>(
    tile: &Tile<'_>,
    rows: Rows,
    group: usize,
    [first, cells]: [usize; 2],
) {
    let mut row = group * tile.rows_of_group();
    let end = row + tile.rows_of_group();
    while row < end {
        let part = Part { tile, rows, row, first, cells, element: PhantomData::<E> };
        let n = together(end - row, L::FEW_ROWS);
        // SAFETY: the caller's.
        unsafe {
            // As many sums as registers allow.
            match n {
                1 => L::call(Dots::<E, 1, 8>(part)),
                2 if L::FEW_ROWS == 2 => L::call(Dots::<E, 2, 4>(part)),
                2 => L::call(Dots::<E, 2, 8>(part)),
                3 => L::call(Dots::<E, 3, 8>(part)),
                _ => L::call(Dots::<E, 4, 4>(part)),
            }
        }
        row += n;
    }
}

/// Adds weighted values to the sums of a group's rows.
///
/// # Safety
/// As [`add_values`].
#[inline(always)]
unsafe fn add_part<L: Lanes, E: Element>(
    tile: &Tile<'_>,
    rows: Rows,
    group: usize,
    [first, cells]: [usize; 2],
) {
    let mut row = group * tile.rows_of_group();
    let end = row + tile.rows_of_group();
    while row < end {
        let part = Part { tile, rows, row, first, cells, element: PhantomData::<E> };
        let n = together(end - row, L::FEW_ROWS);
        // SAFETY: the caller's.
        unsafe {
            match n {
                1 => L::call(Weighted::<E, 1>(part)),
                2 => L::call(Weighted::<E, 2>(part)),
                3 => L::call(Weighted::<E, 3>(part)),
                _ => L::call(Weighted::<E, 4>(part)),
            }
        }
        row += n;
    }
}
