//! Optimizers: parameters follow their gradients. They run on the host, in 32-bit floats, in one order.

use super::update;
use crate::error::{Result, bail};
use crate::options::{OptimizerKind, TrainerOptions};

/// Which optimizer, with its constants.
#[derive(Debug, Clone, PartialEq)]
pub struct OptimizerOptions {
    /// The update rule.
    pub kind: OptimizerKind,
    /// Decoupled for AdamW; added to the gradient (L2) for the others. 0 = off.
    pub weight_decay: f64,
    /// Share of the last direction that SGD keeps. 0 = plain gradient descent.
    pub momentum: f64,
    /// Decay of Adam's mean of gradients.
    pub beta1: f64,
    /// Decay of Adam's mean of squared gradients.
    pub beta2: f64,
    /// Added to the divisor of Adam, AdamW and Adagrad.
    pub epsilon: f64,
}

impl From<&TrainerOptions> for OptimizerOptions {
    fn from(o: &TrainerOptions) -> Self {
        Self {
            kind: o.optimizer,
            weight_decay: o.weight_decay,
            momentum: o.momentum,
            beta1: o.adam_beta1,
            beta2: o.adam_beta2,
            epsilon: o.adam_epsilon,
        }
    }
}

impl OptimizerOptions {
    /// What is kept for each parameter, one `f32` each: nothing, `momentum`, `sum`, or `m` and `v`.
    pub fn state_names(&self) -> &'static [&'static str] {
        match self.kind {
            OptimizerKind::Adamw | OptimizerKind::Adam => &["m", "v"],
            OptimizerKind::Adagrad => &["sum"],
            OptimizerKind::Sgd if self.momentum > 0.0 => &["momentum"],
            OptimizerKind::Sgd => &[],
        }
    }
}

/// An optimizer with its state. The same steps from the same state give the same bits.
///
/// ```
/// use nestling::options::TrainerOptions;
/// use nestling::train::{Optimizer, OptimizerOptions};
///
/// let (mut weight, gradient) = (vec![1.0f32], [0.5]);
/// let mut optimizer = Optimizer::new(OptimizerOptions::from(&TrainerOptions::default()), &[1]);
/// optimizer.step(0.1, [(&mut weight[..], &gradient[..])])?;
/// assert!((weight[0] - 0.9).abs() < 1e-6);
/// # Ok::<(), nestling::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Optimizer {
    options: OptimizerOptions,
    sizes: Vec<usize>,
    steps: u64,
    /// For each of [`OptimizerOptions::state_names`], one vector for each tensor.
    state: Vec<Vec<Vec<f32>>>,
}

impl Optimizer {
    /// An optimizer for tensors of these numbers of elements, its state all zero.
    pub fn new(options: OptimizerOptions, sizes: &[usize]) -> Self {
        let zeros = || sizes.iter().map(|&n| vec![0.0; n]).collect();
        let state = options.state_names().iter().map(|_| zeros()).collect();
        Self { options, sizes: sizes.to_vec(), steps: 0, state }
    }

    /// The optimizer's constants.
    pub fn options(&self) -> &OptimizerOptions {
        &self.options
    }

