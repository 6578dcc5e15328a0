//! Adapters as PEFT saves them, for the tiny models: random, and the same for the same seed.

use std::fs;
use std::path::{Path, PathBuf};

use nestling::format::gguf::{GgmlType, Writer};
use safetensors::tensor::{Dtype, TensorView, serialize_to_file};
use serde_json::{Value, json};

use super::{Family, Tiny};

/// What an adapter is.
#[derive(Clone)]
pub struct Lora {
    pub rank: usize,
    pub alpha: f64,
    pub seed: u64,
    pub dtype: Dtype,
    /// Keys of the configuration that are set, too.
    pub more: Value,
    /// Modules whose paths do not hold this are left out.
    pub only: &'static str,
    /// Whether the matrix that makes logits is changed, too, where the model has one.
    pub head: bool,
}

impl Lora {
    pub fn new(rank: usize, alpha: f64, seed: u64) -> Self {
        Self { rank, alpha, seed, dtype: Dtype::F32, more: json!({}), only: "", head: false }
    }

    pub fn config(&self, tiny: &Tiny) -> Value {
        let mut config = json!({
            "peft_type": "LORA", "task_type": "CAUSAL_LM", "base_model_name_or_path": "tiny/model",
            "r": self.rank, "lora_alpha": self.alpha, "bias": "none", "inference_mode": true,
            "fan_in_fan_out": tiny.family == Family::Gpt2,
            "target_modules": self.pairs(tiny).iter().map(|(path, ..)| path.clone()).collect::<Vec<_>>(),
        });
        for (key, value) in self.more.as_object().unwrap() {
            config[key] = value.clone();
        }
        config
    }

    /// Path, inputs and outputs of each module.
    pub fn pairs(&self, tiny: &Tiny) -> Vec<(String, usize, usize)> {
        let mut pairs = Vec::new();
        for layer in 0..tiny.n_layer {
            for (module, n_in, n_out) in modules(tiny) {
                let top =
                    if tiny.family == Family::Gpt2 { "transformer.h" } else { "model.layers" };
                pairs.push((format!("{top}.{layer}.{module}"), n_in, n_out));
            }
        }
        pairs.retain(|(path, ..)| path.contains(self.only));
        if self.head && !tiny.tied {
            pairs.push(("lm_head".into(), tiny.n_embd as usize, n_vocab(tiny)));
        }
        pairs
    }

    /// The tensors of the file: name, shape and data.
    pub fn tensors(&self, tiny: &Tiny) -> Vec<(String, Vec<usize>, Vec<u8>)> {
        let mut random = Random(self.seed);
        let mut tensors = Vec::new();
        for (path, n_in, n_out) in self.pairs(tiny) {
            for (half, shape) in [("A", vec![self.rank, n_in]), ("B", vec![n_out, self.rank])] {
                let values = (0..shape[0] * shape[1]).map(|_| random.next());
                let data = values.flat_map(|v| bytes(v, self.dtype)).collect();
                tensors.push((format!("base_model.model.{path}.lora_{half}.weight"), shape, data));
            }
        }
        tensors
    }

    /// Writes the directory, and returns its path.
    pub fn write(&self, directory: &Path, tiny: &Tiny) -> PathBuf {
        write(directory, &self.config(tiny), &self.tensors(tiny), self.dtype);
        directory.to_owned()
    }
}

pub fn write(
    directory: &Path,
    config: &Value,
    tensors: &[(String, Vec<usize>, Vec<u8>)],
    dtype: Dtype,
) {
    fs::create_dir_all(directory).unwrap();
    fs::write(directory.join("adapter_config.json"), config.to_string()).unwrap();
    let views: Vec<_> = tensors
        .iter()
        .map(|(name, shape, data)| (name, TensorView::new(dtype, shape.clone(), data).unwrap()))
        .collect();
    serialize_to_file(views, None, &directory.join("adapter_model.safetensors")).unwrap();
}

/// A random GGUF adapter for every matrix of the layers.
pub fn gguf(tiny: &Tiny, rank: usize, alpha: f32, seed: u64) -> Writer<'static> {
    let mut w = Writer::new();
    w.set("general.type", "adapter").set("general.architecture", tiny.family.arch());
    w.set("adapter.type", "lora").set("adapter.lora.alpha", alpha).set("general.name", "random");
    let mut random = Random(seed);
    for layer in 0..tiny.n_layer {
        for (part, (_, n_in, n_out)) in parts(tiny.family).iter().zip(modules(tiny)) {
            for (half, dims) in [("a", [n_in, rank]), ("b", [rank, n_out])] {
                let values = (0..dims[0] * dims[1]).map(|_| random.next());
                let data: Vec<u8> = values.flat_map(|v| bytes(v, Dtype::F32)).collect();
                let name = format!("blk.{layer}.{part}.weight.lora_{half}");
                w.tensor(name, &dims.map(|d| d as u64), GgmlType::F32, data);
            }
        }
    }
    w
}

/// Module, inputs and outputs of a layer's matrices.
fn modules(tiny: &Tiny) -> Vec<(&'static str, usize, usize)> {
    let (embd, ff, head) = (tiny.n_embd, tiny.n_ff, tiny.head_dim());
    let (q, kv) = (head * u64::from(tiny.n_head), head * u64::from(tiny.n_head_kv));
    let found = match tiny.family {
        Family::Gpt2 => vec![
            ("attn.c_attn", embd, q + 2 * kv),
            ("attn.c_proj", q, embd),
            ("mlp.c_fc", embd, ff),
            ("mlp.c_proj", ff, embd),
        ],
        Family::Phi3 => vec![
            ("self_attn.qkv_proj", embd, q + 2 * kv),
            ("self_attn.o_proj", q, embd),
            ("mlp.gate_up_proj", embd, 2 * ff),
            ("mlp.down_proj", ff, embd),
        ],
        _ => vec![
            ("self_attn.q_proj", embd, q),
            ("self_attn.k_proj", embd, kv),
            ("self_attn.v_proj", embd, kv),
            ("self_attn.o_proj", q, embd),
            ("mlp.gate_proj", embd, ff),
            ("mlp.up_proj", embd, ff),
            ("mlp.down_proj", ff, embd),
        ],
    };
    found.into_iter().map(|(name, n_in, n_out)| (name, n_in as usize, n_out as usize)).collect()
}

/// The same in GGUF's names.
fn parts(family: Family) -> &'static [&'static str] {
    match family {
        Family::Gpt2 | Family::Phi3 => &["attn_qkv", "attn_output", "ffn_up", "ffn_down"],
        _ => &["attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"],
    }
}

pub fn n_vocab(tiny: &Tiny) -> usize {
    let source = nestling::format::Source::memory(tiny.bytes());
    nestling::model::Model::inspect(source).unwrap().tokenizer.n_vocab as usize
}

pub fn bytes(value: f32, dtype: Dtype) -> Vec<u8> {
    match dtype {
        Dtype::F16 => half::f16::from_f32(value).to_le_bytes().to_vec(),
        Dtype::BF16 => half::bf16::from_f32(value).to_le_bytes().to_vec(),
        _ => value.to_le_bytes().to_vec(),
    }
}

struct Random(u64);

impl Random {
    /// From -0.25 to 0.25.
    fn next(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 40) as f32 / (1 << 25) as f32 - 0.25
    }
}
