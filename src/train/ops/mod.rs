//! The differentiable operations that layers are made of: each computes forward and notes its way back.

mod activation;
mod attention;
mod linear;
mod norm;
mod shape;

pub(super) use activation::Activation;
pub(super) use linear::{Linear, Lora};
pub(super) use norm::Norm;

use crate::ggml::{Graph, Tensor};

use super::tape::Tape;

/// A layer that is being built: the graph, its tape, and inputs that all layers share.
pub(super) struct Builder<'b, 'w> {
    pub g: &'b Graph<'w>,
    pub tape: &'b mut Tape,
    /// The position of each token in its example, i32.
    pub positions: Tensor,
    /// 0, 1, 2, ... as i32, as many as the widest weight has rows.
    pub rows: Tensor,
    /// Whether pairs leave inputs out, as their masks say.
    pub drops: bool,
}
