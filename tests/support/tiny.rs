//! A tiny random model of each family: the same seed gives the same bytes.

use std::path::{Path, PathBuf};

use nestling::format::gguf::{GgmlType, Writer};
use rand_core::{RngCore, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

use super::{blocks, vocab};

/// A template of the ChatML kind, for models that should have one.
pub const CHATML: &str = "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + \
    message['content'] + '<|im_end|>\\n' }}{% endfor %}{% if add_generation_prompt %}\
    {{ '<|im_start|>assistant\\n' }}{% endif %}";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    Llama,
    Qwen2,
    Qwen3,
    Gemma3,
    Gpt2,
    Phi3,
}

impl Family {
    pub const ALL: [Family; 6] =
        [Family::Llama, Family::Qwen2, Family::Qwen3, Family::Gemma3, Family::Gpt2, Family::Phi3];

    pub fn arch(self) -> &'static str {
        match self {
            Family::Llama => "llama",
            Family::Qwen2 => "qwen2",
            Family::Qwen3 => "qwen3",
            Family::Gemma3 => "gemma3",
            Family::Gpt2 => "gpt2",
            Family::Phi3 => "phi3",
        }
    }

    fn has_spm(self) -> bool {
        matches!(self, Family::Gemma3 | Family::Phi3)
    }
}

/// What to build. The fields may be changed before `writer` or `bytes` is called.
#[derive(Debug, Clone)]
pub struct Tiny {
    pub family: Family,
    pub seed: u64,
    /// The type of all two-dimensional weights; the others stay F32.
    pub weights: GgmlType,
    /// Row lengths: K-quants need multiples of 256.
    pub n_embd: u64,
    pub n_ff: u64,
    pub n_layer: u32,
    pub n_head: u32,
    pub n_head_kv: u32,
    pub n_ctx: u32,
    /// gemma3 only; layer 0 slides, layer 1 sees everything, and so on.
    pub sliding_window: u32,
    /// llama only: experts of a mixture, of which each token is given two; 0 for one feed-forward network.
    pub n_expert: u32,
    /// Whether the output matrix is the token embedding.
    pub tied: bool,
    pub chat_template: Option<String>,
}

impl Tiny {
    pub fn new(family: Family) -> Self {
        Self {
            family,
            seed: 1,
            weights: GgmlType::F32,
            n_embd: 64,
            n_ff: 128,
            n_layer: 2,
            n_head: 4,
            n_head_kv: if family == Family::Gpt2 { 4 } else { 2 },
            n_ctx: 256,
            sliding_window: 8,
            n_expert: 0,
            tied: !matches!(family, Family::Llama | Family::Phi3),
            chat_template: Some(CHATML.to_owned()),
        }
    }

    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Another weight type; the rows grow to 256 where the type's blocks need it.
    pub fn weights(mut self, ggml_type: GgmlType) -> Self {
        self.weights = ggml_type;
        self.n_embd = self.n_embd.next_multiple_of(ggml_type.block_size());
        self.n_ff = self.n_ff.next_multiple_of(ggml_type.block_size());
        self
    }

    pub fn bytes(&self) -> Vec<u8> {
        self.writer().to_bytes().expect("the tiny model is valid")
    }

    /// Writes the model into `directory` and returns its path.
    pub fn write(&self, directory: &Path) -> PathBuf {
        let path = directory.join(format!("tiny-{}-{}.gguf", self.family.arch(), self.seed));
        self.writer().write_file(&path).expect("the tiny model can be written");
        path
    }

