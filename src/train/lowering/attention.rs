//! Attention, and what goes back through it.

use super::{outer, transposed};
use crate::ggml::{Attended, Graph, Tensor};

/// Attention scores, in elements, that are held at a time: beyond it, groups of heads follow each other.
const SCORES: i64 = 16 << 20;

/// The shapes of an attention: heads of `head_k` and `head_v`, `groups` key heads for `heads` queries.
#[derive(Clone, Copy)]
pub(in crate::train) struct Attention {
    pub mask: Tensor,
    pub scale: f32,
}

/// softmax(scale * K^T Q + mask) over V. `q` is `[head, tokens, heads]`, `k` and `v` are
/// `[head, tokens, groups]`; gives `[head_v, tokens, heads]`, and from a kernel what its way back takes.
pub(in crate::train) fn attention(
    g: &Graph<'_>,
    a: Attention,
    qkv: [Tensor; 3],
) -> (Tensor, Option<Attended>) {
    if let Some(attended) = g.kernel_attention(qkv, a.mask, a.scale) {
        return (attended.out, Some(attended));
    }
    let mut all = None;
    for [q, k, v] in blocks(g, qkv) {
        let weights = weights(g, a, q, k);
        let part = g.mul_mat(transposed(g, v), weights);
        all = Some(all.map_or(part, |before| g.concat(before, part, 2)));
    }
    let [q, ..] = qkv;
    (all.unwrap_or(q), None)
}

/// What goes back through [`attention`]: the gradients of q, k and v for that of the output. The attention
/// weights are computed again, so that nothing of the size tokens * tokens is kept.
pub(in crate::train) fn attention_back(
    g: &Graph<'_>,
    a: Attention,
    qkv: [Tensor; 3],
    attended: Option<Attended>,
    dy: Tensor,
) -> [Tensor; 3] {
    let fused = |attended| g.kernel_attention_back(qkv, a.mask, a.scale, attended, dy);
    if let Some(gradients) = attended.and_then(fused) {
        return gradients;
    }
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
