//! The adapter's parameters as tensors of a workspace, beside those of the optimizer.

use std::collections::HashMap;

use super::lora::LoraParams;
use super::ops::Lora;
use crate::error::{Result, bail};
use crate::ggml::{F32, Shape, Tensor, Workspace};

/// The tensors of all pairs, in the parameters' order: A and B of the first pair, of the second, ...
pub(super) struct Adapted {
    pairs: Vec<(String, Lora, usize)>,
}

impl Adapted {
    /// Makes the tensors; with `dropout`, masks for rows of up to `n_max` tokens too. Layers share them, but those
    /// from `stored` on, which are computed together.
    pub(super) fn new(
        w: &mut Workspace,
        params: &LoraParams,
        n_max: usize,
        dropout: bool,
        stored: usize,
    ) -> Result<Self> {
        let rank = params.rank() as u64;
        let mut masks: HashMap<_, Tensor> = HashMap::new();
        let mut pairs = Vec::with_capacity(params.pairs().len());
        for pair in params.pairs() {
            let (a, b) = ([pair.n_in as u64, rank], [rank, pair.n_out as u64]);
            let shapes: [Shape<'_>; 4] = [(F32, &a), (F32, &b), (F32, &a), (F32, &b)];
            let [a, b, da, db] = *w.tensors(&shapes)?.as_slice() else {
                bail!(Internal, "a workspace gave another number of tensors than asked for")
            };
            let mut mask = None;
            if dropout {
                let own = Some(pair.layer).filter(|layer| *layer as usize >= stored);
                let key = (own, pair.target, pair.n_in);
                if !masks.contains_key(&key) {
                    let made = w.tensors(&[(F32, &[(pair.n_in * n_max) as u64])])?;
                    masks.extend(made.first().map(|tensor| (key, *tensor)));
                }
                mask = masks.get(&key).copied();
            }
            let lora = Lora { a, b, da, db, scale: params.scale(), mask };
            pairs.push((pair.weight(), lora, pair.n_in));
        }
        Ok(Self { pairs })
    }

    /// The pairs by the weight's name, with the widths of their inputs.
    pub(super) fn by_name(&self) -> HashMap<String, (Lora, usize)> {
        self.pairs.iter().map(|(name, lora, width)| (name.clone(), (*lora, *width))).collect()
    }

    /// Writes the parameters.
    pub(super) fn write(&self, w: &mut Workspace, params: &LoraParams) -> Result<()> {
        let tensors = self.pairs.iter().flat_map(|(_, lora, _)| [lora.a, lora.b]);
        tensors.zip(params.tensors()).try_for_each(|(tensor, values)| w.write(tensor, values))
    }

    /// Sets the sums of the gradients to zero.
    pub(super) fn clear(&self, w: &mut Workspace, params: &LoraParams) -> Result<()> {
        let longest = params.tensors().map(<[f32]>::len).max().unwrap_or(0);
        let zeros = vec![0f32; longest];
        for (tensor, values) in self.gradients().zip(params.tensors()) {
            w.write(tensor, zeros.get(..values.len()).unwrap_or_default())?;
        }
        Ok(())
    }

    /// The sums of the gradients, multiplied with `factor`.
    pub(super) fn read(
        &self,
        w: &mut Workspace,
        params: &LoraParams,
        factor: f32,
    ) -> Result<Vec<Vec<f32>>> {
        self.gradients()
            .zip(params.tensors())
            .map(|(tensor, values)| {
                let mut gradient = vec![0f32; values.len()];
                w.read(tensor, &mut gradient)?;
                gradient.iter_mut().for_each(|g| *g *= factor);
                Ok(gradient)
            })
            .collect()
    }

    fn gradients(&self) -> impl Iterator<Item = Tensor> {
        self.pairs.iter().flat_map(|(_, lora, _)| [lora.da, lora.db])
    }
}