    /// The model as a writer, for tests that change something before they write.
    pub fn writer(&self) -> Writer<'static> {
        let mut writer = Writer::new();
        self.metadata(&mut writer);
        let n_vocab = if self.family.has_spm() {
            vocab::spm(&mut writer).len()
        } else {
            vocab::bpe(&mut writer, self.pre_tokenizer()).len()
        };
        if let Some(template) = &self.chat_template {
            writer.set("tokenizer.chat_template", template.as_str());
        }
        let rng = Xoshiro256PlusPlus::seed_from_u64(self.seed);
        Tensors { tiny: self, rng, writer: &mut writer }.add_all(n_vocab as u64);
        writer
    }

    fn pre_tokenizer(&self) -> &'static str {
        match self.family {
            Family::Qwen2 | Family::Qwen3 => "qwen2",
            Family::Gpt2 => "gpt-2",
            _ => "smollm",
        }
    }

    pub fn head_dim(&self) -> u64 {
        // Gemma's heads are wider than embedding / heads: the tests should see such a model.
        let even = self.n_embd / u64::from(self.n_head);
        if self.family == Family::Gemma3 { 2 * even } else { even }
    }

    fn metadata(&self, w: &mut Writer) {
        let arch = self.family.arch();
        let head_dim = self.head_dim() as u32;
        w.set("general.architecture", arch).set("general.name", format!("tiny {arch}"));
        w.set("general.license", "cc0-1.0");
        w.set(format!("{arch}.context_length"), self.n_ctx);
        w.set(format!("{arch}.embedding_length"), self.n_embd as u32);
        w.set(format!("{arch}.block_count"), self.n_layer);
        w.set(format!("{arch}.feed_forward_length"), self.n_ff as u32);
        w.set(format!("{arch}.attention.head_count"), self.n_head);
        w.set(format!("{arch}.attention.head_count_kv"), self.n_head_kv);
        let epsilon = if self.family == Family::Gpt2 {
            "layer_norm_epsilon"
        } else {
            "layer_norm_rms_epsilon"
        };
        w.set(format!("{arch}.attention.{epsilon}"), 1e-5f32);
        if self.family != Family::Gpt2 {
            w.set(format!("{arch}.rope.dimension_count"), head_dim);
            w.set(format!("{arch}.rope.freq_base"), 10000f32);
        }
        if matches!(self.family, Family::Qwen3 | Family::Gemma3) {
            w.set(format!("{arch}.attention.key_length"), head_dim);
            w.set(format!("{arch}.attention.value_length"), head_dim);
        }
        if self.n_expert > 0 {
            w.set(format!("{arch}.expert_count"), self.n_expert);
            w.set(format!("{arch}.expert_used_count"), 2u32);
        }
        if self.family == Family::Gemma3 {
            w.set("gemma3.attention.sliding_window", self.sliding_window);
            w.set("gemma3.attention.sliding_window_pattern", 2u32);
        }
    }
}

struct Tensors<'w, 't> {
    tiny: &'t Tiny,
    rng: Xoshiro256PlusPlus,
    writer: &'w mut Writer<'static>,
}

impl Tensors<'_, '_> {
    fn add_all(&mut self, n_vocab: u64) {
        let (embd, family) = (self.tiny.n_embd, self.tiny.family);
        self.matrix("token_embd", embd, n_vocab);
        if family == Family::Gpt2 {
            self.matrix("position_embd", embd, self.tiny.n_ctx.into());
        }
        for i in 0..self.tiny.n_layer {
            self.layer(&format!("blk.{i}"));
        }
        self.norm("output_norm", embd);
        if !self.tiny.tied {
            self.matrix("output", embd, n_vocab);
        }
    }

