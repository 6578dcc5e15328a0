//! What the heavy operations become on a device: products with weights, their backward pass, attention.
//! All in operations that every back end of the engine has; faster kernels for one device go here.

use crate::ggml::{Graph, Tensor};

/// Rows of a quantized weight that are dequantized at a time, at most.
pub(super) const TILE: i64 = 1024;
/// Attention scores, in elements, that are held at a time: beyond it, groups of heads follow each other.
const SCORES: i64 = 16 << 20;

/// From so many tokens on, a product with a quantized weight costs more than dequantizing the weight once.
const MANY_TOKENS: i64 = 128;

/// `W x`: `[in, out] x [in, tokens]` gives `[out, tokens]`. The weight may be quantized; `rows` holds 0, 1, 2, ... up
/// to `TILE`.
pub(super) fn product(g: &Graph<'_>, weight: Tensor, x: Tensor, rows: Tensor) -> Tensor {
    if g.dims(x)[1] < MANY_TOKENS || !g.is_quantized(weight) {
        return g.mul_mat(weight, x);
    }
    let mut tiles: Vec<Tensor> =
        tiles(g.dims(weight)[1]).map(|at| g.to_f16(tile(g, weight, at, rows))).collect();
    // In pairs, so that none is copied often.
    while tiles.len() > 1 {
        tiles = tiles
            .chunks(2)
            .map(|pair| match pair {
                [a, b] => g.concat(*a, *b, 1),
                one => one.first().copied().unwrap_or(weight),
            })
            .collect();
    }
    g.mul_mat(tiles.first().copied().unwrap_or(weight), x)
}

/// `W x` for the matrix of the logits, which is too large to be dequantized whole.
pub(super) fn logits(g: &Graph<'_>, weight: Tensor, x: Tensor) -> Tensor {
    g.mul_mat(weight, x)
}

/// `W^T dy`: what goes back through [`product`] and [`logits`].
///
/// The weight's rows are dequantized in tiles and transposed as f16; the product accumulates in f32.
pub(super) fn product_back(g: &Graph<'_>, weight: Tensor, dy: Tensor, rows: Tensor) -> Tensor {
    let out = g.dims(weight)[1];
    let mut dx = None;
    for (start, n) in tiles(out) {
        let tile = g.to_f16(g.transpose(tile(g, weight, (start, n), rows)));
        let part = if n == out { dy } else { g.slice(dy, 0, start, n) };
        let part = g.mul_mat(tile, part);
        dx = Some(dx.map_or(part, |sum| g.add(sum, part)));
    }
    dx.unwrap_or(dy)
}

/// Where a weight's tiles begin, and how many rows they have.
fn tiles(out: i64) -> impl Iterator<Item = (i64, i64)> {
    (0..out).step_by(TILE as usize).map(move |start| (start, TILE.min(out - start)))
}

/// Rows of a weight as f32.
fn tile(g: &Graph<'_>, weight: Tensor, (start, n): (i64, i64), rows: Tensor) -> Tensor {
    g.get_rows(g.slice(weight, 1, start, n), g.slice(rows, 0, 0, n))
}

/// Operations that [`product`] and [`product_back`] together take for a weight with so many rows, at most.
pub(super) fn operations(out: i64) -> usize {
    14 * (out / TILE + 1) as usize
}

/// The transpose, contiguous.
pub(super) fn transposed(g: &Graph<'_>, x: Tensor) -> Tensor {
    g.cont(g.transpose(x))
}

/// `a b^T`: `[m, tokens]` and `[n, tokens]` give `[m, n]`, summed over tokens; later dims side by side.
pub(super) fn outer(g: &Graph<'_>, a: Tensor, b: Tensor) -> Tensor {
    g.mul_mat(transposed(g, a), transposed(g, b))
}

/// The shapes of an attention: heads of `head_k` and `head_v`, `groups` key heads for `heads` queries.
#[derive(Clone, Copy)]
pub(super) struct Attention {
    pub mask: Tensor,
    pub scale: f32,
}

/// softmax(scale * K^T Q + mask) over V. `q` is `[head, tokens, heads]`, `k` and `v` are
/// `[head, tokens, groups]`; gives `[head_v, tokens, heads]`.
pub(super) fn attention(g: &Graph<'_>, a: Attention, [q, k, v]: [Tensor; 3]) -> Tensor {
    let mut all = None;
    for [q, k, v] in blocks(g, [q, k, v]) {
        let weights = weights(g, a, q, k);
        let part = g.mul_mat(transposed(g, v), weights);
        all = Some(all.map_or(part, |before| g.concat(before, part, 2)));
    }
    all.unwrap_or(q)
}

/// What goes back through [`attention`]: the gradients of q, k and v for that of the output. The attention
/// weights are computed again, so that nothing of the size tokens * tokens is kept.
pub(super) fn attention_back(
    g: &Graph<'_>,
    a: Attention,
    qkv: [Tensor; 3],
    dy: Tensor,
) -> [Tensor; 3] {
    let mut all: Option<[Tensor; 3]> = None;
    let mut first_head = 0;
    for [q, k, v] in blocks(g, qkv) {
        let [_, tokens, heads, _] = g.dims(q);
        let groups = g.dims(k)[2];
        let dy = g.slice(dy, 2, first_head, heads);
        first_head += heads;
        let p = weights(g, a, q, k);
        let dp = g.mul_mat(v, dy);
        let mean = g.sum_rows(g.mul(dp, p));
        let ds = g.scale(g.mul(p, g.sub(dp, mean)), a.scale);
        let dq = g.mul_mat(transposed(g, k), ds);
        // The heads that share keys lie one after the other: as more tokens, their sum is one product.
        let fold = |x: Tensor| g.reshape(x, [g.dims(x)[0], tokens * heads / groups, groups]);
        let dk = outer(g, fold(q), fold(ds));
        let dv = outer(g, fold(g.cont(dy)), fold(p));
        let parts = [dq, dk, dv];
        all = Some(match all {
            None => parts,
            Some(before) => std::array::from_fn(|i| match (before.get(i), parts.get(i)) {
                (Some(before), Some(part)) => g.concat(*before, *part, 2),
                _ => dy,
            }),
        });
    }
    all.unwrap_or(qkv)
}

fn weights(g: &Graph<'_>, a: Attention, q: Tensor, k: Tensor) -> Tensor {
    g.soft_max(g.mul_mat(k, q), Some(a.mask), a.scale)
}

/// Groups of key heads with their queries, as many at a time as their scores may take.
fn blocks(g: &Graph<'_>, [q, k, v]: [Tensor; 3]) -> Vec<[Tensor; 3]> {
    let [_, tokens, heads, _] = g.dims(q);
    let groups = g.dims(k)[2].max(1);
    let share = (heads / groups).max(1);
    let at_once = (SCORES / (tokens * tokens * share).max(1)).clamp(1, groups);
    let part = |start: i64| {
        let n = at_once.min(groups - start);
        [g.slice(q, 2, start * share, n * share), g.slice(k, 2, start, n), g.slice(v, 2, start, n)]
    };
    if at_once == groups {
        return vec![[q, k, v]];
    }
    (0..groups).step_by(at_once as usize).map(part).collect()
}
