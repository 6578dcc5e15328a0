//! One row through the whole model: forward keeps each layer's input, backward computes each layer again and
//! adds to the gradients.

use crate::cancel::CancelToken;
use crate::error::{Result, bail};
use crate::ggml::{F32, Graph, I32, Tensor, Workspace};
use crate::rng::Rng;

use super::head::{CHUNK, Head};
use super::layer::{Masks, Network, OPERATIONS};
use super::lowering::{self, TILE};
use super::ops::Builder;
use super::tape::{Tape, Var};

/// One row of tokens: examples one after the other, which do not see each other.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row<'a> {
    pub tokens: &'a [i32],
    /// The position of each token in its example.
    pub positions: &'a [i32],
    /// The number of each token's example.
    pub segments: &'a [u32],
}

/// Which inputs of the pairs are left out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Dropout {
    /// The chance of each.
    pub chance: f64,
    /// What the choice follows from, with the layer and the pair.
    pub key: [u64; 2],
}

/// What the row's predictions cost, summed over the tokens to predict.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Loss {
    /// The sum of -ln p of the tokens that came, in nats.
    pub sum: f64,
    /// How many tokens were to be predicted.
    pub tokens: u64,
    /// How many of them were the most likely ones.
    pub correct: u64,
}

impl Loss {
    /// Adds another part.
    pub(super) fn add(&mut self, other: Self) {
        self.sum += other.sum;
        self.tokens += other.tokens;
        self.correct += other.correct;
    }

    /// The loss of one token; 0 without tokens.
    pub(super) fn mean(&self) -> f64 {
        self.sum / self.tokens.max(1) as f64
    }
}

/// The tensors that rows pass through.
pub(super) struct Pass {
    pub(super) network: Network,
    /// Tokens of a row at most.
    n_max: usize,
    /// The first layer that trains; the layers before it have no way back.
    first: usize,
    ids: Tensor,
    positions: Tensor,
    rows: Tensor,
    mask: Tensor,
    mask_windowed: Option<Tensor>,
    /// The input of each layer, and the output of the last.
    inputs: Vec<Tensor>,
    /// The gradient that goes back.
    gradient: Tensor,
    head: Head,
    dropout: Option<Dropout>,
    /// Room for the tiles of a layer's weights on the way back.
    tiles: usize,
}

impl Pass {
    pub(super) fn new(workspace: &mut Workspace, network: Network, n_max: usize) -> Result<Self> {
        let arch = &network.arch;
        let (d, t) = (arch.n_embd as u64, n_max as u64);
        let made = workspace.tensors(&[
            (I32, &[t]),
            (I32, &[t]),
            (I32, &[TILE as u64]),
            (F32, &[t * t]),
            (F32, &[d * t]),
        ])?;
        let [ids, positions, rows, mask, gradient] = *made.as_slice() else {
            bail!(Internal, "a workspace gave another number of tensors than asked for")
        };
        let head = Head::new(workspace, d)?;
        let shape: &[u64] = &[d * t];
        let inputs = workspace.tensors(&vec![(F32, shape); arch.n_layer + 1])?;
        let mask_windowed = match arch.window {
            Some(_) => workspace.tensors(&[(F32, &[t * t])])?.first().copied(),
            None => None,
        };
        if !workspace.is_planning() {
            let count: Vec<i32> = (0..TILE as i32).collect();
            workspace.write_i32(rows, &count)?;
        }
        let rows_of_layer = network.weights.rows("blk.0.");
        let tiles = rows_of_layer.map(lowering::tiles).sum();
        let first = (0..arch.n_layer).find(|l| network.trains(*l)).unwrap_or(arch.n_layer);
        Ok(Self {
            network,
            n_max,
            first,
            ids,
            positions,
            rows,
            mask,
            mask_windowed,
            inputs,
            gradient,
            head,
            dropout: None,
            tiles,
        })
    }

    /// Leaves inputs of the pairs out from now on; `None` leaves all in. The same key leaves the same ones out.
    pub(super) fn set_dropout(&mut self, dropout: Option<Dropout>) {
        self.dropout = dropout;
    }

