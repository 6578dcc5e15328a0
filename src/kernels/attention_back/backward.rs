//! The backward pass: a block of keys meets all queries that see it, tile by tile.
//!
//! The gradients of the block's keys and values are one thread's. Those of the queries are added up block after block:
//! a thread waits until the blocks before its own have had their turn. As blocks are begun in order, and all meet the
//! queries in the same order, threads that follow each other hardly wait.

use std::sync::atomic::AtomicU32;

use super::keys::Block;
use super::visible::Map;
use super::{AttentionBack, AttentionShape};
use crate::kernels::lanes::{Kernel, Lanes};
use crate::kernels::{Crew, Need, Scratch};

/// Queries of a tile.
pub(super) const QUERIES: usize = 48;
/// Keys of a tile.
pub(super) const KEYS: usize = 64;

/// What all threads share.
#[derive(Clone, Copy)]
pub(super) struct Common {
    pub map: Map,
    /// `[tokens, heads]`: the product of each row of the output with its gradient.
    pub delta: *mut f32,
    /// For each head and row of the map, how many blocks of keys have had their turn.
    pub turns: *mut AtomicU32,
}

impl Common {
    fn bytes(shape: &AttentionShape) -> [usize; 3] {
        let rows = shape.heads * shape.tokens.div_ceil(QUERIES);
        [4 * rows, 4 * shape.heads * shape.tokens, Map::bytes(shape.tokens, [QUERIES, KEYS])]
    }

    /// # Safety
    /// The scratch has as many bytes as those together.
    unsafe fn new(shape: &AttentionShape, scratch: Scratch) -> Self {
        let [turns, delta, _] = Self::bytes(shape);
        let at = scratch.shared;
        // SAFETY: within the scratch.
        let map = unsafe { at.add(turns + delta) };
        let map = Map::new(map, shape.tokens, [QUERIES, KEYS]);
        // SAFETY: within the scratch, and as aligned as it is: both sizes are multiples of four.
        Self { map, delta: unsafe { at.add(turns) }.cast(), turns: at.cast() }
    }
}

/// A thread's own matrices.
#[derive(Clone, Copy)]
pub(super) struct Own {
    /// The block's keys and values, each a column of panels.
    pub k: *mut f32,
    pub v: *mut f32,
    /// `[KEYS, QUERIES]`: probabilities, and the gradients of the scores.
    pub p: *mut f32,
    pub ds: *mut f32,
}

impl Own {
    /// Floats of each.
    fn sizes(shape: &AttentionShape) -> [usize; 4] {
        [KEYS * shape.head_k, KEYS * shape.head_v, KEYS * QUERIES, KEYS * QUERIES]
    }

    /// # Safety
    /// The scratch has as many floats as those together.
    unsafe fn new(shape: &AttentionShape, scratch: Scratch) -> Self {
        let [k, v, p, _] = Self::sizes(shape);
        let at = scratch.own.cast::<f32>();
        // SAFETY: within the scratch.
        unsafe { Self { k: at, v: at.add(k), p: at.add(k + v), ds: at.add(k + v + p) } }
    }
}

/// What the backward pass works with.
pub(super) fn need(shape: &AttentionShape) -> Need {
    let own = 4 * Own::sizes(shape).iter().sum::<usize>();
    Need { shared: Common::bytes(shape).iter().sum(), own }
}

/// One thread's part in it.
pub(super) struct Backward<'a> {
    pub a: &'a AttentionBack,
    pub crew: Crew<'a>,
    pub scratch: Scratch,
}

impl Kernel for Backward<'_> {
    #[inline(always)]
    unsafe fn run<L: Lanes>(self) {
        let Self { a, crew, scratch } = self;
        let shape = &a.shape;
        // SAFETY: the scratch has the size that `need` said; each thread prepares its own rows.
        let (common, own) = unsafe {
            let common = Common::new(shape, scratch);
            prepare::<L>(a, crew, common);
            (common, Own::new(shape, scratch))
        };
        crew.wait();
        let [_, blocks] = common.map.tiles();
        for item in crew.tickets(0, blocks * shape.groups) {
            let (block, group) = (item / shape.groups, item % shape.groups);
            let start = block * KEYS;
            let block = Block { group, block, start, keys: KEYS.min(shape.tokens - start) };
            // SAFETY: what all share is complete, and the block one thread's.
            unsafe { block.run::<L>(a, crew, common, own) };
        }
    }
}

/// Fills in what all share, and begins the gradients of the queries with zeros.
///
/// # Safety
/// As [`AttentionBack::run`].
#[inline(always)]
unsafe fn prepare<L: Lanes>(a: &AttentionBack, crew: Crew, common: Common) {
    let shape = &a.shape;
    let [rows, _] = common.map.tiles();
    // SAFETY: each row is one thread's, and lies within the tensors and the scratch.
    unsafe {
        for i in crew.share(rows, 1) {
            common.map.fill::<L>(i, a.mask);
        }
        for i in crew.share(rows * shape.heads, 1) {
            common.turns.add(i).write(AtomicU32::new(0));
        }
        for i in crew.share(shape.tokens * shape.heads, 16) {
            let at = i * shape.head_v;
            *common.delta.add(i) = dot::<L>(a.out.add(at), a.dy.add(at), shape.head_v);
            a.dq.add(i * shape.head_k).write_bytes(0, shape.head_k);
        }
    }
}

/// The product of two vectors.
///
/// # Safety
/// The processor has the instructions of `L`; both have `n` elements.
#[inline(always)]
unsafe fn dot<L: Lanes>(a: *const f32, b: *const f32, n: usize) -> f32 {
    // SAFETY: the lanes end with the vectors.
    unsafe {
        let mut sum = L::splat(0.0);
        for i in (0..n).step_by(L::N) {
            sum = L::fma(L::load_first(n - i, a.add(i)), L::load_first(n - i, b.add(i)), sum);
        }
        L::sum(sum)
    }
}
