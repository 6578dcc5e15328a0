//! The tensors that each known family must have, with the shapes that follow from its
//! hyper-parameters.

use super::arch::Family;
use super::files::Tensors;
use super::hparams::Hparams;
use super::types::is_weight;
use super::widths;
use crate::error::{Result, bail};
use crate::format::gguf::{GgmlType, Gguf, Shape};

pub(super) fn check(gguf: &Gguf, h: &Hparams, tensors: &Tensors) -> Result<()> {
    if tensors.is_empty() {
        bail!(
            GgufTensorMissing,
            "the file holds no tensors; give the model's file, not its vocabulary"
        );
    }
    let Some(family) = h.family else { return widths::check_tensors(gguf, h, tensors) };
    let head = u64::from(h.n_embd_head_k);
    let check = Check {
        tensors,
        family,
        embd: h.n_embd.into(),
        ff: h.n_ff.first().copied().unwrap_or(0).into(),
        head,
        q: head * u64::from(h.n_head.first().copied().unwrap_or(0)),
        kv: head * u64::from(h.n_head_kv.first().copied().unwrap_or(0)),
        n_rot: h.n_rot.into(),
        n_expert: h.n_expert.into(),
        vocab: h.n_vocab.into(),
        long_rope: gguf.str(&format!("{}.rope.scaling.type", h.arch))? == Some("longrope"),
    };
    check.vocabulary()?;
    check.outside(h.n_ctx_train.into())?;
    for layer in 0..h.n_layer {
        check.attention(&format!("blk.{layer}"))?;
        check.feed_forward(&format!("blk.{layer}"))?;
    }
    Ok(())
}

struct Check<'a> {
    tensors: &'a Tensors<'a>,
    family: Family,
    embd: u64,
    ff: u64,
    /// The width of one head.
    head: u64,
    /// The width of all query heads.
    q: u64,
    /// The width of all key heads.
    kv: u64,
    n_rot: u64,
    n_expert: u64,
    vocab: u64,
    long_rope: bool,
}

