//! One item of work: some query rows over some cells, block after block.

use std::f32::consts::LOG2_E;
use std::ops::Range;

use super::plan::{BLOCK, Plan};
#[cfg(target_arch = "x86_64")]
use super::tiles;
use super::{Attention, cells, direct, packed, softmax};
use crate::kernels::Level;
use crate::kernels::lanes::Lanes;

/// The query rows of some tokens, group after group: in each, those of all heads that share a key head, token after
/// token.
#[derive(Clone)]
pub(super) struct Tile<'a> {
    pub a: &'a Attention,
    pub plan: &'a Plan,
    pub level: Level,
    /// This thread's scratch.
    pub own: *mut f32,
    /// The key heads.
    pub groups: Range<usize>,
    pub first_token: usize,
    pub tokens: usize,
    /// Its cells.
    pub cells: Range<usize>,
    pub chunk: usize,
}

impl<'a> Tile<'a> {
    /// Item `i` of the plan.
    pub(super) fn new(
        a: &'a Attention,
        plan: &'a Plan,
        level: Level,
        own: *mut f32,
        i: usize,
    ) -> Self {
        let (i, set) = (i / plan.sets, i % plan.sets);
        let (i, chunk) = (i / plan.chunks, i % plan.chunks);
        // The last tokens see the most cells: whoever has them begins first.
        let first_token = (plan.tiles - 1 - i) * plan.tokens;
        let tokens = plan.tokens.min(a.tokens - first_token);
        let groups = set * plan.groups..(set + 1) * plan.groups;
        let start = chunk * plan.chunk;
        let cells = start..a.kv.min(start + plan.chunk);
        Self { a, plan, level, own, groups, first_token, tokens, cells, chunk }
    }

    /// Query rows of each group.
    pub(super) fn rows_of_group(&self) -> usize {
        self.tokens * self.plan.shared_by
    }

    /// Query rows.
    pub(super) fn rows(&self) -> usize {
        self.rows_of_group() * self.groups.len()
    }

    /// The token of a row, counted from the tile's first.
    pub(super) fn token_of(&self, row: usize) -> usize {
        row % self.rows_of_group() / self.plan.shared_by
    }

    /// The token and the head of a row.
    pub(super) fn token_and_head(&self, row: usize) -> (usize, usize) {
        let group = self.groups.start + row / self.rows_of_group();
        let head = group * self.plan.shared_by + row % self.plan.shared_by;
        (self.first_token + self.token_of(row), head)
    }

    /// Something in the scratch.
    ///
    /// # Safety
    /// The place is within it.
    #[inline(always)]
    pub(super) unsafe fn at(&self, place: usize) -> *mut f32 {
        // SAFETY: the caller's.
        unsafe { self.own.add(place) }
    }

    /// The numbers of the block's cells.
    ///
    /// # Safety
    /// The scratch is as large as the plan says.
    #[inline(always)]
    pub(super) unsafe fn numbers(&self) -> *mut u32 {
        // SAFETY: a float is as large as such a number.
        unsafe { self.at(self.plan.own.cells).cast() }
    }
}

/// The whole item: afterwards the scratch has, for each row, the highest score, the sum of exponentials, and the sums
/// of values weighted by them.
///
/// # Safety
/// The processor has the instructions of `L`, and the attention's pointers and the scratch are as they say.
#[inline(always)]
pub(super) unsafe fn run<L: Lanes>(tile: &Tile<'_>) {
    // SAFETY: the caller's. A block has room for the cells of one more step, which is up to the end of the cache.
    unsafe {
        begin::<L>(tile);
        let step = 2 * L::N;
        let mut n = 0;
        for cell in tile.cells.clone().step_by(step) {
            if n + step > BLOCK {
                block::<L>(tile, n);
                n = 0;
            }
            n = cells::collect::<L>(tile, cell, n);
        }
        if n > 0 {
            block::<L>(tile, n);
        }
    }
}

/// Scales the queries, and empties the sums.
///
/// # Safety
/// As [`run`].
#[inline(always)]
unsafe fn begin<L: Lanes>(tile: &Tile<'_>) {
    let (a, own) = (tile.a, &tile.plan.own);
    let scale = if a.soft_cap == 0.0 { LOG2_E * a.scale } else { a.scale / a.soft_cap };
    // SAFETY: rows of the queries and of the scratch, both a multiple of `L::N` floats.
    unsafe {
        let (scale, zero) = (L::splat(scale), L::splat(0.0));
        for row in 0..tile.rows() {
            let (token, head) = tile.token_and_head(row);
            let from: *const f32 = a.q.byte_add(token * a.q_token + head * a.q_head);
            let to = tile.at(own.q + row * own.q_row);
            for i in (0..a.head_k).step_by(L::N) {
                L::store(to.add(i), L::mul(scale, L::load(from.add(i))));
            }
            let sums = tile.at(own.sums + row * own.sum_row);
            for i in (0..a.head_v).step_by(L::N) {
                L::store(sums.add(i), zero);
            }
            *tile.at(own.highest + row) = f32::NEG_INFINITY;
            *tile.at(own.total + row) = 0.0;
            *tile.at(own.slope + row) = LOG2_E * a.slope(head);
        }
        #[cfg(target_arch = "x86_64")]
        if tile.plan.in_amx {
            tiles::split_queries(tile);
        }
    }
}

/// Adds `n` collected cells, at least one.
///
/// # Safety
/// As [`run`]; there are so many numbers of cells and columns of the mask.
#[inline(always)]
unsafe fn block<L: Lanes>(tile: &Tile<'_>, n: usize) {
    // SAFETY: the caller's.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        if tile.plan.in_amx {
            let width = cells::pad::<L>(tile, n, 2 * L::N);
            tiles::scores(tile, width);
            softmax::weights::<L>(tile, width);
            tiles::add_values(tile, width);
            return;
        }
        if tile.plan.packed {
            let width = cells::pad::<L>(tile, n, 2 * L::N);
            packed::scores::<L>(tile, width);
            softmax::weights::<L>(tile, width);
            packed::add_values::<L>(tile, width);
        } else {
            let width = cells::pad::<L>(tile, n, L::N);
            direct::scores::<L>(tile, width);
            softmax::weights::<L>(tile, width);
            direct::add_values::<L>(tile, n);
        }
    }
}
