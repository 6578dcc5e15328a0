//! A tape of differentiable operations: the forward pass of one layer, and how gradients go back.
//!
//! Both are of one graph, so that the backward pass reads the forward pass's tensors where they are.

use crate::ggml::{Graph, Tensor};

/// A value of the forward pass.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Var(usize);

/// An operation that was applied.
pub(super) trait Step: Send {
    /// Adds to the gradients of the inputs what follows from that of the output.
    fn backward(&self, b: &mut Backward<'_, '_>);
}

/// What a forward pass did.
#[derive(Default)]
pub(super) struct Tape {
    values: Vec<Value>,
    steps: Vec<Box<dyn Step>>,
}

struct Value {
    tensor: Tensor,
    /// Whether a gradient is wanted.
    trains: bool,
}

impl Tape {
    /// A value; `trains` if its gradient is wanted.
    pub(super) fn value(&mut self, tensor: Tensor, trains: bool) -> Var {
        self.values.push(Value { tensor, trains });
        Var(self.values.len() - 1)
    }

    /// The tensor of a value.
    #[allow(clippy::indexing_slicing, reason = "a Var is an index that this tape gave out")]
    pub(super) fn tensor(&self, var: Var) -> Tensor {
        self.values[var.0].tensor
    }

    /// Whether a gradient of it is wanted.
    pub(super) fn trains(&self, var: Var) -> bool {
        self.values.get(var.0).is_some_and(|v| v.trains)
    }

    /// Notes an operation, unless no gradient goes through it.
    pub(super) fn push(&mut self, output: Var, step: impl Step + 'static) {
        if self.trains(output) {
            self.steps.push(Box::new(step));
        }
    }

    /// The gradients for the gradient `dy` of `output`. Gives the gradient of `input`, if it is wanted, and what is to be
    /// computed besides.
    pub(super) fn backward(
        &self,
        g: &Graph<'_>,
        (output, dy): (Var, Tensor),
        input: Var,
    ) -> (Option<Tensor>, Vec<Tensor>) {
        let mut b = Backward {
            g,
            tape: self,
            gradients: vec![None; self.values.len()],
            results: Vec::new(),
        };
        b.add(output, dy);
        for step in self.steps.iter().rev() {
            step.backward(&mut b);
        }
        (b.gradient(input), b.results)
    }
}

/// A gradient so far.
#[derive(Clone, Copy)]
struct Sum {
    tensor: Tensor,
    /// Nobody else reads the tensor: an operation can add to it where it is.
    own: bool,
}

/// A backward pass under way.
pub(super) struct Backward<'t, 'w> {
    pub(super) g: &'t Graph<'w>,
    tape: &'t Tape,
    gradients: Vec<Option<Sum>>,
    results: Vec<Tensor>,
}

impl Backward<'_, '_> {
    /// Whether a gradient of it is wanted.
    pub(super) fn wants(&self, var: Var) -> bool {
        self.tape.trains(var)
    }

    /// The gradient so far.
    pub(super) fn gradient(&self, var: Var) -> Option<Tensor> {
        Some(self.gradients.get(var.0)?.as_ref()?.tensor)
    }

    /// The gradient so far, if an operation may add to it where it is. Such a one is then [`put`](Self::put).
    pub(super) fn own(&self, var: Var) -> Option<Tensor> {
        let sum = self.gradients.get(var.0)?.as_ref()?;
        sum.own.then_some(sum.tensor)
    }

    /// Adds to a gradient.
    pub(super) fn add(&mut self, var: Var, gradient: Tensor) {
        let before = self.gradient(var);
        let tensor = before.map_or(gradient, |sum| self.g.add(sum, gradient));
        self.set(var, Sum { tensor, own: before.is_some() });
    }

    /// Adds to a gradient what nobody else reads. If it `holds` the gradient so far, it takes its place.
    pub(super) fn put(&mut self, var: Var, gradient: Tensor, holds: bool) {
        let before = self.gradient(var).filter(|_| !holds);
        let tensor = before.map_or(gradient, |sum| self.g.add(sum, gradient));
        self.set(var, Sum { tensor, own: true });
    }

    fn set(&mut self, var: Var, sum: Sum) {
        if let Some(slot) = self.gradients.get_mut(var.0).filter(|_| self.tape.trains(var)) {
            *slot = Some(sum);
        }
    }

    /// Notes what must be computed, though no gradient follows from it.
    pub(super) fn compute(&mut self, result: Tensor) {
        self.results.push(result);
    }

    /// Notes what must be computed: the gradient of a parameter, added to `sum`, which stays.
    pub(super) fn accumulate(&mut self, gradient: Tensor, sum: Tensor) {
        let total = self.g.add(sum, gradient);
        self.results.push(self.g.copy(total, sum));
    }
}
