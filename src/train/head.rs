//! From hidden states to probabilities, and the loss's gradient back, without a one-hot matrix.
//!
//! p = softmax(W h); d(-ln p_y)/dh = W^T p - W_y. With capped logits, z = c tanh(W h / c), both terms are
//! multiplied with dz/d(W h) = 1 - (z / c)^2 first.

use crate::cancel::CancelToken;
use crate::error::{Result, bail};
use crate::ggml::{F32, I32, Tensor, Workspace};

use super::arch::Arch;
use super::layer::{Network, OPERATIONS};
use super::lowering::{self, product_back};
use super::ops::Builder;
use super::pass::Loss;
use super::tape::Tape;

/// Bytes of the logits that are computed at a time: the weight is dequantized once for each chunk of tokens.
const LOGITS: i64 = 32 << 20;
/// Tokens of a chunk at least, whatever the size of the vocabulary, and at most.
const CHUNK: (i64, i64) = (128, 512);

/// The tensors that a chunk of tokens passes through.
pub(super) struct Head {
    chunk: usize,
    hidden: Tensor,
    targets: Tensor,
    /// Where each target's probability lies among all.
    places: Tensor,
    probabilities: Tensor,
    best: Tensor,
    gradient: Tensor,
}

impl Head {
    pub(super) fn new(workspace: &mut Workspace, arch: &Arch) -> Result<Self> {
        let chunk = (LOGITS / (4 * arch.n_vocab)).clamp(CHUNK.0, CHUNK.1);
        let (n_embd, c) = (arch.n_embd as u64, chunk as u64);
        let made = workspace.tensors(&[
            (F32, &[n_embd * c]),
            (I32, &[c]),
            (I32, &[c]),
            (F32, &[c]),
            (I32, &[c]),
            (F32, &[n_embd * c]),
        ])?;
        let [hidden, targets, places, probabilities, best, gradient] = *made.as_slice() else {
            bail!(Internal, "a workspace gave another number of tensors than asked for")
        };
        Ok(Self { chunk: chunk as usize, hidden, targets, places, probabilities, best, gradient })
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
        self.run(w, (network, rows), n as i64, back, cancel)?;
        let mut loss = Loss { tokens: n as u64, ..Loss::default() };
        let mut gradient = vec![0f32; if back { states.len() } else { 0 }];
        if !w.is_planning() {
            let (mut p, mut best) = (vec![0f32; n], vec![0i32; n]);
            w.read(self.probabilities, &mut p)?;
            w.read_i32(self.best, &mut best)?;
            loss.sum = p.iter().map(|p| cost(*p)).sum();
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
    ) -> Result<()> {
        let (d, vocabulary) = (network.arch.n_embd, network.arch.n_vocab);
        let output = network.output()?;
        let norm = network.norm("output_norm")?;
        let g = w.graph(OPERATIONS + lowering::operations(vocabulary))?;
        let part = |tensor, width| g.reshape(g.slice(tensor, 0, 0, width * n), [width, n, 1]);
        let places = g.slice(self.places, 0, 0, n);

        let mut tape = Tape::default();
        let x = tape.value(part(self.hidden, d), back);
        let positions = self.targets;
        let mut builder = Builder { g: &g, tape: &mut tape, positions, rows, drops: false };
        let h = builder.norm(&norm, x);
        let mut logits = lowering::logits(&g, output, tape.tensor(h));
        let mut slope = None;
        if let Some(cap) = network.arch.logit_cap {
            let squeezed = g.tanh(g.scale(logits, 1.0 / cap));
            slope = Some(g.affine(g.sqr(squeezed), -1.0, 1.0));
            logits = g.scale(squeezed, cap);
        }
        let p = g.soft_max(logits, None, 1.0);
        let picked = |of| g.get_rows(g.reshape(of, [1, vocabulary * n, 1]), places);
        // The largest logit first: then the probabilities can take the logits' place.
        let mut results = vec![
            g.copy(g.argmax(logits), g.slice(self.best, 0, 0, n)),
            g.copy(picked(p), part(self.probabilities, 1)),
        ];
        if back {
            let (mut all, mut own) = (p, g.get_rows(output, g.slice(self.targets, 0, 0, n)));
            if let Some(slope) = slope {
                all = g.mul(all, slope);
                own = g.mul(own, picked(slope));
            }
            let dh = g.sub(product_back(&g, output, all, rows), own);
            let (dx, _) = tape.backward(&g, (h, dh), x);
            results.extend(dx.map(|dx| g.copy(dx, part(self.gradient, d))));
        }
        g.run(&results, cancel)
    }
}

/// -ln p. An f32 cannot hold less than its smallest number: no token costs more than that.
fn cost(p: f32) -> f64 {
    if p.is_nan() { f64::NAN } else { -f64::from(p.max(f32::MIN_POSITIVE)).ln() }
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
