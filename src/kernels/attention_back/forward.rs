//! The forward pass: the queries of a tile lie side by side in the lanes, so that neither keys nor values are
//! rearranged, and softmax works on whole registers.

use super::panel::WIDEST;
use super::queries::Tile;
use super::visible::Map;
use super::{AttentionShape, TrainAttention};
use crate::kernels::lanes::{Kernel, Lanes};
use crate::kernels::{Crew, Need, Scratch};

/// Keys of a tile.
pub(super) const KEYS: usize = 64;
/// Heads that a tile holds, at most.
const HEADS: usize = 8;
/// Lanes that a tile fills, if it can.
const LANES: usize = 128;

/// How the queries are divided.
#[derive(Clone, Copy)]
pub(super) struct Tiles {
    /// Heads of a tile, all of one group.
    pub heads: usize,
    /// Tokens of a tile: a multiple of 16.
    pub tokens: usize,
}

impl Tiles {
    fn new(shape: &AttentionShape) -> Self {
        let heads = shape.share().min(HEADS);
        Self { heads, tokens: (LANES / heads / 16 * 16).clamp(16, 64) }
    }

    fn lanes(&self) -> usize {
        self.heads * self.tokens
    }
}

/// Where a thread's own matrices lie, in panels of lanes.
#[derive(Clone, Copy)]
pub(super) struct Own {
    /// `[head_k, lanes]`: the scaled queries.
    pub q: *mut f32,
    /// `[KEYS, lanes]`: the scores, then what they become.
    pub s: *mut f32,
    /// `[head_v, lanes]`: the sums.
    pub o: *mut f32,
    /// `[KEYS, tokens]`: the mask.
    pub mask: *mut f32,
    /// `[lanes]`: each query's largest score so far, and the sum of its exponentials.
    pub most: *mut f32,
    pub sum: *mut f32,
}

impl Own {
    /// Floats of each of its parts.
    fn sizes(shape: &AttentionShape) -> [usize; 6] {
        let tiles = Tiles::new(shape);
        let lanes = tiles.lanes().next_multiple_of(WIDEST);
        let tokens = tiles.tokens.next_multiple_of(WIDEST);
        let (k, v) = (shape.head_k, shape.head_v);
        [k * lanes, KEYS * lanes, v * lanes, KEYS * tokens, lanes, lanes]
    }

    /// # Safety
    /// The scratch has as many floats as the sizes together.
    unsafe fn new(shape: &AttentionShape, scratch: Scratch) -> Self {
        let mut at = scratch.own.cast::<f32>();
        let [q, s, o, mask, most, sum] = Self::sizes(shape).map(|size| {
            let part = at;
            // SAFETY: within the scratch, or its end.
            at = unsafe { at.add(size) };
            part
        });
        Self { q, s, o, mask, most, sum }
    }
}

/// What the forward pass works with: a map of the tiles, and each thread's matrices.
pub(super) fn need(shape: &AttentionShape) -> Need {
    let map = Map::bytes(shape.tokens, [Tiles::new(shape).tokens, KEYS]);
    Need { shared: map, own: 4 * Own::sizes(shape).iter().sum::<usize>() }
}

/// One thread's part in it.
pub(super) struct Forward<'a> {
    pub a: &'a TrainAttention,
    pub crew: Crew<'a>,
    pub scratch: Scratch,
}

impl Kernel for Forward<'_> {
    #[inline(always)]
    unsafe fn run<L: Lanes>(self) {
        let Self { a, crew, scratch } = self;
        let shape = &a.shape;
        let tiles = Tiles::new(shape);
        let map = Map::new(scratch.shared, shape.tokens, [tiles.tokens, KEYS]);
        // SAFETY: the scratch has the size that `need` said.
        let own = unsafe { Own::new(shape, scratch) };
        let [rows, _] = map.tiles();
        for i in crew.share(rows, 1) {
            // SAFETY: each row is one thread's.
            unsafe { map.fill::<L>(i, a.mask) };
        }
        crew.wait();
        let parts = shape.share().div_ceil(tiles.heads);
        let items = shape.groups * parts;
        for item in crew.tickets(0, rows * items) {
            // Later queries often see more: those first, so that no thread is left with much to do at the end.
            let (row, rest) = (rows - 1 - item / items, item % items);
            let (group, part) = (rest / parts, rest % parts);
            let tile = Tile {
                group,
                head: group * shape.share() + part * tiles.heads,
                heads: tiles.heads.min(shape.share() - part * tiles.heads),
                row,
                start: row * tiles.tokens,
                tokens: tiles.tokens.min(shape.tokens - row * tiles.tokens),
            };
            // SAFETY: the map is complete, and the tile one thread's.
            unsafe { tile.run::<L>(a, tiles, map, own) };
        }
    }
}
