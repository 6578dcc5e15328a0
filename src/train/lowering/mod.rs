//! What the heavy operations become on a device: our kernels where there are some for the processor and the shapes, else
//! operations that every back end of the engine has.

mod attention;
mod loss;
mod pair;
mod product;

pub(super) use attention::{Attention, attention, attention_back};
pub(super) use loss::{Costs, chunk, loss};
pub(super) use pair::{pair, pair_back};
use product::logits;
pub(super) use product::{TILE, operations, product, product_back};

use crate::ggml::{Graph, Tensor};

/// The transpose, contiguous.
fn transposed(g: &Graph<'_>, x: Tensor) -> Tensor {
    g.cont(g.transpose(x))
}

/// `a b^T`: `[m, tokens]` and `[n, tokens]` give `[m, n]`, summed over tokens; later dims side by side.
fn outer(g: &Graph<'_>, a: Tensor, b: Tensor) -> Tensor {
    g.mul_mat(transposed(g, a), transposed(g, b))
}
