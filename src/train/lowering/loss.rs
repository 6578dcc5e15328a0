//! The loss over a vocabulary, and its gradient, without a one-hot matrix.
//!
//! p = softmax(W h); d(-ln p_y)/dh = W^T p - W_y. With capped logits, z = c tanh(W h / c), both terms are multiplied with
//! dz/d(W h) = 1 - (z / c)^2 first.

use super::{logits, product_back};
use crate::ggml::{Graph, LossTensors, Tensor};

/// Bytes of the logits that are computed at a time: the weight is dequantized once for each chunk of tokens.
const LOGITS: i64 = 32 << 20;
/// Tokens of a chunk at least, whatever the size of the vocabulary, and at most.
const CHUNK: (i64, i64) = (128, 512);

/// Tokens whose loss is computed at a time.
pub(in crate::train) fn chunk(g: &Graph<'_>, weight: Tensor) -> i64 {
    let vocabulary = g.dims(weight)[1].max(1);
    let fitting = LOGITS / (4 * vocabulary);
    if g.has_kernel_loss(weight, CHUNK.1 as usize) {
        CHUNK.1
    } else {
        fitting.clamp(CHUNK.0, CHUNK.1)
    }
}

/// What the tensor of costs holds.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::train) enum Costs {
    /// -ln p of each token that came.
    Nats,
    /// p itself.
    Probabilities,
}

/// Computes costs and likeliest tokens: gives what must be computed, the gradient of the hidden states if it is
/// `wanted`, and what the costs are. `places` says where each target lies among all probabilities.
pub(in crate::train) fn loss(
    g: &Graph<'_>,
    l: LossTensors,
    places: Tensor,
    rows: Tensor,
    wanted: bool,
) -> (Vec<Tensor>, Option<Tensor>, Costs) {
    if let Some(done) = g.kernel_loss(l, wanted) {
        return (vec![done], wanted.then_some(done), Costs::Nats);
    }
    let mut z = logits(g, l.weight, l.hidden);
    let mut slope = None;
    if let Some(cap) = l.cap {
        let squeezed = g.tanh(g.scale(z, 1.0 / cap));
        slope = Some(g.affine(g.sqr(squeezed), -1.0, 1.0));
        z = g.scale(squeezed, cap);
    }
    let p = g.soft_max(z, None, 1.0);
    let [vocabulary, n, ..] = g.dims(z);
    let picked = |of| g.get_rows(g.reshape(of, [1, vocabulary * n, 1]), places);
    // The largest logit first: then the probabilities can take the logits' place.
    let results =
        vec![g.copy(g.argmax(z), l.best), g.copy(g.reshape(picked(p), [n, 1, 1]), l.costs)];
    if !wanted {
        return (results, None, Costs::Probabilities);
    }
    let (mut all, mut own) = (p, g.get_rows(l.weight, l.targets));
    if let Some(slope) = slope {
        all = g.mul(all, slope);
        own = g.mul(own, picked(slope));
    }
    let gradient = g.sub(product_back(g, l.weight, all, rows, None), own);
    (results, Some(gradient), Costs::Probabilities)
}