    fn layer(&mut self, blk: &str) {
        let (embd, ff, head) = (self.tiny.n_embd, self.tiny.n_ff, self.tiny.head_dim());
        let q = head * u64::from(self.tiny.n_head);
        let kv = head * u64::from(self.tiny.n_head_kv);
        let family = self.tiny.family;
        self.norm(&format!("{blk}.attn_norm"), embd);
        match family {
            Family::Gpt2 | Family::Phi3 => {
                self.matrix(&format!("{blk}.attn_qkv"), embd, q + 2 * kv);
            }
            _ => {
                self.matrix(&format!("{blk}.attn_q"), embd, q);
                self.matrix(&format!("{blk}.attn_k"), embd, kv);
                self.matrix(&format!("{blk}.attn_v"), embd, kv);
            }
        }
        self.matrix(&format!("{blk}.attn_output"), q, embd);
        match family {
            Family::Qwen2 => {
                self.bias(&format!("{blk}.attn_q"), q);
                self.bias(&format!("{blk}.attn_k"), kv);
                self.bias(&format!("{blk}.attn_v"), kv);
            }
            Family::Qwen3 | Family::Gemma3 => {
                self.norm(&format!("{blk}.attn_q_norm"), head);
                self.norm(&format!("{blk}.attn_k_norm"), head);
            }
            Family::Gpt2 => {
                self.bias(&format!("{blk}.attn_qkv"), q + 2 * kv);
                self.bias(&format!("{blk}.attn_output"), embd);
            }
            Family::Llama | Family::Phi3 => {}
        }
        self.norm(&format!("{blk}.ffn_norm"), embd);
        let experts = u64::from(self.tiny.n_expert);
        if experts > 0 {
            self.matrix(&format!("{blk}.ffn_gate_inp"), embd, experts);
            self.matrices(&format!("{blk}.ffn_gate_exps"), &[embd, ff, experts]);
            self.matrices(&format!("{blk}.ffn_up_exps"), &[embd, ff, experts]);
            self.matrices(&format!("{blk}.ffn_down_exps"), &[ff, embd, experts]);
            return;
        }
        let up = if family == Family::Phi3 { 2 * ff } else { ff };
        self.matrix(&format!("{blk}.ffn_up"), embd, up);
        self.matrix(&format!("{blk}.ffn_down"), ff, embd);
        if !matches!(family, Family::Gpt2 | Family::Phi3) {
            self.matrix(&format!("{blk}.ffn_gate"), embd, ff);
        }
        if family == Family::Gpt2 {
            self.bias(&format!("{blk}.ffn_up"), ff);
            self.bias(&format!("{blk}.ffn_down"), embd);
        }
        if family == Family::Gemma3 {
            self.norm(&format!("{blk}.post_attention_norm"), embd);
            self.norm(&format!("{blk}.post_ffw_norm"), embd);
        }
    }

    fn matrix(&mut self, name: &str, columns: u64, rows: u64) {
        self.matrices(name, &[columns, rows]);
    }

    /// Weights whose outputs have about unit variance for unit inputs.
    fn matrices(&mut self, name: &str, dims: &[u64]) {
        let scale = (3.0 / dims[0] as f32).sqrt();
        let values = self.uniform(dims.iter().product(), 0.0, scale);
        let ggml_type = self.tiny.weights;
        let data = blocks::encode(&values, ggml_type, &mut self.rng);
        self.writer.tensor(format!("{name}.weight"), dims, ggml_type, data);
    }

    fn norm(&mut self, name: &str, n: u64) {
        self.vector(&format!("{name}.weight"), n, 1.0);
        if self.tiny.family == Family::Gpt2 {
            self.vector(&format!("{name}.bias"), n, 0.0);
        }
    }

    fn bias(&mut self, name: &str, n: u64) {
        self.vector(&format!("{name}.bias"), n, 0.0);
    }

    fn vector(&mut self, name: &str, n: u64, middle: f32) {
        let values = self.uniform(n, middle, 0.1);
        let data = blocks::encode(&values, GgmlType::F32, &mut self.rng);
        self.writer.tensor(name, &[n], GgmlType::F32, data);
    }

    fn uniform(&mut self, n: u64, middle: f32, scale: f32) -> Vec<f32> {
        let mut unit = || (self.rng.next_u64() >> 40) as f32 / (1u64 << 24) as f32;
        (0..n).map(|_| middle + scale * (2.0 * unit() - 1.0)).collect()
    }
}