impl Check<'_> {
    /// The embedding has a row for each token: a rule of its own, as it is about the vocabulary.
    fn vocabulary(&self) -> Result<()> {
        let Some(t) = self.tensors.get("token_embd.weight") else {
            bail!(
                GgufTensorMissing,
                "tensor token_embd.weight is missing; convert the model again"
            );
        };
        let rows = t.dims.get(1).copied().unwrap_or(1);
        if rows != self.vocab {
            bail!(
                GgufVocabLength,
                "the vocabulary has {} tokens, but token_embd.weight has {rows} rows; convert the model \
                 again",
                self.vocab
            );
        }
        Ok(())
    }

    fn outside(&self, n_ctx: u64) -> Result<()> {
        self.matrix("token_embd.weight", self.embd, self.vocab)?;
        self.vector("output_norm.weight", self.embd)?;
        self.optional("output.weight", &[self.embd, self.vocab])?;
        match self.family {
            Family::Gpt2 => {
                self.vector("output_norm.bias", self.embd)?;
                self.matrix("position_embd.weight", self.embd, n_ctx)?;
            }
            Family::Qwen2 => self.optional("output.bias", &[self.vocab])?,
            Family::Llama if !self.long_rope => {
                self.optional("rope_freqs.weight", &[self.n_rot / 2])?;
            }
            Family::Llama | Family::Phi3 => {
                self.optional("rope_factors_long.weight", &[self.n_rot / 2])?;
                self.optional("rope_factors_short.weight", &[self.n_rot / 2])?;
            }
            Family::Qwen3 | Family::Gemma3 => {}
        }
        Ok(())
    }

    fn attention(&self, blk: &str) -> Result<()> {
        self.vector(&format!("{blk}.attn_norm.weight"), self.embd)?;
        let fused = format!("{blk}.attn_qkv");
        let has_fused = self.tensors.contains_key(format!("{fused}.weight").as_str());
        let all = self.q + 2 * self.kv;
        if self.family == Family::Gpt2 || has_fused {
            self.matrix(&format!("{fused}.weight"), self.embd, all)?;
            self.optional(&format!("{fused}.bias"), &[all])?;
        } else {
            for (name, rows) in [("attn_q", self.q), ("attn_k", self.kv), ("attn_v", self.kv)] {
                self.matrix(&format!("{blk}.{name}.weight"), self.embd, rows)?;
            }
        }
        for (name, rows) in [("attn_q", self.q), ("attn_k", self.kv), ("attn_v", self.kv)] {
            self.optional(&format!("{blk}.{name}.bias"), &[rows])?;
        }
        self.matrix(&format!("{blk}.attn_output.weight"), self.q, self.embd)?;
        match self.family {
            Family::Gpt2 => {
                self.vector(&format!("{blk}.attn_norm.bias"), self.embd)?;
                self.vector(&format!("{fused}.bias"), all)?;
                self.vector(&format!("{blk}.attn_output.bias"), self.embd)?;
            }
            Family::Qwen3 | Family::Gemma3 => {
                self.vector(&format!("{blk}.attn_q_norm.weight"), self.head)?;
                self.vector(&format!("{blk}.attn_k_norm.weight"), self.head)?;
            }
            Family::Llama => self.optional(&format!("{blk}.attn_output.bias"), &[self.embd])?,
            Family::Qwen2 | Family::Phi3 => {}
        }
        if self.family == Family::Gemma3 {
            self.vector(&format!("{blk}.post_attention_norm.weight"), self.embd)?;
        }
        Ok(())
    }

    fn feed_forward(&self, blk: &str) -> Result<()> {
        self.vector(&format!("{blk}.ffn_norm.weight"), self.embd)?;
        if self.n_expert > 0 {
            return self.experts(blk);
        }
        let up = if self.family == Family::Phi3 { 2 * self.ff } else { self.ff };
        self.matrix(&format!("{blk}.ffn_up.weight"), self.embd, up)?;
        self.matrix(&format!("{blk}.ffn_down.weight"), self.ff, self.embd)?;
        if !matches!(self.family, Family::Gpt2 | Family::Phi3) {
            self.matrix(&format!("{blk}.ffn_gate.weight"), self.embd, self.ff)?;
        }
        match self.family {
            Family::Gpt2 => {
                self.vector(&format!("{blk}.ffn_norm.bias"), self.embd)?;
                self.vector(&format!("{blk}.ffn_up.bias"), self.ff)?;
                self.vector(&format!("{blk}.ffn_down.bias"), self.embd)?;
            }
            Family::Llama => {
                self.optional(&format!("{blk}.ffn_gate.bias"), &[self.ff])?;
                self.optional(&format!("{blk}.ffn_up.bias"), &[self.ff])?;
                self.optional(&format!("{blk}.ffn_down.bias"), &[self.embd])?;
            }
            Family::Gemma3 => self.vector(&format!("{blk}.post_ffw_norm.weight"), self.embd)?,
            Family::Qwen2 | Family::Qwen3 | Family::Phi3 => {}
        }
        Ok(())
    }

    fn experts(&self, blk: &str) -> Result<()> {
        let (embd, ff, n) = (self.embd, self.ff, self.n_expert);
        self.required(&format!("{blk}.ffn_gate_inp.weight"), &[embd, n])?;
        self.required(&format!("{blk}.ffn_up_exps.weight"), &[embd, ff, n])?;
        self.required(&format!("{blk}.ffn_down_exps.weight"), &[ff, embd, n])?;
        self.optional(&format!("{blk}.ffn_gate_exps.weight"), &[embd, ff, n])
    }

    fn matrix(&self, name: &str, columns: u64, rows: u64) -> Result<()> {
        self.required(name, &[columns, rows])
    }

    fn vector(&self, name: &str, n: u64) -> Result<()> {
        self.required(name, &[n])
    }

    fn required(&self, name: &str, shape: &[u64]) -> Result<()> {
        if !self.tensors.contains_key(name) {
            bail!(GgufTensorMissing, "tensor {name} is missing; convert the model again");
        }
        self.optional(name, shape)
    }

    fn optional(&self, name: &str, shape: &[u64]) -> Result<()> {
        let Some(t) = self.tensors.get(name) else { return Ok(()) };
        let padded = |i: usize, dims: &[u64]| dims.get(i).copied().unwrap_or(1);
        if (0..4).any(|i| padded(i, &t.dims) != padded(i, shape)) {
            bail!(
                GgufTensorMismatch,
                "tensor {name} has the shape {}, but {} follows from the hyper-parameters; convert the \
                 model again",
                Shape(&t.dims),
                Shape(shape)
            );
        }
        let usable =
            if shape.len() == 1 { t.ggml_type == GgmlType::F32 } else { is_weight(t.ggml_type) };
        if !usable {
            bail!(
                GgufTensorRole,
                "tensor {name} has type {}, with which the engine cannot compute here; quantize the \
                 model again",
                t.ggml_type
            );
        }
        Ok(())
    }
}