    /// Passes a row through all layers.
    pub(super) fn forward(
        &mut self,
        w: &mut Workspace,
        row: Row<'_>,
        cancel: &CancelToken,
    ) -> Result<()> {
        self.load(w, row)?;
        let n = row.tokens.len() as i64;
        self.embed(w, n, cancel)?;
        for layer in 0..self.network.arch.n_layer {
            self.drop_inputs(w, layer, row.tokens.len())?;
            let g = w.graph(OPERATIONS)?;
            let mut tape = Tape::default();
            let (_, y) = self.layer(&g, &mut tape, layer, n, false)?;
            let to = self.state(&g, layer + 1, n);
            let result = g.copy(tape.tensor(y), to);
            g.run(&[result], cancel)?;
        }
        Ok(())
    }

    /// The loss of predicting token `i + 1` from those up to `i`, wherever `wanted[i + 1]`. With `back`, also
    /// the gradients of every pair, added to their sums: of the loss's sum, not of its mean.
    pub(super) fn loss(
        &mut self,
        w: &mut Workspace,
        row: Row<'_>,
        wanted: &[bool],
        back: bool,
        cancel: &CancelToken,
    ) -> Result<Loss> {
        let d = self.network.arch.n_embd as usize;
        let n = row.tokens.len();
        let predicted: Vec<usize> = (1..n).filter(|i| wanted.get(*i) == Some(&true)).collect();
        let mut hidden = vec![0f32; d * n];
        let mut gradient = if back { vec![0f32; d * n] } else { Vec::new() };
        if !w.is_planning() {
            let last = self.inputs.last().copied().unwrap_or(self.gradient);
            w.read(last, &mut hidden)?;
        }
        let mut loss = Loss::default();
        for chunk in predicted.chunks(CHUNK) {
            let targets: Vec<i32> =
                chunk.iter().filter_map(|i| row.tokens.get(*i).copied()).collect();
            let from = |i: &usize| hidden.get((i - 1) * d..i * d).unwrap_or_default();
            let states: Vec<f32> = chunk.iter().flat_map(|i| from(i).iter().copied()).collect();
            let (part, dh) =
                self.head.loss(w, (&self.network, self.rows), &states, &targets, back, cancel)?;
            loss.add(part);
            for (i, dh) in chunk.iter().zip(dh.chunks(d)) {
                if let Some(to) = gradient.get_mut((i - 1) * d..i * d) {
                    to.copy_from_slice(dh);
                }
            }
        }
        if back {
            if !w.is_planning() {
                w.write(self.gradient, &gradient)?;
            }
            self.backward(w, n as i64, cancel)?;
        }
        Ok(loss)
    }

    fn backward(&mut self, w: &mut Workspace, n: i64, cancel: &CancelToken) -> Result<()> {
        for layer in (self.first..self.network.arch.n_layer).rev() {
            self.drop_inputs(w, layer, n as usize)?;
            let g = w.graph(OPERATIONS + self.tiles)?;
            let mut tape = Tape::default();
            let (x, y) = self.layer(&g, &mut tape, layer, n, layer > self.first)?;
            let gradient = self.view(&g, self.gradient, n);
            let (dx, mut results) = tape.backward(&g, (y, gradient), x);
            if let Some(dx) = dx {
                // Last: everything else has read the old gradient by then.
                results.push(g.copy(dx, gradient));
            }
            g.run(&results, cancel)?;
        }
        Ok(())
    }

    /// A layer's graph; `back` if its input's gradient is wanted.
    fn layer(
        &self,
        g: &Graph<'_>,
        tape: &mut Tape,
        layer: usize,
        n: i64,
        back: bool,
    ) -> Result<(Var, Var)> {
        let x = tape.value(self.state(g, layer, n), back);
        let square = |mask| g.reshape(g.slice(mask, 0, 0, n * n), [n, n, 1]);
        let masks = Masks { full: square(self.mask), windowed: self.mask_windowed.map(square) };
        let positions = g.slice(self.positions, 0, 0, n);
        let drops = self.dropout.is_some();
        let mut builder = Builder { g, tape, positions, rows: self.rows, drops };
        let y = self.network.layer(&mut builder, masks, layer, x)?;
        Ok((x, y))
    }

