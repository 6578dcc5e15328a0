//! Architectures as data: what differs between the families, read from a model's keys and tensors.

mod gemma3;
mod gpt2;
mod llama;
mod phi3;
mod qwen;

use crate::error::{Result, bail};
use crate::format::ModelFiles;
use crate::train::ops::Activation;

/// The architectures that can be trained.
pub(crate) const SUPPORTED: &[&str] = &["llama", "qwen2", "qwen3", "gemma3", "gpt2", "phi3"];

/// How positions enter, apart from a learned table.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Rotation {
    pub n_dims: u32,
    pub neox: bool,
    pub freq_base: f32,
    pub freq_scale: f32,
    pub attention_factor: f32,
    /// The tensor of frequency divisors, if the model has one.
    pub factors: Option<&'static str>,
}

/// What a layer's graph follows from.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Arch {
    pub n_layer: usize,
    pub n_embd: i64,
    pub n_vocab: i64,
    pub heads: i64,
    pub groups: i64,
    pub head_k: i64,
    pub head_v: i64,
    pub eps: f32,
    /// Layer norm instead of RMS norm.
    pub centred_norms: bool,
    pub activation: Activation,
    /// Queries, keys and values come from one weight, `attn_qkv`.
    pub fused_qkv: bool,
    /// Gate and up come from one weight, `ffn_up`; or there is no gate.
    pub gate: Gate,
    pub rotation: Option<Rotation>,
    /// The rotation of layers with a sliding window, where it differs.
    pub rotation_windowed: Option<Rotation>,
    /// Tokens that a windowed layer sees.
    pub window: Option<u32>,
    /// Every layer but each `period`th has the window.
    pub windowed: Vec<bool>,
    /// Embeddings are multiplied with this.
    pub embedding_scale: f32,
    /// Attention scores are multiplied with this.
    pub attention_scale: f32,
    /// Logits are squeezed into plus or minus this.
    pub logit_cap: Option<f32>,
}

/// How a feed-forward part is gated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gate {
    None,
    Separate,
    Fused,
}

impl Arch {
    /// # Errors
    /// `Unsupported` for an architecture, or a feature of one, that cannot be trained.
    pub(super) fn of(files: &ModelFiles) -> Result<Self> {
        let h = files.hparams();
        if h.n_expert > 0 {
            bail!(
                Unsupported,
                "a mixture of {} experts cannot be fine-tuned; use a dense model of one of the \
                 architectures {}",
                h.n_expert,
                SUPPORTED.join(", ")
            )
        }
        match h.arch.as_str() {
            "llama" => llama::describe(files),
            "qwen2" | "qwen3" => qwen::describe(files),
            "gemma3" => gemma3::describe(files),
            "gpt2" => gpt2::describe(files),
            "phi3" => phi3::describe(files),
            other => bail!(
                Unsupported,
                "the architecture {other:?} cannot be fine-tuned; use a model of one of {}",
                SUPPORTED.join(", ")
            ),
        }
    }

    /// What most families share: RMS norms, rotated positions, a SiLU gate.
    fn base(files: &ModelFiles, neox: bool) -> Result<Self> {
        let h = files.hparams();
        let first = |list: &[u32]| i64::from(list.first().copied().unwrap_or(0));
        let head_k = i64::from(h.n_embd_head_k);
        Ok(Self {
            n_layer: h.n_layer as usize,
            n_embd: i64::from(h.n_embd),
            n_vocab: i64::from(h.n_vocab),
            heads: first(&h.n_head),
            groups: first(&h.n_head_kv),
            head_k,
            head_v: i64::from(h.n_embd_head_v),
            eps: key_f32(files, "attention.layer_norm_rms_epsilon")?.unwrap_or(1e-5),
            centred_norms: false,
            activation: Activation::Silu,
            fused_qkv: false,
            gate: Gate::Separate,
            rotation: Some(rotation(files, neox)?),
            rotation_windowed: None,
            window: None,
            windowed: vec![false; h.n_layer as usize],
            embedding_scale: 1.0,
            attention_scale: 1.0 / (head_k as f32).sqrt(),
            logit_cap: None,
        })
    }

    /// The rotation of one layer.
    pub(super) fn rotation_of(&self, layer: usize) -> Option<Rotation> {
        if self.is_windowed(layer) {
            return self.rotation_windowed.or(self.rotation);
        }
        self.rotation
    }

    pub(super) fn is_windowed(&self, layer: usize) -> bool {
        self.window.is_some() && self.windowed.get(layer).copied().unwrap_or(false)
    }
}

fn rotation(files: &ModelFiles, neox: bool) -> Result<Rotation> {
    let kind = files.gguf().str(&key(files, "rope.scaling.type"))?.unwrap_or("none");
    if kind == "yarn" {
        bail!(
            Unsupported,
            "a model whose context is stretched with YaRN (rope.scaling.type) cannot be fine-tuned; use \
             its version without"
        )
    }
    let factor = match key_f32(files, "rope.scaling.factor")? {
        Some(factor) => factor,
        None => key_f32(files, "rope.scale_linear")?.unwrap_or(0.0),
    };
    Ok(Rotation {
        n_dims: files.hparams().n_rot,
        neox,
        freq_base: key_f32(files, "rope.freq_base")?.unwrap_or(10_000.0),
        freq_scale: if factor == 0.0 { 1.0 } else { 1.0 / factor },
        attention_factor: key_f32(files, "rope.scaling.attn_factor")?.unwrap_or(1.0),
        factors: files.tensor("rope_freqs.weight").map(|_| "rope_freqs.weight"),
    })
}

fn key(files: &ModelFiles, name: &str) -> String {
    format!("{}.{name}", files.hparams().arch)
}

fn key_f32(files: &ModelFiles, name: &str) -> Result<Option<f32>> {
    files.gguf().f32(&key(files, name))
}
