//! How an attention is split into items of work, and what of its scratch lies where.

use super::Attention;
use crate::kernels::{Level, Need};

/// Cells whose scores are computed before they are used, at most.
pub(super) const BLOCK: usize = 128;
/// Cells that are read one after the other, where keys and values are read as they lie: a multiple of any vector.
pub(super) const STEP: usize = 16;
/// Cells of a packed panel of keys, at most.
pub(super) const PANEL: usize = 32;
/// Query rows of an item, about: as many as make packing keys and values cheap.
const ROWS: usize = 96;
/// The same for the processor's tiles, which multiply quicker than keys and values are packed.
const AMX_ROWS: usize = 192;
/// Up to so many query rows of a group, keys and values are read as they lie instead.
const FEW_ROWS: usize = 16;
/// Up to so many cells, few rows are not worth a wait for other threads.
const FEW_CELLS: usize = 256;
/// Long caches are split into about so many items, so that every thread has something to do.
const ITEMS: usize = 32;
/// Cells of a part of a split cache: a multiple of this.
const CHUNK: usize = 64;
/// Floats between rows that are read side by side, so that they do not fall on the same lines of a cache.
pub(super) const APART: usize = 16;

/// Items of work: some tokens and all query heads of a key head, or of all of them, over all cells or a chunk of these.
/// It follows from the shapes alone, as the results depend on it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    /// Query heads of a key head.
    pub shared_by: usize,
    /// Tokens of an item, at most.
    pub tokens: usize,
    pub tiles: usize,
    /// Key heads of an item.
    pub groups: usize,
    pub sets: usize,
    /// Cells of an item, at most.
    pub chunk: usize,
    pub chunks: usize,
    /// Whether keys and values are packed.
    pub packed: bool,
    /// Whether they are so for the processor's tiles.
    pub in_amx: bool,
    pub own: Own,
}

/// Where one thread's scratch has what, in floats.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Own {
    /// Scaled queries: rows `q_row` apart.
    pub q: usize,
    pub q_row: usize,
    /// Scores, then their exponentials: rows `score_row` apart.
    pub scores: usize,
    pub score_row: usize,
    /// Weighted sums of values: rows `sum_row` apart, whole pairs of vectors.
    pub sums: usize,
    pub sum_row: usize,
    /// One float for each row: the highest score, the sum of exponentials, what the newest block multiplies sums by.
    pub highest: usize,
    pub total: usize,
    pub factor: usize,
    /// What each row's mask is multiplied by, in units of ln 2.
    pub slope: usize,
    /// The mask of the block's cells: `BLOCK` floats for each token.
    pub mask: usize,
    /// The numbers of the block's cells.
    pub cells: usize,
    /// Keys as f32 rows, `k_row` apart.
    pub k: usize,
    pub k_row: usize,
    /// Keys as f32 panels, transposed. For the processor's tiles, keys as pairs of brain floats, then values as such.
    pub panels: usize,
    /// Values as f32 rows, `v_row` apart.
    pub v: usize,
    pub v_row: usize,
    /// Floats of all.
    pub floats: usize,
}

impl Plan {
    /// The plan for an attention.
    pub(super) fn new(a: &Attention, level: Level) -> Self {
        let shared_by = a.heads / a.groups;
        let packed = a.tokens * shared_by > FEW_ROWS;
        let in_amx = packed && level >= Level::Amx && (a.head_k | a.head_v).is_multiple_of(32);
        let rows = if in_amx { AMX_ROWS } else { ROWS };
        let tokens = if packed {
            // Few tokens are spread over some items, as long as these have enough rows.
            let spread = (a.tokens * a.groups).div_ceil(8).max(rows / 4 / shared_by);
            spread.min(rows / shared_by).clamp(1, a.tokens)
        } else {
            a.tokens.max(1)
        };
        let tiles = a.tokens.div_ceil(tokens);
        // Groups are neighbours in memory, which is what counts when much of it is read for few rows.
        let groups = if packed || a.kv <= FEW_CELLS { 1 } else { a.groups };
        let sets = a.groups / groups;
        let most = if !packed && a.kv <= FEW_CELLS { 1 } else { ITEMS / (tiles * sets).max(1) };
        let chunk = a.kv.div_ceil(most.max(1)).next_multiple_of(CHUNK).max(CHUNK);
        let chunks = a.kv.div_ceil(chunk).max(1);
        let own = Own::new(a, tokens, tokens * shared_by * groups, packed);
        Self { shared_by, tokens, tiles, groups, sets, chunk, chunks, packed, in_amx, own }
    }

    /// How many items there are.
    pub(super) fn items(&self) -> usize {
        self.tiles * self.sets * self.chunks
    }

    /// Floats that a row's part of a split cache takes: two numbers, and the sums at a multiple of 64 bytes.
    pub(super) fn part(a: &Attention) -> usize {
        APART + a.head_v.next_multiple_of(APART)
    }

    /// Working memory.
    pub(super) fn need(&self, a: &Attention) -> Need {
        let parts = if self.chunks > 1 { a.tokens * a.heads * self.chunks } else { 0 };
        Need { shared: parts * Self::part(a) * 4, own: self.own.floats * 4 }
    }
}

impl Own {
    fn new(a: &Attention, tokens: usize, rows: usize, packed: bool) -> Self {
        let mut own = Self {
            q_row: a.head_k + APART,
            score_row: BLOCK + APART,
            sum_row: a.head_v.next_multiple_of(2 * APART),
            k_row: a.head_k + APART,
            v_row: a.head_v + APART,
            ..Self::default()
        };
        let mut take = |floats: usize| {
            let at = own.floats;
            own.floats += floats.next_multiple_of(16);
            at
        };
        own.q = take(rows * own.q_row);
        own.scores = take(rows * own.score_row);
        own.sums = take(rows * own.sum_row);
        own.highest = take(rows);
        own.total = take(rows);
        own.factor = take(rows);
        own.slope = take(rows);
        own.mask = take(tokens * BLOCK);
        own.cells = take(BLOCK);
        // Where they are not packed, types that cannot be read as they lie are copied.
        own.k = take(if packed { PANEL } else { STEP } * own.k_row);
        // A value for the processor's tiles takes half a float.
        own.panels = take(if packed { BLOCK * a.head_k.max(a.head_v / 2) } else { 0 });
        own.v = take(if packed { BLOCK } else { STEP } * own.v_row);
        own
    }
}
