//! A tile of queries in the forward pass: scores, softmax and sums, block of keys after block of keys.

use std::arch::x86_64::*;

use super::TrainAttention;
use super::forward::{KEYS, Own, Tiles};
use super::panel::{Left, Out, PANEL, Right, product, transpose_to_panels};
use super::visible::Map;
use crate::kernels::vector::{exp, transpose};

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
    /// As [`super::forward::run`]; nobody else computes these queries.
    #[target_feature(enable = "avx512f")]
    pub(super) unsafe fn run(&self, a: &TrainAttention, tiles: Tiles, map: Map, own: Own) {
        let shape = &a.shape;
        let lanes = self.heads * tiles.tokens;
        let (k, v) = (shape.head_k, shape.head_v);
        // SAFETY: all within the tensors and the scratch, whose sizes the shape gives.
        unsafe {
            self.begin(a, tiles, own);
            let mut seen = false;
            for block in 0..map.tiles()[1] {
                let Some(sight) = map.get(self.row, block) else { continue };
                let [first_key, end] = sight.keys.map(|key| block * KEYS + usize::from(key));
                let keys = end - first_key;
                let at = self.group * shape.tokens + first_key;
                let rows = Left { at: a.k.add(at * k), row: k, step: 1 };
                let queries = Right { at: own.q, row: PANEL, panel: k * PANEL };
                let scores = Out { at: own.s, row: PANEL, panel: KEYS * PANEL, add: false };
                product([keys, lanes, k], rows, queries, scores);
                if !sight.is_plain {
                    self.add_mask(a, tiles, first_key, keys, own);
                }
                self.soften(tiles, keys, seen.then_some(v), own);
                let columns = Left { at: a.v.add(at * v), row: 1, step: v };
                let weights = Right { at: own.s, row: PANEL, panel: KEYS * PANEL };
                let sums = Out { at: own.o, row: PANEL, panel: v * PANEL, add: seen };
                product([v, lanes, keys], columns, weights, sums);
                seen = true;
            }
            self.end(a, tiles, seen, own);
        }
    }

    /// The scaled queries, side by side.
    ///
    /// # Safety
    /// As [`Self::run`].
    #[target_feature(enable = "avx512f")]
    unsafe fn begin(&self, a: &TrainAttention, tiles: Tiles, own: Own) {
        let (tokens, width) = (a.shape.tokens, a.shape.head_k);
        let lanes = self.heads * tiles.tokens;
        // SAFETY: whole registers of lanes within the scratch; the queries' rows are read as far as they go.
        unsafe {
            for lane in (0..lanes).step_by(16) {
                let (head, token) = (self.head + lane / tiles.tokens, lane % tiles.tokens);
                let n = self.tokens.saturating_sub(token).min(16);
                let to = own.q.add(lane / PANEL * width * PANEL + lane % PANEL);
                let from = a.q.add((head * tokens + (self.start + token).min(tokens - 1)) * width);
                for j in (0..width).step_by(16) {
                    let m = 16.min(width - j);
                    transpose(from.add(j), width, [n, m], to.add(j * PANEL), PANEL, 16);
                }
                for j in 0..width {
                    let x = to.add(j * PANEL);
                    let scaled = _mm512_mul_ps(_mm512_set1_ps(a.shape.scale), _mm512_loadu_ps(x));
                    _mm512_storeu_ps(x, scaled);
                }
                _mm512_storeu_ps(own.most.add(lane), _mm512_set1_ps(f32::MIN));
                _mm512_storeu_ps(own.sum.add(lane), _mm512_setzero_ps());
            }
        }
    }

    /// Adds the mask to the scores.
    ///
    /// # Safety
    /// As [`Self::run`].
    #[target_feature(enable = "avx512f")]
    unsafe fn add_mask(
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
            transpose_to_panels(from, stride, [self.tokens, keys], own.mask);
            for lane in (0..self.heads * tiles.tokens).step_by(16) {
                let token = lane % tiles.tokens;
                if token >= self.tokens {
                    continue;
                }
                let mask = own.mask.add(token / PANEL * keys * PANEL + token % PANEL);
                let s = own.s.add(lane / PANEL * KEYS * PANEL + lane % PANEL);
                for key in (0..keys).map(|key| key * PANEL) {
                    let sum =
                        _mm512_add_ps(_mm512_loadu_ps(s.add(key)), _mm512_loadu_ps(mask.add(key)));
                    _mm512_storeu_ps(s.add(key), sum);
                }
            }
        }
    }

    /// Scores become exponentials of what they are below the largest so far; sums of `width` older ones follow.
    ///
    /// # Safety
    /// As [`Self::run`].
    #[target_feature(enable = "avx512f")]
    unsafe fn soften(&self, tiles: Tiles, keys: usize, width: Option<usize>, own: Own) {
        for lane in (0..self.heads * tiles.tokens).step_by(16) {
            // SAFETY: whole registers of lanes within the scratch.
            unsafe {
                let s = own.s.add(lane / PANEL * KEYS * PANEL + lane % PANEL);
                let before = _mm512_loadu_ps(own.most.add(lane));
                let mut most = before;
                for key in 0..keys {
                    most = _mm512_max_ps(most, _mm512_loadu_ps(s.add(key * PANEL)));
                }
                let worth = exp(_mm512_sub_ps(before, most));
                let mut sum = _mm512_mul_ps(worth, _mm512_loadu_ps(own.sum.add(lane)));
                for key in 0..keys {
                    let p = exp(_mm512_sub_ps(_mm512_loadu_ps(s.add(key * PANEL)), most));
                    _mm512_storeu_ps(s.add(key * PANEL), p);
                    sum = _mm512_add_ps(sum, p);
                }
                _mm512_storeu_ps(own.most.add(lane), most);
                _mm512_storeu_ps(own.sum.add(lane), sum);
                if _mm512_cmp_ps_mask::<_CMP_NEQ_UQ>(worth, _mm512_set1_ps(1.0)) == 0 {
                    continue;
                }
                let Some(width) = width else { continue };
                let o = own.o.add(lane / PANEL * width * PANEL + lane % PANEL);
                for j in (0..width).map(|j| j * PANEL) {
                    _mm512_storeu_ps(o.add(j), _mm512_mul_ps(worth, _mm512_loadu_ps(o.add(j))));
                }
            }
        }
    }

    /// Divides by the sums of the exponentials, and writes the results.
    ///
    /// # Safety
    /// As [`Self::run`].
    #[target_feature(enable = "avx512f")]
    unsafe fn end(&self, a: &TrainAttention, tiles: Tiles, seen: bool, own: Own) {
        let (tokens, width) = (a.shape.tokens, a.shape.head_v);
        for lane in (0..self.heads * tiles.tokens).step_by(16) {
            let (head, token) = (self.head + lane / tiles.tokens, lane % tiles.tokens);
            let n = self.tokens.saturating_sub(token).min(16);
            if n == 0 {
                continue;
            }
            // SAFETY: whole registers of lanes within the scratch; `n` rows of the results.
            unsafe {
                let o = own.o.add(lane / PANEL * width * PANEL + lane % PANEL);
                let sum = _mm512_loadu_ps(own.sum.add(lane));
                let sees = _mm512_cmp_ps_mask::<_CMP_NEQ_UQ>(sum, _mm512_setzero_ps());
                let part = _mm512_maskz_div_ps(sees, _mm512_set1_ps(1.0), sum);
                for j in 0..width {
                    let x =
                        if seen { _mm512_loadu_ps(o.add(j * PANEL)) } else { _mm512_setzero_ps() };
                    _mm512_storeu_ps(o.add(j * PANEL), _mm512_mul_ps(part, x));
                }
                let row = head * tokens + self.start + token;
                for j in (0..width).step_by(16) {
                    let (m, to) = (16.min(width - j), a.out.add(row * width + j));
                    transpose(o.add(j * PANEL), PANEL, [m, n], to, width, m);
                }
                for i in 0..n {
                    *a.lse.add(row + i) = *own.most.add(lane + i) + (*own.sum.add(lane + i)).ln();
                }
            }
        }
    }
}
