//! A trained pair beside a weight, and what goes back through it.

use super::{outer, transposed};
use crate::ggml::{Graph, PairBack, PairTensors, Tensor};
use crate::train::tape::Backward;

/// `y + s B A x`, and `A x`. Nobody else may read `y`.
pub(in crate::train) fn pair(
    g: &Graph<'_>,
    p: PairTensors,
    x: Tensor,
    y: Tensor,
) -> (Tensor, Tensor) {
    g.kernel_pair(p, x, y).unwrap_or_else(|| {
        let u = g.mul_mat(p.a, x);
        (g.add(y, g.scale(g.mul_mat(p.b, u), p.scale)), u)
    })
}

/// Adds to the sums of a pair's gradients. Gives the gradient of its input, if that is `wanted`, added to what there was
/// `before`, which nobody else may read.
pub(in crate::train) fn pair_back(
    b: &mut Backward<'_, '_>,
    back: PairBack,
    wanted: bool,
    before: Option<Tensor>,
) -> Option<Tensor> {
    let g = b.g;
    if let Some(done) = g.kernel_pair_back(back, wanted, before) {
        b.compute(done);
        return wanted.then_some(done);
    }
    let PairBack { pair: p, x, u, dy, sums: [da, db], mask } = back;
    let du = g.scale(g.mul_mat(transposed(g, p.b), dy), p.scale);
    b.accumulate(g.scale(outer(g, u, dy), p.scale), db);
    b.accumulate(outer(g, x, du), da);
    if !wanted {
        return None;
    }
    let dx = g.mul_mat(transposed(g, p.a), du);
    let dx = mask.map_or(dx, |mask| g.mul(dx, mask));
    Some(before.map_or(dx, |before| g.add(before, dx)))
}
