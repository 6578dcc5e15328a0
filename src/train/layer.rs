//! One layer of a model, as a graph: what the families share, by their data.

use std::collections::HashMap;

use crate::error::{Result, err};
use crate::ggml::{Rope, Tensor};

use super::arch::{Arch, Gate, Rotation};
use super::lowering::Attention;
use super::ops::{Builder, Linear, Lora, Norm};
use super::tape::Var;
use super::weights::Weights;

/// Room for the operations of a layer and its way back, the tiles of its weights aside.
pub(super) const OPERATIONS: usize = 1024;

/// A model that can be computed: its data, its weights, its adapter's pairs by the weight's name, with the
/// width of the input.
pub(super) struct Network {
    pub arch: Arch,
    pub weights: Weights,
    pub pairs: HashMap<String, (Lora, usize)>,
}

/// The masks that are added to attention scores, `[tokens, tokens]`: 0, or minus infinity.
#[derive(Clone, Copy)]
pub(super) struct Masks {
    pub full: Tensor,
    /// For layers with a sliding window.
    pub windowed: Option<Tensor>,
}

impl Network {
    /// Layer `index` applied to `x`, `[n_embd, tokens]`.
    pub(super) fn layer(
        &self,
        b: &mut Builder<'_, '_>,
        masks: Masks,
        index: usize,
        x: Var,
    ) -> Result<Var> {
        let name = |part: &str| format!("blk.{index}.{part}");
        let normed = b.norm(&self.norm(&name("attn_norm"))?, x);
        let mut out = self.attention(b, masks, index, normed)?;
        if let Some(norm) = self.norm_if_there(&name("post_attention_norm")) {
            out = b.norm(&norm, out);
        }
        let x = b.add(x, out);

        let normed = b.norm(&self.norm(&name("ffn_norm"))?, x);
        let mut out = self.feed_forward(b, index, normed)?;
        if let Some(norm) = self.norm_if_there(&name("post_ffw_norm")) {
            out = b.norm(&norm, out);
        }
        Ok(b.add(x, out))
    }

    fn attention(
        &self,
        b: &mut Builder<'_, '_>,
        masks: Masks,
        index: usize,
        x: Var,
    ) -> Result<Var> {
        let (arch, name) = (&self.arch, |part: &str| format!("blk.{index}.{part}"));
        let tokens = b.g.dims(b.tape.tensor(x))[1];
        let (wide_q, wide_k) = (arch.head_k * arch.heads, arch.head_k * arch.groups);
        let wide_v = arch.head_v * arch.groups;
        let [q, k, v] = if arch.fused_qkv {
            let all = b.linear(&self.linear(&name("attn_qkv"))?, x);
            b.split(all, [wide_q, wide_k, wide_v])
        } else {
            [
                b.linear(&self.linear(&name("attn_q"))?, x),
                b.linear(&self.linear(&name("attn_k"))?, x),
                b.linear(&self.linear(&name("attn_v"))?, x),
            ]
        };
        let mut q = b.reshape(q, [arch.head_k, arch.heads, tokens]);
        let mut k = b.reshape(k, [arch.head_k, arch.groups, tokens]);
        let v = b.reshape(v, [arch.head_v, arch.groups, tokens]);
        if let Some(norm) = self.norm_if_there(&name("attn_q_norm")) {
            q = b.norm(&norm, q);
        }
        if let Some(norm) = self.norm_if_there(&name("attn_k_norm")) {
            k = b.norm(&norm, k);
        }
        if let Some(rotation) = arch.rotation_of(index) {
            let rope = self.rope(rotation)?;
            q = b.rope(&rope, q);
            k = b.rope(&rope, k);
        }
        let windowed = masks.windowed.filter(|_| arch.is_windowed(index));
        let mask = windowed.unwrap_or(masks.full);
        let attention = Attention { mask, scale: arch.attention_scale };
        let out = b.attention(attention, [q, k, v]);
        Ok(b.linear(&self.linear(&name("attn_output"))?, out))
    }

    fn feed_forward(&self, b: &mut Builder<'_, '_>, index: usize, x: Var) -> Result<Var> {
        let (arch, name) = (&self.arch, |part: &str| format!("blk.{index}.{part}"));
        let up = b.linear(&self.linear(&name("ffn_up"))?, x);
        let active = match arch.gate {
            Gate::None => b.activate(arch.activation, up, None),
            Gate::Separate => {
                let gate = b.linear(&self.linear(&name("ffn_gate"))?, x);
                b.activate(arch.activation, gate, Some(up))
            }
            Gate::Fused => {
                let half = b.g.dims(b.tape.tensor(up))[0] / 2;
                let [gate, up] = b.split(up, [half, half]);
                b.activate(arch.activation, gate, Some(up))
            }
        };
        Ok(b.linear(&self.linear(&name("ffn_down"))?, active))
    }

    fn linear(&self, name: &str) -> Result<Linear> {
        let weight = format!("{name}.weight");
        Ok(Linear {
            weight: self.weights.need(&weight)?,
            bias: self.weights.get(&format!("{name}.bias")),
            lora: self.pairs.get(&weight).map(|(lora, _)| *lora),
        })
    }

    /// The pairs of a layer with the widths of their inputs, in one order.
    pub(super) fn pairs_of(&self, index: usize) -> Vec<(Lora, usize)> {
        let prefix = format!("blk.{index}.");
        let mut named: Vec<_> = self.pairs.iter().filter(|(n, _)| n.starts_with(&prefix)).collect();
        named.sort_by_key(|(name, _)| name.as_str());
        named.into_iter().map(|(_, (lora, width))| (*lora, *width)).collect()
    }

    /// Whether a layer has a pair to train.
    pub(super) fn trains(&self, index: usize) -> bool {
        let prefix = format!("blk.{index}.");
        self.pairs.keys().any(|name| name.starts_with(&prefix))
    }

    pub(super) fn norm(&self, name: &str) -> Result<Norm> {
        let norm = self.norm_if_there(name);
        norm.ok_or_else(|| err!(Internal, "the model has no tensor {name}.weight"))
    }

    pub(super) fn norm_if_there(&self, name: &str) -> Option<Norm> {
        Some(Norm {
            weight: self.weights.get(&format!("{name}.weight"))?,
            bias: self.weights.get(&format!("{name}.bias")),
            centred: self.arch.centred_norms,
            eps: self.arch.eps,
        })
    }

    fn rope(&self, r: Rotation) -> Result<Rope> {
        Ok(Rope {
            n_dims: r.n_dims,
            neox: r.neox,
            freq_base: r.freq_base,
            freq_scale: r.freq_scale,
            attention_factor: r.attention_factor,
            factors: r.factors.map(|name| self.weights.need(name)).transpose()?,
        })
    }
}
