//! A product with a frozen weight, and the LoRA pair beside it.
//!
//! y = W x + b + s B (A (m * x)), with s the adapter's scale and m the dropout's mask. Backward:
//! dB = s dy (A x)^T, dA = s (B^T dy) x^T, dx = W^T dy + A^T (s B^T dy) * m.
//! Source: Hu et al., LoRA: Low-Rank Adaptation of Large Language Models, 2021.

use crate::ggml::{PairBack, PairTensors, Tensor};
use crate::train::lowering::{pair, pair_back, product, product_back};
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
            let (sum, down) = pair(g, lora.tensors(), input, y);
            y = sum;
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

impl Lora {
    fn tensors(&self) -> PairTensors {
        PairTensors { a: self.a, b: self.b, scale: self.scale }
    }
}

impl Step for LinearStep {
    fn backward(&self, b: &mut Backward<'_, '_>) {
        let Some(dy) = b.gradient(self.y) else { return };
        let (wanted, before) = (b.wants(self.x), b.own(self.x));
        let mut dx = before;
        if let (Some(lora), Some((x, u))) = (&self.linear.lora, self.inner) {
            let (pair, sums, mask) = (lora.tensors(), [lora.da, lora.db], lora.mask);
            dx = pair_back(b, PairBack { pair, x, u, dy, sums, mask }, wanted, dx);
        }
        if wanted {
            let dx = product_back(b.g, self.linear.weight, dy, self.rows, dx);
            b.put(self.x, dx, before.is_some());
        }
    }
}
