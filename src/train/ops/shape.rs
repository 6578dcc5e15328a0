//! Sums, factors, and other views of the same values.

use crate::ggml::Tensor;
use crate::train::ops::Builder;
use crate::train::tape::{Backward, Step, Var};

struct AddStep([Var; 2], Var);
struct ReshapeStep {
    x: Var,
    y: Var,
    before: [i64; 3],
}
struct SplitStep {
    x: Var,
    parts: Vec<Var>,
}

impl Builder<'_, '_> {
    /// a + b.
    pub(in crate::train) fn add(&mut self, a: Var, b: Var) -> Var {
        let sum = self.g.add(self.tape.tensor(a), self.tape.tensor(b));
        let y = self.tape.value(sum, self.tape.trains(a) || self.tape.trains(b));
        self.tape.push(y, AddStep([a, b], y));
        y
    }

    /// The same elements under other dims.
    pub(in crate::train) fn reshape(&mut self, x: Var, dims: [i64; 3]) -> Var {
        let input = self.tape.tensor(x);
        let [a, b, c, _] = self.g.dims(input);
        let y = self.tape.value(self.g.reshape(input, dims), self.tape.trains(x));
        self.tape.push(y, ReshapeStep { x, y, before: [a, b, c] });
        y
    }

    /// `[sum of widths, tokens]` cut into parts of these widths.
    pub(in crate::train) fn split<const N: usize>(&mut self, x: Var, widths: [i64; N]) -> [Var; N] {
        let (input, trains) = (self.tape.tensor(x), self.tape.trains(x));
        let mut start = 0;
        let parts = widths.map(|width| {
            let part = self.g.cont(self.g.slice(input, 0, start, width));
            start += width;
            self.tape.value(part, trains)
        });
        if let Some(last) = parts.last() {
            self.tape.push(*last, SplitStep { x, parts: parts.to_vec() });
        }
        parts
    }
}

impl Step for AddStep {
    fn backward(&self, b: &mut Backward<'_, '_>) {
        let Some(dy) = b.gradient(self.1) else { return };
        for var in self.0 {
            b.add(var, dy);
        }
    }
}

impl Step for ReshapeStep {
    fn backward(&self, b: &mut Backward<'_, '_>) {
        let Some(dy) = b.gradient(self.y) else { return };
        b.add(self.x, b.g.reshape(dy, self.before));
    }
}

impl Step for SplitStep {
    fn backward(&self, b: &mut Backward<'_, '_>) {
        let mut all: Option<Tensor> = None;
        for part in &self.parts {
            // Every part is used, so every gradient is there.
            let Some(dy) = b.gradient(*part) else { return };
            all = Some(all.map_or(dy, |before| b.g.concat(before, dy, 0)));
        }
        if let Some(dx) = all {
            b.add(self.x, dx);
        }
    }
}
