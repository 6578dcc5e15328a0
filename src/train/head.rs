//! From hidden states to the loss of what follows them, and its gradient back.

use crate::cancel::CancelToken;
use crate::error::{Result, bail};
use crate::ggml::{F32, I32, LossTensors, Tensor, Workspace};

use super::layer::{Network, OPERATIONS};
use super::lowering::{self, Costs};
use super::ops::Builder;
use super::pass::Loss;
use super::tape::Tape;

/// The tensors that a chunk of tokens passes through.
pub(super) struct Head {
    chunk: usize,
    hidden: Tensor,
    targets: Tensor,
    /// Where each target's probability lies among all.
    places: Tensor,
    costs: Tensor,
    best: Tensor,
    gradient: Tensor,
}

impl Head {
    pub(super) fn new(workspace: &mut Workspace, network: &Network) -> Result<Self> {
        let output = network.output()?;
        let chunk = lowering::chunk(&workspace.graph(1)?, output);
        let (n_embd, c) = (network.arch.n_embd as u64, chunk as u64);
        let made = workspace.tensors(&[
            (F32, &[n_embd * c]),
            (I32, &[c]),
            (I32, &[c]),
            (F32, &[c]),
            (I32, &[c]),
            (F32, &[n_embd * c]),
        ])?;
        let [hidden, targets, places, costs, best, gradient] = *made.as_slice() else {
            bail!(Internal, "a workspace gave another number of tensors than asked for")
        };
        Ok(Self { chunk: chunk as usize, hidden, targets, places, costs, best, gradient })
    }

    /// Tokens whose logits are computed at a time.
    pub(super) fn chunk(&self) -> usize {
        self.chunk
    }

    /// The loss of up to a chunk of hidden states, `[n_embd, n]`, and with `back` their gradient.
    pub(super) fn loss(
        &self,
        w: &mut Workspace,
        (network, rows): (&Network, Tensor),
        states: &[f32],
        targets: &[i32],
        back: bool,
        cancel: &CancelToken,
    ) -> Result<(Loss, Vec<f32>)> {
        let n = targets.len();
        let vocabulary = network.arch.n_vocab;
        if !w.is_planning() {
            let place = |(i, t): (usize, &i32)| i as i32 * vocabulary as i32 + t;
            w.write(self.hidden, states)?;
            w.write_i32(self.targets, targets)?;
            w.write_i32(self.places, &targets.iter().enumerate().map(place).collect::<Vec<_>>())?;
        }
        let costs = self.run(w, (network, rows), n as i64, back, cancel)?;
        let mut loss = Loss { tokens: n as u64, ..Loss::default() };
        let mut gradient = vec![0f32; if back { states.len() } else { 0 }];
        if !w.is_planning() {
            let (mut values, mut best) = (vec![0f32; n], vec![0i32; n]);
            w.read(self.costs, &mut values)?;
            w.read_i32(self.best, &mut best)?;
            loss.sum = values.iter().map(|value| costs.in_nats(*value)).sum();
            loss.correct = best.iter().zip(targets).filter(|(a, b)| a == b).count() as u64;
            w.read(self.gradient, &mut gradient)?;
        }
        Ok((loss, gradient))
    }

    fn run(
        &self,
        w: &mut Workspace,
        (network, rows): (&Network, Tensor),
        n: i64,
        back: bool,
        cancel: &CancelToken,
    ) -> Result<Costs> {
        let d = network.arch.n_embd;
        let (weight, norm) = (network.output()?, network.norm("output_norm")?);
        let g = w.graph(OPERATIONS + lowering::operations(network.arch.n_vocab))?;
        let states = |tensor| g.reshape(g.slice(tensor, 0, 0, d * n), [d, n, 1]);
        let [targets, places, costs, best] =
            [self.targets, self.places, self.costs, self.best].map(|t| g.slice(t, 0, 0, n));

        let mut tape = Tape::default();
        let x = tape.value(states(self.hidden), back);
        let positions = self.targets;
        let mut builder = Builder { g: &g, tape: &mut tape, positions, rows, drops: false };
        let h = builder.norm(&norm, x);
        let hidden = tape.tensor(h);
        let l = LossTensors { weight, hidden, targets, costs, best, cap: network.arch.logit_cap };
        let (mut results, gradient, costs) = lowering::loss(&g, l, places, rows, back);
        if let Some(dh) = gradient {
            let (dx, _) = tape.backward(&g, (h, dh), x);
            results.extend(dx.map(|dx| g.copy(dx, states(self.gradient))));
        }
        g.run(&results, cancel)?;
        Ok(costs)
    }
}

impl Costs {
    /// -ln p. An f32 cannot hold a smaller probability than its smallest number: no token costs more than that.
    fn in_nats(self, value: f32) -> f64 {
        match self {
            Costs::Nats => f64::from(value),
            Costs::Probabilities if value.is_nan() => f64::NAN,
            Costs::Probabilities => -f64::from(value.max(f32::MIN_POSITIVE)).ln(),
        }
    }
}

impl Network {
    /// The matrix that makes logits: its own, or the embeddings'.
    fn output(&self) -> Result<Tensor> {
        match self.weights.get("output.weight") {
            Some(output) => Ok(output),
            None => self.weights.need("token_embd.weight"),
        }
    }
}
