//! A tile of queries in the forward pass: scores, softmax and sums, block of keys after block of keys.

use super::TrainAttention;
use super::forward::{KEYS, Own, Tiles};
use super::panel::{Left, Out, Right, at, panel, product, transpose_to_panel, transpose_to_panels};
use super::visible::Map;
use crate::kernels::lanes::{Lanes, exp};

/// Queries of one group that are computed together.
#[derive(Clone, Copy)]
pub(super) struct Tile {
    pub group: usize,
    /// The first of its heads.
    pub head: usize,
    pub heads: usize,
    /// Its row in the map.
    pub row: usize,
    /// The first of its tokens.
    pub start: usize,
    pub tokens: usize,
}

impl Tile {
    /// # Safety
    /// As [`TrainAttention::run`]; nobody else computes these queries.
    #[inline(always)]
    pub(super) unsafe fn run<L: Lanes>(
        &self,
        a: &TrainAttention,
        tiles: Tiles,
        map: Map,
        own: Own,
    ) {
        let shape = &a.shape;
        let lanes = self.heads * tiles.tokens;
        let (k, v) = (shape.head_k, shape.head_v);
        // SAFETY: all within the tensors and the scratch, whose sizes the shape gives.
        unsafe {
            self.begin::<L>(a, tiles, own);
            let mut seen = false;
            for block in 0..map.tiles()[1] {
                let Some(sight) = map.get(self.row, block) else { continue };
                let [first_key, end] = sight.keys.map(|key| block * KEYS + usize::from(key));
                let keys = end - first_key;
                let first = self.group * shape.tokens + first_key;
                let rows = Left { at: a.k.add(first * k), row: k, step: 1 };
                let queries = Right { at: own.q, row: panel::<L>(), panel: k * panel::<L>() };
                let scores =
                    Out { at: own.s, row: panel::<L>(), panel: KEYS * panel::<L>(), add: false };
                product::<L>([keys, lanes, k], rows, queries, scores);
                if !sight.is_plain {
                    self.add_mask::<L>(a, tiles, first_key, keys, own);
                }
                self.soften::<L>(tiles, keys, seen.then_some(v), own);
                let columns = Left { at: a.v.add(first * v), row: 1, step: v };
                let weights = Right { at: own.s, row: panel::<L>(), panel: KEYS * panel::<L>() };
                let sums = Out { at: own.o, row: panel::<L>(), panel: v * panel::<L>(), add: seen };
                product::<L>([v, lanes, keys], columns, weights, sums);
                seen = true;
            }
            self.end::<L>(a, tiles, seen, own);
        }
    }

    /// The scaled queries, side by side.
    ///
    /// # Safety
    /// As [`Self::run`].
    #[inline(always)]
    unsafe fn begin<L: Lanes>(&self, a: &TrainAttention, tiles: Tiles, own: Own) {
        let (tokens, width) = (a.shape.tokens, a.shape.head_k);
        let lanes = self.heads * tiles.tokens;
        // SAFETY: whole registers of lanes within the scratch; the queries' rows are read as far as they go.
        unsafe {
            let scale = L::splat(a.shape.scale);
            for lane in (0..lanes).step_by(L::N) {
                let (head, token) = (self.head + lane / tiles.tokens, lane % tiles.tokens);
                let n = self.tokens.saturating_sub(token);
                let to = own.q.add(at::<L>(lane, width));
                let from = a.q.add((head * tokens + (self.start + token).min(tokens - 1)) * width);
                transpose_to_panel::<L>(from, width, [n, width], to);
                for j in 0..width {
                    let x = to.add(j * panel::<L>());
                    L::store(x, L::mul(scale, L::load(x)));
                }
                L::store(own.most.add(lane), L::splat(f32::MIN));
                L::store(own.sum.add(lane), L::splat(0.0));
            }
        }
    }

