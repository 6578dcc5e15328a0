//! One row through the whole model: forward keeps each layer's input, backward computes each layer again and
//! adds to the gradients. The last layers can keep what backward needs instead, where there is memory for it.

use std::ops::Range;

use crate::cancel::CancelToken;
use crate::error::{Result, bail};
use crate::ggml::{F32, Graph, I32, Kept, Tensor, Workspace};
use crate::rng::Rng;

use super::head::Head;
use super::layer::{Masks, Network, OPERATIONS};
use super::lowering::{self, TILE};
use super::ops::Builder;
use super::row::{Row, mask};
use super::tape::{Tape, Var};

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
    /// The first of the layers that keep what backward needs; the others are computed again.
    stored: usize,
    ids: Tensor,
    positions: Tensor,
    rows: Tensor,
    mask: Tensor,
    mask_windowed: Option<Tensor>,
    /// The input of each layer up to the first stored one, and what the layers after that give.
    inputs: Vec<Tensor>,
    /// The gradient that goes back.
    gradient: Tensor,
    head: Head,
    dropout: Option<Dropout>,
    /// Room for the tiles of a layer's weights.
    tiles: usize,
}

impl Pass {
    /// For rows of up to `n_max` tokens; the last `n_stored` layers keep what backward needs.
    pub(super) fn new(
        workspace: &mut Workspace,
        network: Network,
        n_max: usize,
        n_stored: usize,
    ) -> Result<Self> {
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
        let head = Head::new(workspace, &network)?;
        let shape: &[u64] = &[d * t];
        let first = (0..arch.n_layer).find(|l| network.trains(*l)).unwrap_or(arch.n_layer);
        let stored = arch.n_layer.saturating_sub(n_stored).max(first);
        let n_inputs = arch.n_layer.min(stored + 1) + 1;
        let inputs = workspace.tensors(&vec![(F32, shape); n_inputs])?;
        let mask_windowed = match arch.window {
            Some(_) => workspace.tensors(&[(F32, &[t * t])])?.first().copied(),
            None => None,
        };
        if !workspace.is_planning() {
            let count: Vec<i32> = (0..TILE as i32).collect();
            workspace.write_i32(rows, &count)?;
        }
        let rows_of_layer = network.weights.rows("blk.0.");
        let tiles = rows_of_layer.map(lowering::operations).sum();
        Ok(Self {
            network,
            n_max,
            first,
            stored,
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

    /// The loss of predicting token `i + 1` of a row from those up to `i`, wherever `wanted[i + 1]`.
    pub(super) fn measure(
        &mut self,
        w: &mut Workspace,
        row: Row<'_>,
        wanted: &[bool],
        cancel: &CancelToken,
    ) -> Result<Loss> {
        self.load(w, row)?;
        self.forward(w, self.network.arch.n_layer, row.tokens.len(), cancel)?;
        self.head(w, row, wanted, None, cancel)
    }

    /// The same, with the gradients of every pair added to their sums: of the loss's sum, not of its mean.
    pub(super) fn learn(
        &mut self,
        w: &mut Workspace,
        row: Row<'_>,
        wanted: &[bool],
        cancel: &CancelToken,
    ) -> Result<Loss> {
        let n = row.tokens.len();
        let layers = self.network.arch.n_layer;
        self.load(w, row)?;
        self.forward(w, self.stored, n, cancel)?;
        let kept = match self.stored < layers {
            true => Some(self.forward_stored(w, n, cancel)?),
            false => None,
        };
        let mut gradient = vec![0f32; self.network.arch.n_embd as usize * n];
        let loss = self.head(w, row, wanted, Some(&mut gradient), cancel)?;
        if !w.is_planning() {
            w.write(self.gradient, &gradient)?;
        }
        if let Some(kept) = kept {
            w.finish(kept, cancel)?;
        }
        self.backward(w, n, cancel)?;
        Ok(loss)
    }

    /// Passes the row through the layers before `end`.
    fn forward(&self, w: &mut Workspace, end: usize, n: usize, cancel: &CancelToken) -> Result<()> {
        self.embed(w, n as i64, cancel)?;
        for layer in 0..end {
            self.drop_inputs(w, layer, n)?;
            let g = w.graph(OPERATIONS + self.tiles)?;
            let mut tape = Tape::default();
            let (_, y) = self.layers(&g, &mut tape, layer..layer + 1, n as i64, false)?;
            let to = self.state(&g, layer + 1, n as i64);
            let result = g.copy(tape.tensor(y), to);
            g.run(&[result], cancel)?;
        }
        Ok(())
    }

    /// Passes the row through the layers that keep what backward needs.
    fn forward_stored(&self, w: &mut Workspace, n: usize, cancel: &CancelToken) -> Result<Kept> {
        let layers = self.stored..self.network.arch.n_layer;
        for layer in layers.clone() {
            self.drop_inputs(w, layer, n)?;
        }
        let g = w.graph((OPERATIONS + self.tiles) * layers.len())?;
        let mut tape = Tape::default();
        let (x, y) =
            self.layers(&g, &mut tape, layers.clone(), n as i64, layers.start > self.first)?;
        let output = g.copy(tape.tensor(y), self.state(&g, layers.end, n as i64));
        let results = self.way_back(&g, &tape, (x, y), n as i64);
        g.begin(&[output], &results, cancel)
    }

    /// The loss of the last layer's states, and the gradient of these.
    fn head(
        &self,
        w: &mut Workspace,
        row: Row<'_>,
        wanted: &[bool],
        mut gradient: Option<&mut [f32]>,
        cancel: &CancelToken,
    ) -> Result<Loss> {
        let d = self.network.arch.n_embd as usize;
        let n = row.tokens.len();
        let predicted: Vec<usize> = (1..n).filter(|i| wanted.get(*i) == Some(&true)).collect();
        let mut hidden = vec![0f32; d * n];
        if !w.is_planning() {
            let last = self.inputs.last().copied().unwrap_or(self.gradient);
            w.read(last, &mut hidden)?;
        }
        let back = gradient.is_some();
        let mut loss = Loss::default();
        for chunk in predicted.chunks(self.head.chunk()) {
            let targets: Vec<i32> =
                chunk.iter().filter_map(|i| row.tokens.get(*i).copied()).collect();
            let from = |i: &usize| hidden.get((i - 1) * d..i * d).unwrap_or_default();
            let states: Vec<f32> = chunk.iter().flat_map(|i| from(i).iter().copied()).collect();
            let (part, dh) =
                self.head.loss(w, (&self.network, self.rows), &states, &targets, back, cancel)?;
            loss.add(part);
            let Some(gradient) = gradient.as_deref_mut() else { continue };
            for (i, dh) in chunk.iter().zip(dh.chunks(d)) {
                if let Some(to) = gradient.get_mut((i - 1) * d..i * d) {
                    to.copy_from_slice(dh);
                }
            }
        }
        Ok(loss)
    }

    /// The way back through the layers that are computed again.
    fn backward(&self, w: &mut Workspace, n: usize, cancel: &CancelToken) -> Result<()> {
        for layer in (self.first..self.stored).rev() {
            self.drop_inputs(w, layer, n)?;
            let g = w.graph(OPERATIONS + self.tiles)?;
            let mut tape = Tape::default();
            let only = layer..layer + 1;
            let (x, y) = self.layers(&g, &mut tape, only, n as i64, layer > self.first)?;
            let results = self.way_back(&g, &tape, (x, y), n as i64);
            g.run(&results, cancel)?;
        }
        Ok(())
    }

    /// What is to be computed for the gradients of the pairs between `x` and `y`, and of `x`.
    fn way_back(&self, g: &Graph<'_>, tape: &Tape, (x, y): (Var, Var), n: i64) -> Vec<Tensor> {
        let gradient = self.view(g, self.gradient, n);
        let (dx, mut results) = tape.backward(g, (y, gradient), x);
        if let Some(dx) = dx {
            // Last: everything else has read the old gradient by then.
            results.push(g.copy(dx, gradient));
        }
        results
    }

    /// The graph of layers that follow each other; `back` if their input's gradient is wanted.
    fn layers(
        &self,
        g: &Graph<'_>,
        tape: &mut Tape,
        layers: Range<usize>,
        n: i64,
        back: bool,
    ) -> Result<(Var, Var)> {
        let x = tape.value(self.state(g, layers.start, n), back);
        let square = |mask| g.reshape(g.slice(mask, 0, 0, n * n), [n, n, 1]);
        let masks = Masks { full: square(self.mask), windowed: self.mask_windowed.map(square) };
        let positions = g.slice(self.positions, 0, 0, n);
        let drops = self.dropout.is_some();
        let mut builder = Builder { g, tape, positions, rows: self.rows, drops };
        let mut y = x;
        for layer in layers {
            y = self.network.layer(&mut builder, masks, layer, y)?;
        }
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

    /// The input of a layer. Stored layers, where they are computed one by one, share a tensor.
    fn state(&self, g: &Graph<'_>, layer: usize, n: i64) -> Tensor {
        let index = layer.min(self.inputs.len().saturating_sub(1));
        self.view(g, self.inputs.get(index).copied().unwrap_or(self.gradient), n)
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
