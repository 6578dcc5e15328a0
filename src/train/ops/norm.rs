//! Normalisation of rows by frozen weights.
//!
//! RMS norm: y = w x / r with r = sqrt(mean(x^2) + e); dx = (d - x' mean(d x')) / r with d = w dy, x' = x / r
//! (Zhang and Sennrich, 2019). Layer norm subtracts the mean of x first, and that of d (Ba et al., 2016).

use crate::ggml::{Graph, Tensor};
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
        let mut y = norm.scaled(g, input);
        if let Some(bias) = norm.bias {
            y = g.add(y, bias);
        }
        let y = self.tape.value(y, self.tape.trains(x));
        self.tape.push(y, NormStep { norm: *norm, input, x, y });
        y
    }
}

impl Norm {
    /// Without the bias.
    fn scaled(&self, g: &Graph<'_>, x: Tensor) -> Tensor {
        if self.centred {
            return g.mul(g.layer_norm(x, self.eps), self.weight);
        }
        let fused = g.kernel_norm(self.weight, self.eps, x);
        fused.unwrap_or_else(|| g.mul(g.rms_norm(x, self.eps), self.weight))
    }
}

impl NormStep {
    /// The gradient of the input added to what there is, in one operation.
    fn fused(&self, b: &Backward<'_, '_>, dy: Tensor) -> Option<Tensor> {
        let Norm { weight, eps, centred, .. } = self.norm;
        let before = b.gradient(self.x);
        if centred { None } else { b.g.kernel_norm_back(weight, eps, self.input, dy, before) }
    }
}

impl Step for NormStep {
    fn backward(&self, b: &mut Backward<'_, '_>) {
        let (g, Some(dy)) = (b.g, b.gradient(self.y)) else { return };
        if let Some(sum) = self.fused(b, dy) {
            b.put(self.x, sum, true);
            return;
        }
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
