//! A block of keys in the backward pass, and the tiles of queries that see it.

use std::sync::atomic::Ordering;

use super::AttentionBack;
use super::backward::{Common, KEYS, Own, QUERIES};
use super::panel::{Left, Out, Right, panel, product, transpose_to_panels};
use crate::kernels::Crew;
use crate::kernels::lanes::{Lanes, exp};

/// Keys of one group that are computed together.
#[derive(Clone, Copy)]
pub(super) struct Block {
    pub group: usize,
    /// Its column in the map.
    pub block: usize,
    /// The first of its keys.
    pub start: usize,
    pub keys: usize,
}

/// Queries of one head, and what they see of a block.
#[derive(Clone, Copy)]
struct Tile {
    /// Its first row in the matrices of all heads.
    row: usize,
    /// Its first token.
    start: usize,
    /// The first of the block's keys that it sees, rounded down to whole panels.
    key: usize,
    queries: usize,
    keys: usize,
    is_plain: bool,
}

impl Block {
    /// # Safety
    /// As [`AttentionBack::run`]; nobody else computes this block.
    #[inline(always)]
    pub(super) unsafe fn run<L: Lanes>(
        &self,
        a: &AttentionBack,
        crew: Crew,
        common: Common,
        own: Own,
    ) {
        let shape = &a.shape;
        let (k, v) = (shape.head_k, shape.head_v);
        let at = self.group * shape.tokens + self.start;
        let [rows, _] = common.map.tiles();
        // SAFETY: all within the tensors and the scratch, whose sizes the shape gives.
        unsafe {
            transpose_to_panels::<L>(a.k.add(at * k), k, [self.keys, k], own.k);
            transpose_to_panels::<L>(a.v.add(at * v), v, [self.keys, v], own.v);
            // Keys that nobody sees are part of no tile.
            a.dk.add(at * k).write_bytes(0, self.keys * k);
            a.dv.add(at * v).write_bytes(0, self.keys * v);
            for i in 0..rows {
                let Some(sight) = common.map.get(i, self.block) else { continue };
                let before = (0..self.block).filter(|j| common.map.get(i, *j).is_some()).count();
                let [start, end] = sight.queries.map(|query| i * QUERIES + usize::from(query));
                let [key, last] = sight.keys.map(usize::from);
                let key = key / panel::<L>() * panel::<L>();
                for head in self.group * shape.share()..(self.group + 1) * shape.share() {
                    let tile = Tile {
                        row: head * shape.tokens + start,
                        start,
                        key,
                        queries: end - start,
                        keys: last - key,
                        is_plain: sight.is_plain,
                    };
                    self.scores::<L>(a, &tile, common, own);
                    self.keys_and_values::<L>(a, &tile, own);
                    let turn = &*common.turns.add(head * rows + i);
                    if !crew.wait_for(|| turn.load(Ordering::Acquire) == before as u32) {
                        return;
                    }
                    self.queries::<L>(a, &tile, own);
                    turn.store(before as u32 + 1, Ordering::Release);
                }
            }
        }
    }

    /// The probabilities again, and from them the gradients of the scores.
    ///
    /// # Safety
    /// As [`Self::run`].
    #[inline(always)]
    unsafe fn scores<L: Lanes>(&self, a: &AttentionBack, tile: &Tile, common: Common, own: Own) {
        let shape = &a.shape;
        let (k, v) = (shape.head_k, shape.head_v);
        // SAFETY: all within the tensors and the scratch, whose sizes the shape gives.
        unsafe {
            let out = |at| Out { at, row: KEYS, panel: panel::<L>(), add: false };
            let q = Left { at: a.q.add(tile.row * k), row: k, step: 1 };
            let keys =
                Right { at: own.k.add(tile.key * k), row: panel::<L>(), panel: k * panel::<L>() };
            product::<L>([tile.queries, tile.keys, k], q, keys, out(own.p));
            let dy = Left { at: a.dy.add(tile.row * v), row: v, step: 1 };
            let values =
                Right { at: own.v.add(tile.key * v), row: panel::<L>(), panel: v * panel::<L>() };
            product::<L>([tile.queries, tile.keys, v], dy, values, out(own.ds));
            for i in 0..tile.queries {
                self.soften::<L>(a, tile, i, common, own);
            }
        }
    }

    /// One row of them.
    ///
    /// # Safety
    /// As [`Self::run`].
    #[inline(always)]
    unsafe fn soften<L: Lanes>(
        &self,
        a: &AttentionBack,
        tile: &Tile,
        i: usize,
        common: Common,
        own: Own,
    ) {
        // SAFETY: within the rows; the lanes end with the keys.
        unsafe {
            let scale = L::splat(a.shape.scale);
            let lse = *a.lse.add(tile.row + i);
            // A row that sees nothing has no probabilities.
            let lse = if lse == f32::NEG_INFINITY { f32::INFINITY } else { lse };
            let below = L::splat(-lse);
            let delta = L::splat(*common.delta.add(tile.row + i));
            let mask = a.mask.add((tile.start + i) * a.shape.tokens + self.start + tile.key);
            for j in (0..tile.keys).step_by(L::N) {
                let (p, ds) = (own.p.add(i * KEYS + j), own.ds.add(i * KEYS + j));
                let mut below = below;
                if !tile.is_plain {
                    below = L::add(L::load_first(tile.keys - j, mask.add(j)), below);
                }
                let x = exp::<L>(L::fma(L::load(p), scale, below));
                let dx = L::mul(L::sub(L::load(ds), delta), scale);
                L::store(p, x);
                L::store(ds, L::mul(x, dx));
            }
        }
    }

    /// What the tile adds to the gradients of the block.
    ///
    /// # Safety
    /// As [`Self::run`].
    #[inline(always)]
    unsafe fn keys_and_values<L: Lanes>(&self, a: &AttentionBack, tile: &Tile, own: Own) {
        let (k, v) = (a.shape.head_k, a.shape.head_v);
        let at = self.group * a.shape.tokens + self.start + tile.key;
        let columns = |at: *mut f32| Left { at, row: 1, step: KEYS };
        // SAFETY: all within the tensors and the scratch, whose sizes the shape gives.
        unsafe {
            let dy = Right { at: a.dy.add(tile.row * v), row: v, panel: panel::<L>() };
            let dv = Out { at: a.dv.add(at * v), row: v, panel: panel::<L>(), add: true };
            product::<L>([tile.keys, v, tile.queries], columns(own.p), dy, dv);
            let q = Right { at: a.q.add(tile.row * k), row: k, panel: panel::<L>() };
            let dk = Out { at: a.dk.add(at * k), row: k, panel: panel::<L>(), add: true };
            product::<L>([tile.keys, k, tile.queries], columns(own.ds), q, dk);
        }
    }

    /// What the block adds to the gradients of the tile.
    ///
    /// # Safety
    /// As [`Self::run`]; it is this block's turn.
    #[inline(always)]
    unsafe fn queries<L: Lanes>(&self, a: &AttentionBack, tile: &Tile, own: Own) {
        let k = a.shape.head_k;
        let at = self.group * a.shape.tokens + self.start + tile.key;
        // SAFETY: all within the tensors and the scratch, whose sizes the shape gives.
        unsafe {
            let ds = Left { at: own.ds, row: KEYS, step: 1 };
            let keys = Right { at: a.k.add(at * k), row: k, panel: panel::<L>() };
            let dq = Out { at: a.dq.add(tile.row * k), row: k, panel: panel::<L>(), add: true };
            product::<L>([tile.queries, k, tile.keys], ds, keys, dq);
        }
    }
}