    /// How many steps were made.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// One step at the learning rate `lr`: every parameter with its gradient, in the order of the sizes.
    ///
    /// # Errors
    /// `InvalidArgument` when the tensors are not those of the sizes; nothing is changed then.
    pub fn step<'a>(
        &mut self,
        lr: f64,
        tensors: impl IntoIterator<Item = (&'a mut [f32], &'a [f32])>,
    ) -> Result<()> {
        let tensors: Vec<_> = tensors.into_iter().collect();
        let fits = |((p, g), &n): (&(&mut [f32], &[f32]), &usize)| p.len() == n && g.len() == n;
        if tensors.len() != self.sizes.len() || !tensors.iter().zip(&self.sizes).all(fits) {
            bail!(
                InvalidArgument,
                "the optimizer was made for {} tensors of {} elements; give the same parameters and their \
                 gradients, in the same order",
                self.sizes.len(),
                self.sizes.iter().sum::<usize>()
            )
        }
        self.steps += 1;
        let o = &self.options;
        let (rate, l2, epsilon) = (lr as f32, o.weight_decay as f32, o.epsilon as f32);
        match (o.kind, self.state.as_mut_slice()) {
            (OptimizerKind::Adamw | OptimizerKind::Adam, [m, v]) => {
                let decoupled = o.kind == OptimizerKind::Adamw;
                let adam = update::Adam::new(o, lr, self.steps, decoupled);
                for (((p, g), m), v) in tensors.into_iter().zip(m).zip(v) {
                    adam.update(p, g, m, v);
                }
            }
            (OptimizerKind::Adagrad, [sum]) => {
                for ((p, g), sum) in tensors.into_iter().zip(sum) {
                    update::adagrad(p, g, sum, rate, l2, epsilon);
                }
            }
            (OptimizerKind::Sgd, [buffer]) => {
                for ((p, g), buffer) in tensors.into_iter().zip(buffer) {
                    update::momentum(p, g, buffer, rate, l2, o.momentum as f32);
                }
            }
            (OptimizerKind::Sgd, []) => {
                tensors.into_iter().for_each(|(p, g)| update::sgd(p, g, rate, l2));
            }
            _ => bail!(Internal, "the optimizer's state is not that of its kind"),
        }
        Ok(())
    }

    /// The state: each vector with its name and the index of its tensor.
    pub fn state(&self) -> impl Iterator<Item = (&'static str, usize, &[f32])> {
        self.options.state_names().iter().zip(&self.state).flat_map(|(name, tensors)| {
            tensors.iter().enumerate().map(|(i, values)| (*name, i, values.as_slice()))
        })
    }

    /// Takes over a state: `find` gives the vector of a name and a tensor's index.
    ///
    /// # Errors
    /// Those of `find`; `CheckpointFormat` for a vector of another length. The state is as it was then.
    pub fn restore(
        &mut self,
        steps: u64,
        mut find: impl FnMut(&'static str, usize) -> Result<Vec<f32>>,
    ) -> Result<()> {
        let mut state = Vec::new();
        for name in self.options.state_names() {
            let mut tensors = Vec::new();
            for (i, &n) in self.sizes.iter().enumerate() {
                let values = find(name, i)?;
                if values.len() != n {
                    bail!(
                        CheckpointFormat,
                        "the optimizer's {name} of tensor {i} has {} elements, not {n}; resume from another \
                         checkpoint",
                        values.len()
                    )
                }
                tensors.push(values);
            }
            state.push(tensors);
        }
        (self.steps, self.state) = (steps, state);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;

    fn options(kind: OptimizerKind) -> OptimizerOptions {
        let o = OptimizerOptions::from(&TrainerOptions::default());
        OptimizerOptions { kind, epsilon: 0.0, ..o }
    }

    fn run(options: OptimizerOptions, lr: f64, p: f32, gradients: &[f32]) -> f32 {
        let mut p = [p];
        let mut optimizer = Optimizer::new(options, &[1]);
        for g in gradients {
            optimizer.step(lr, [(&mut p[..], &[*g][..])]).unwrap();
        }
        p[0]
    }

    fn close(a: f32, b: f32) {
        assert!((a - b).abs() < 1e-6, "{a} {b}");
    }

    #[test]
    fn each_rule_by_hand() {
        // Without epsilon Adam's first step is the learning rate, whatever the gradient's size.
        close(run(options(OptimizerKind::Adam), 0.1, 1.0, &[1e-3]), 0.9);
        close(run(options(OptimizerKind::Adamw), 0.1, 1.0, &[-500.0]), 1.1);
        // 1/sqrt(1), then 1/sqrt(2).
        close(run(options(OptimizerKind::Adagrad), 0.1, 1.0, &[1.0, 1.0]), 0.9 - 0.1 / 2f32.sqrt());
        // Momentum 0.9: 1, then 1.9.
        close(run(options(OptimizerKind::Sgd), 0.1, 1.0, &[1.0, 1.0]), 1.0 - 0.1 - 0.19);
        let plain = OptimizerOptions { momentum: 0.0, ..options(OptimizerKind::Sgd) };
        close(run(plain, 0.1, 1.0, &[1.0, 1.0]), 0.8);
    }

    #[test]
    fn weight_decay_is_decoupled_for_adamw_and_l2_for_the_others() {
        let decay = |kind| OptimizerOptions { weight_decay: 0.5, ..options(kind) };
        // (1 - 0.1 * 0.5) * 2 - 0.1.
        close(run(decay(OptimizerKind::Adamw), 0.1, 2.0, &[1.0]), 1.8);
        // The gradient's size does not matter to Adam's first step, so neither does L2.
        close(run(decay(OptimizerKind::Adam), 0.1, 2.0, &[1.0]), 1.9);
        close(run(decay(OptimizerKind::Sgd), 0.1, 2.0, &[1.0]), 2.0 - 0.1 * (1.0 + 0.5 * 2.0));
        close(run(decay(OptimizerKind::Adagrad), 0.1, 2.0, &[-1.5]), 2.1);
    }

    #[test]
    fn tensors_that_do_not_fit_change_nothing() {
        let (mut a, mut b) = (vec![1.0; 3], vec![1.0; 2]);
        let g = [1.0; 3];
        let mut optimizer = Optimizer::new(options(OptimizerKind::Adamw), &[3, 2]);
        let before = optimizer.clone();
        let error = optimizer.step(0.1, [(&mut a[..], &g[..])]).unwrap_err();
        assert_eq!(error.code(), Code::InvalidArgument);
        assert!(optimizer.step(0.1, [(&mut a[..], &g[..]), (&mut b[..], &g[..])]).is_err());
        assert_eq!((a, b, optimizer), (vec![1.0; 3], vec![1.0; 2], before));
    }

    #[test]
    fn a_restored_state_goes_on_bit_by_bit() {
        for kind in [OptimizerKind::Adamw, OptimizerKind::Adagrad, OptimizerKind::Sgd] {
            let o = OptimizerOptions { epsilon: 1e-8, weight_decay: 0.01, ..options(kind) };
            let mut whole = (Optimizer::new(o.clone(), &[4]), vec![0.3f32, -0.2, 0.1, 7.0]);
            let step = |run: &mut (Optimizer, Vec<f32>), t: u32| {
                let g: Vec<f32> = (0..4).map(|i| ((t * 7 + i) as f32).sin()).collect();
                run.0.step(0.01, [(&mut run.1[..], &g[..])]).unwrap();
            };
            (0..5).for_each(|t| step(&mut whole, t));
            let mut resumed = (Optimizer::new(o, &[4]), whole.1.clone());
            let saved: Vec<_> = whole.0.state().map(|(n, i, v)| (n, i, v.to_vec())).collect();
            let find = |name, i| {
                let found = saved.iter().find(|s| (s.0, s.1) == (name, i));
                Ok(found.unwrap().2.clone())
            };
            resumed.0.restore(whole.0.steps(), find).unwrap();
            for run in [&mut whole, &mut resumed] {
                (5..9).for_each(|t| step(run, t));
            }
            assert_eq!(whole, resumed);
            let short = resumed.0.restore(1, |_, _| Ok(vec![0.0])).unwrap_err();
            assert_eq!((short.code(), &whole.0), (Code::CheckpointFormat, &resumed.0));
        }
    }
}
