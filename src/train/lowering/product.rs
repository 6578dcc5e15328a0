//! Products with a weight, which may be quantized, and what goes back through them.

use crate::ggml::{Graph, Tensor};

/// Rows of a quantized weight that are dequantized at a time, at most.
pub(in crate::train) const TILE: i64 = 1024;

/// From so many tokens on, a product with a quantized weight costs more than dequantizing the weight once.
const MANY_TOKENS: i64 = 128;

/// `W x`: `[in, out] x [in, tokens]` gives `[out, tokens]`. The weight may be quantized; `rows` holds 0, 1, 2, ... up
/// to `TILE`.
pub(in crate::train) fn product(g: &Graph<'_>, weight: Tensor, x: Tensor, rows: Tensor) -> Tensor {
    if let Some(y) = g.kernel_product(weight, x) {
        return y;
    }
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
pub(in crate::train) fn logits(g: &Graph<'_>, weight: Tensor, x: Tensor) -> Tensor {
    g.kernel_product(weight, x).unwrap_or_else(|| g.mul_mat(weight, x))
}

/// `W^T dy`: what goes back through [`product`] and [`logits`], added to what there was `before`, which nobody else may
/// read.
///
/// The weight's rows are dequantized in tiles and transposed as f16; the product accumulates in f32.
pub(in crate::train) fn product_back(
    g: &Graph<'_>,
    weight: Tensor,
    dy: Tensor,
    rows: Tensor,
    before: Option<Tensor>,
) -> Tensor {
    if let Some(dx) = g.kernel_product_back(weight, dy, before) {
        return dx;
    }
    let out = g.dims(weight)[1];
    let mut dx = before;
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
pub(in crate::train) fn operations(out: i64) -> usize {
    14 * (out / TILE + 1) as usize
}