    /// Writes the masks of a layer's pairs. Forward and backward get the same ones.
    fn drop_inputs(&self, w: &mut Workspace, layer: usize, n: usize) -> Result<()> {
        let Some(dropout) = self.dropout.filter(|_| !w.is_planning()) else { return Ok(()) };
        let keep = (1.0 / (1.0 - dropout.chance)) as f32;
        for (index, (lora, width)) in self.network.pairs_of(layer).into_iter().enumerate() {
            let Some(mask) = lora.mask else { continue };
            let [a, b] = dropout.key;
            let mut rng = Rng::keyed(&[a, b, layer as u64, index as u64]);
            let mut draw = || if rng.unit() < dropout.chance { 0.0 } else { keep };
            w.write(mask, &(0..width * n).map(|_| draw()).collect::<Vec<f32>>())?;
        }
        Ok(())
    }

    fn embed(&self, w: &mut Workspace, n: i64, cancel: &CancelToken) -> Result<()> {
        let (network, arch) = (&self.network, &self.network.arch);
        let table = network.weights.need("token_embd.weight")?;
        let g = w.graph(32)?;
        let mut x = g.get_rows(table, g.slice(self.ids, 0, 0, n));
        if arch.embedding_scale != 1.0 {
            x = g.scale(x, arch.embedding_scale);
        }
        if let Some(learned) = network.weights.get("position_embd.weight") {
            x = g.add(x, g.get_rows(learned, g.slice(self.positions, 0, 0, n)));
        }
        let result = g.copy(x, self.state(&g, 0, n));
        g.run(&[result], cancel)
    }

    fn state(&self, g: &Graph<'_>, layer: usize, n: i64) -> Tensor {
        self.view(g, self.inputs.get(layer).copied().unwrap_or(self.gradient), n)
    }

    /// The first `n` tokens of a tensor for `n_max`.
    fn view(&self, g: &Graph<'_>, tensor: Tensor, n: i64) -> Tensor {
        let d = self.network.arch.n_embd;
        g.reshape(g.slice(tensor, 0, 0, d * n), [d, n, 1])
    }

    /// Writes a row's tokens, positions and masks.
    fn load(&self, w: &mut Workspace, row: Row<'_>) -> Result<()> {
        let n = row.tokens.len();
        if n == 0 || n > self.n_max || row.positions.len() != n || row.segments.len() != n {
            bail!(Internal, "a row of {n} tokens, of 1 to {}", self.n_max)
        }
        let vocabulary = self.network.arch.n_vocab;
        if row.tokens.iter().any(|t| !(0..vocabulary).contains(&i64::from(*t))) {
            bail!(InvalidToken, "a row holds a token id outside the vocabulary of {vocabulary}")
        }
        if w.is_planning() {
            return Ok(());
        }
        w.write_i32(self.ids, row.tokens)?;
        w.write_i32(self.positions, row.positions)?;
        w.write(self.mask, &mask(row, None))?;
        match self.mask_windowed {
            Some(windowed) => w.write(windowed, &mask(row, self.network.arch.window)),
            None => Ok(()),
        }
    }
}

/// 0 where a token sees another: one of its own example, not after it, inside the window.
fn mask(row: Row<'_>, window: Option<u32>) -> Vec<f32> {
    let tokens = || row.positions.iter().zip(row.segments);
    let sees = |(p, s): (&i32, &u32), (q, t): (&i32, &u32)| {
        s == t && q <= p && window.is_none_or(|w| i64::from(*p) - i64::from(*q) < i64::from(w))
    };
    tokens()
        .flat_map(|a| tokens().map(move |b| if sees(a, b) { 0.0 } else { f32::NEG_INFINITY }))
        .collect()
}
