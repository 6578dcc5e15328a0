//! Causal attention over heads, and the rotation of queries and keys.

use crate::ggml::{Attended, Rope, Tensor};
use crate::train::lowering::{self, Attention};
use crate::train::ops::Builder;
use crate::train::tape::{Backward, Step, Var};

struct RopeStep {
    rope: Rope,
    positions: Tensor,
    x: Var,
    y: Var,
}

struct AttentionStep {
    attention: Attention,
    inputs: [Var; 3],
    /// As the product wants them: `[head, tokens, heads]`.
    qkv: [Tensor; 3],
    attended: Option<Attended>,
    y: Var,
}

impl Builder<'_, '_> {
    /// Rotates `[head, heads, tokens]` by the tokens' positions.
    pub(in crate::train) fn rope(&mut self, rope: &Rope, x: Var) -> Var {
        let turned = self.g.rope(self.tape.tensor(x), self.positions, rope, false);
        let y = self.tape.value(turned, self.tape.trains(x));
        self.tape.push(y, RopeStep { rope: *rope, positions: self.positions, x, y });
        y
    }

    /// Attention of `q`, `k`, `v`, each `[head, heads, tokens]`; gives `[head * heads, tokens]`.
    pub(in crate::train) fn attention(&mut self, attention: Attention, inputs: [Var; 3]) -> Var {
        let g = self.g;
        let qkv = inputs.map(|var| g.cont(g.swap_heads(self.tape.tensor(var))));
        let (out, attended) = lowering::attention(g, attention, qkv);
        let out = g.cont(g.swap_heads(out));
        let [head, heads, tokens, _] = g.dims(out);
        let out = g.reshape(out, [head * heads, tokens, 1]);
        let y = self.tape.value(out, inputs.iter().any(|v| self.tape.trains(*v)));
        self.tape.push(y, AttentionStep { attention, inputs, qkv, attended, y });
        y
    }
}

impl Step for RopeStep {
    fn backward(&self, b: &mut Backward<'_, '_>) {
        let Some(dy) = b.gradient(self.y) else { return };
        b.add(self.x, b.g.rope(dy, self.positions, &self.rope, true));
    }
}

impl Step for AttentionStep {
    fn backward(&self, b: &mut Backward<'_, '_>) {
        let (g, Some(dy)) = (b.g, b.gradient(self.y)) else { return };
        let qkv = self.qkv.map(|t| t);
        let (heads, head) = (g.dims(qkv[0])[2], g.dims(qkv[2])[0]);
        let tokens = g.dims(dy)[1];
        let dy = g.cont(g.swap_heads(g.reshape(dy, [head, heads, tokens])));
        let gradients = lowering::attention_back(g, self.attention, qkv, self.attended, dy);
        for (var, gradient) in self.inputs.into_iter().zip(gradients) {
            b.add(var, g.cont(g.swap_heads(gradient)));
        }
    }
}
