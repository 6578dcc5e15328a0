//! A product with a frozen weight, and the LoRA pair beside it.
//!
//! y = W x + b + s B (A (m * x)), with s the adapter's scale and m the dropout's mask. Backward:
//! dB = s dy (A x)^T, dA = s (B^T dy) x^T, dx = W^T dy + A^T (s B^T dy) * m.
//! Source: Hu et al., LoRA: Low-Rank Adaptation of Large Language Models, 2021.

use crate::ggml::Tensor;
use crate::train::lowering::{outer, product, product_back, transposed};
use crate::train::ops::Builder;
use crate::train::tape::{Backward, Step, Var};

/// A trained pair of one weight. `a` is `[in, rank]`, `b` is `[rank, out]`.
#[derive(Clone, Copy)]
pub(in crate::train) struct Lora {
    pub a: Tensor,
    pub b: Tensor,
    /// Where the gradient of `a` is summed up.
    pub da: Tensor,
    /// Where the gradient of `b` is summed up.
    pub db: Tensor,
    pub scale: f32,
    /// What dropout multiplies the input with, 0 or 1 / (1 - p): the first elements are the row's.
    pub mask: Option<Tensor>,
}

/// A weight `[in, out]`, its bias, its pair.
#[derive(Clone, Copy)]
pub(in crate::train) struct Linear {
    pub weight: Tensor,
    pub bias: Option<Tensor>,
    pub lora: Option<Lora>,
}

struct LinearStep {
    linear: Linear,
    rows: Tensor,
    x: Var,
    y: Var,
    /// The adapter's input, and `A` times it.
    inner: Option<(Tensor, Tensor)>,
}

impl Builder<'_, '_> {
    /// `[in, tokens]` to `[out, tokens]`.
    pub(in crate::train) fn linear(&mut self, linear: &Linear, x: Var) -> Var {
        let (g, input) = (self.g, self.tape.tensor(x));
        let mut y = product(g, linear.weight, input, self.rows);
        let mut inner = None;
        let mut linear = *linear;
        if let Some(lora) = &mut linear.lora {
            let [width, n, ..] = g.dims(input);
            let part = |mask| g.reshape(g.slice(mask, 0, 0, width * n), [width, n, 1]);
            lora.mask = lora.mask.filter(|_| self.drops).map(part);
            let input = lora.mask.map_or(input, |mask| g.mul(input, mask));
            let down = g.mul_mat(lora.a, input);
            y = g.add(y, g.scale(g.mul_mat(lora.b, down), lora.scale));
            inner = Some((input, down));
        }
        if let Some(bias) = linear.bias {
            y = g.add(y, bias);
        }
        let trains = self.tape.trains(x) || linear.lora.is_some();
        let y = self.tape.value(y, trains);
        self.tape.push(y, LinearStep { linear, rows: self.rows, x, y, inner });
        y
    }
}

impl Step for LinearStep {
    fn backward(&self, b: &mut Backward<'_, '_>) {
        let (g, Some(dy)) = (b.g, b.gradient(self.y)) else { return };
        let mut dx = None;
        if let (Some(lora), Some((input, down))) = (&self.linear.lora, self.inner) {
            let du = g.scale(g.mul_mat(transposed(g, lora.b), dy), lora.scale);
            let db = g.scale(outer(g, down, dy), lora.scale);
            b.accumulate(db, lora.db);
            b.accumulate(outer(g, input, du), lora.da);
            if b.wants(self.x) {
                let back = g.mul_mat(transposed(g, lora.a), du);
                dx = Some(lora.mask.map_or(back, |mask| g.mul(back, mask)));
            }
        }
        if b.wants(self.x) {
            let back = product_back(g, self.linear.weight, dy, self.rows);
            b.add(self.x, dx.map_or(back, |dx| g.add(back, dx)));
        }
    }
}
