//! Normalisation of rows by frozen weights.
//!
//! RMS norm: y = w x / r with r = sqrt(mean(x^2) + e); dx = (d - x' mean(d x')) / r with d = w dy, x' = x / r
//! (Zhang and Sennrich, 2019). Layer norm subtracts the mean of x first, and that of d (Ba et al., 2016).

use crate::ggml::Tensor;
use crate::train::ops::Builder;
use crate::train::tape::{Backward, Step, Var};

/// A norm with its weights.
#[derive(Clone, Copy)]
pub(in crate::train) struct Norm {
    pub weight: Tensor,
    pub bias: Option<Tensor>,
    /// Layer norm instead of RMS norm.
    pub centred: bool,
    pub eps: f32,
}

struct NormStep {
    norm: Norm,
    input: Tensor,
    x: Var,
    y: Var,
}

impl Builder<'_, '_> {
    /// Normalises each row (the first dim).
    pub(in crate::train) fn norm(&mut self, norm: &Norm, x: Var) -> Var {
        let (g, input) = (self.g, self.tape.tensor(x));
        let normed =
            if norm.centred { g.layer_norm(input, norm.eps) } else { g.rms_norm(input, norm.eps) };
        let mut y = g.mul(normed, norm.weight);
        if let Some(bias) = norm.bias {
            y = g.add(y, bias);
        }
        let y = self.tape.value(y, self.tape.trains(x));
        self.tape.push(y, NormStep { norm: *norm, input, x, y });
        y
    }
}

impl Step for NormStep {
    fn backward(&self, b: &mut Backward<'_, '_>) {
        let (g, Some(dy)) = (b.g, b.gradient(self.y)) else { return };
        let mut x = self.input;
        let mut d = g.mul(dy, self.norm.weight);
        if self.norm.centred {
            x = g.sub(x, g.mean(x));
            d = g.sub(d, g.mean(d));
        }
        let r = g.sqrt(g.affine(g.mean(g.sqr(x)), 1.0, self.norm.eps));
        let normed = g.div(x, r);
        let along = g.mul(normed, g.mean(g.mul(d, normed)));
        b.add(self.x, g.div(g.sub(d, along), r));
    }
}