    /// Adds the mask to the scores.
    ///
    /// # Safety
    /// As [`Self::run`].
    #[inline(always)]
    unsafe fn add_mask<L: Lanes>(
        &self,
        a: &TrainAttention,
        tiles: Tiles,
        first_key: usize,
        keys: usize,
        own: Own,
    ) {
        let stride = a.shape.tokens;
        // SAFETY: the mask has a row for each of these queries, and these keys in it.
        unsafe {
            let from = a.mask.add(self.start * stride + first_key);
            transpose_to_panels::<L>(from, stride, [self.tokens, keys], own.mask);
            for lane in (0..self.heads * tiles.tokens).step_by(L::N) {
                let token = lane % tiles.tokens;
                if token >= self.tokens {
                    continue;
                }
                let mask = own.mask.add(at::<L>(token, keys));
                let s = own.s.add(at::<L>(lane, KEYS));
                for key in (0..keys).map(|key| key * panel::<L>()) {
                    L::store(s.add(key), L::add(L::load(s.add(key)), L::load(mask.add(key))));
                }
            }
        }
    }

    /// Scores become exponentials of what they are below the largest so far; sums of `width` older ones follow.
    ///
    /// # Safety
    /// As [`Self::run`].
    #[inline(always)]
    unsafe fn soften<L: Lanes>(&self, tiles: Tiles, keys: usize, width: Option<usize>, own: Own) {
        for lane in (0..self.heads * tiles.tokens).step_by(L::N) {
            // SAFETY: whole registers of lanes within the scratch.
            unsafe {
                let s = own.s.add(at::<L>(lane, KEYS));
                let before = L::load(own.most.add(lane));
                let mut most = before;
                for key in 0..keys {
                    most = L::max(most, L::load(s.add(key * panel::<L>())));
                }
                let worth = exp::<L>(L::sub(before, most));
                let mut sum = L::mul(worth, L::load(own.sum.add(lane)));
                for s in (0..keys).map(|key| s.add(key * panel::<L>())) {
                    let p = exp::<L>(L::sub(L::load(s), most));
                    L::store(s, p);
                    sum = L::add(sum, p);
                }
                L::store(own.most.add(lane), most);
                L::store(own.sum.add(lane), sum);
                let Some(width) = width else { continue };
                if L::nonzero(L::sub(worth, L::splat(1.0))) == 0 {
                    continue;
                }
                let o = own.o.add(at::<L>(lane, width));
                for o in (0..width).map(|j| o.add(j * panel::<L>())) {
                    L::store(o, L::mul(worth, L::load(o)));
                }
            }
        }
    }

    /// Divides by the sums of the exponentials, and writes the results.
    ///
    /// # Safety
    /// As [`Self::run`].
    #[inline(always)]
    unsafe fn end<L: Lanes>(&self, a: &TrainAttention, tiles: Tiles, seen: bool, own: Own) {
        let (tokens, width) = (a.shape.tokens, a.shape.head_v);
        for lane in (0..self.heads * tiles.tokens).step_by(L::N) {
            let (head, token) = (self.head + lane / tiles.tokens, lane % tiles.tokens);
            let n = self.tokens.saturating_sub(token).min(L::N);
            if n == 0 {
                continue;
            }
            // SAFETY: whole registers of lanes within the scratch; `n` rows of the results.
            unsafe {
                let o = own.o.add(at::<L>(lane, width));
                // Where nothing is seen the sum is 0, and so is what is divided by it. The order of the arguments keeps
                // what is not a number.
                let sum = L::max(L::splat(f32::MIN_POSITIVE), L::load(own.sum.add(lane)));
                let part = L::inverse(sum);
                for o in (0..width).map(|j| o.add(j * panel::<L>())) {
                    let x = if seen { L::load(o) } else { L::splat(0.0) };
                    L::store(o, L::mul(part, x));
                }
                let row = head * tokens + self.start + token;
                for j in (0..width).step_by(L::N) {
                    let (m, from) = (L::N.min(width - j), o.add(j * panel::<L>()));
                    let to = a.out.add(row * width + j);
                    L::transpose_some(from, panel::<L>(), [m, n], to, width, m);
                }
                for i in 0..n {
                    *a.lse.add(row + i) = *own.most.add(lane + i) + (*own.sum.add(lane + i)).ln();
                }
            }
        }
    }
}
