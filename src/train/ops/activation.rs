//! Activations, alone or gating a second value.
//!
//! SiLU: x s(x), derivative s (1 + x (1 - s)) (Elfwing et al., 2017). GELU in its tanh form: 0.5 x (1 + t) with
//! t = tanh(u), u = c (x + 0.044715 x^3), c = sqrt(2 / pi); derivative 0.5 (1 + t) + 0.5 x (1 - t^2) u'
//! (Hendrycks and Gimpel, 2016).

use crate::ggml::{Graph, Tensor};
use crate::kernels::rows::Curve;
use crate::train::ops::Builder;
use crate::train::tape::{Backward, Step, Var};

const C: f32 = 0.797_884_6;
const CUBIC: f32 = 0.044_715;

/// A function of one value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::train) enum Activation {
    Silu,
    Gelu,
}

struct ActivationStep {
    activation: Activation,
    input: Tensor,
    x: Var,
    /// What the activated value is multiplied with.
    gated: Option<(Var, Tensor)>,
    y: Var,
}

impl Builder<'_, '_> {
    /// f(x), or f(x) * gated.
    pub(in crate::train) fn activate(
        &mut self,
        activation: Activation,
        x: Var,
        gated: Option<Var>,
    ) -> Var {
        let (g, input) = (self.g, self.tape.tensor(x));
        let gated = gated.map(|v| (v, self.tape.tensor(v)));
        let y = activation.gate(g, input, gated.map(|(_, value)| value));
        let trains = self.tape.trains(x) || gated.is_some_and(|(v, _)| self.tape.trains(v));
        let y = self.tape.value(y, trains);
        self.tape.push(y, ActivationStep { activation, input, x, gated, y });
        y
    }
}

impl Step for ActivationStep {
    fn backward(&self, b: &mut Backward<'_, '_>) {
        let (g, Some(dy)) = (b.g, b.gradient(self.y)) else { return };
        let (x, up) = (self.input, self.gated.map(|(_, value)| value));
        if let Some((dx, dup)) = g.kernel_gate_back(self.activation.curve(), x, up, dy) {
            b.add(self.x, dx);
            if let (Some((var, _)), Some(dup)) = (self.gated, dup) {
                b.add(var, dup);
            }
            return;
        }
        let mut d = dy;
        if let Some((var, value)) = self.gated {
            b.add(var, g.mul(dy, self.activation.apply(g, x)));
            d = g.mul(dy, value);
        }
        b.add(self.x, g.mul(d, self.activation.derivative(g, x)));
    }
}

impl Activation {
    /// f(x), or f(x) * up.
    fn gate(self, g: &Graph<'_>, x: Tensor, up: Option<Tensor>) -> Tensor {
        g.kernel_gate(self.curve(), x, up).unwrap_or_else(|| {
            let active = self.apply(g, x);
            up.map_or(active, |up| g.mul(active, up))
        })
    }

    fn curve(self) -> Curve {
        match self {
            Activation::Silu => Curve::Silu,
            Activation::Gelu => Curve::Gelu,
        }
    }

    fn apply(self, g: &Graph<'_>, x: Tensor) -> Tensor {
        match self {
            Activation::Silu => g.silu(x),
            Activation::Gelu => g.mul(x, g.affine(tanh(g, x), 0.5, 0.5)),
        }
    }

    fn derivative(self, g: &Graph<'_>, x: Tensor) -> Tensor {
        match self {
            Activation::Silu => {
                let s = g.sigmoid(x);
                g.mul(s, g.affine(g.mul(x, g.affine(s, -1.0, 1.0)), 1.0, 1.0))
            }
            Activation::Gelu => {
                let t = tanh(g, x);
                let slope = g.affine(g.sqr(x), 3.0 * CUBIC * C, C);
                let bend = g.mul(g.affine(g.sqr(t), -0.5, 0.5), g.mul(x, slope));
                g.add(g.affine(t, 0.5, 0.5), bend)
            }
        }
    }
}

/// GELU's inner function.
fn tanh(g: &Graph<'_>, x: Tensor) -> Tensor {
    g.tanh(g.mul(x, g.affine(g.sqr(x), C * CUBIC, C)))
}
