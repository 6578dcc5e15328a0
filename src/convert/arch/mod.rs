//! The architectures: for each a table of what its checkpoints hold and where that goes in a model file.
//!
//! An [`Arch`] is data. To add one, write a file beside this one with a `pub(super) const NAME: Arch` and put it into
//! [`ALL`]. It says:
//!
//! - `classes`: the names in config.json's `architectures` that it is for. One class, one table: a model without a head
//!   (`BertModel`) is an architecture like any other, its table just has no line for an output matrix.
//! - `name`: `general.architecture`, as the engine knows it.
//! - `prefixes`: what may stand before the names of the checkpoint's tensors (`model.`, `bert.`); the first that fits is
//!   taken off before the lines are looked up. A name that has none stays as it is, so a base model saved without its
//!   head (`layers.0...`) needs no line of its own.
//! - `defaults`: values that transformers takes where config.json has no such key (or null). All other keys that a fact,
//!   a line or `extra` asks for must be there. Facts and dimensions see the defaults, too.
//! - `blocks`: what `{}`, `{e}`, `{d}` in the lines count: a placeholder and the keys that may hold its number. A model with
//!   encoder and decoder has two of them.
//! - `facts`: the hyper-parameters: the metadata key behind `NAME.`, the keys of config.json that may hold it (the first
//!   that is there counts: so other names, `d_model` for `hidden_size`, are just another list), and its type.
//! - `lines`: the tensors: name in the checkpoint (without prefix), name in the model file, shape, and how the numbers get
//!   there. `{}` is the block's number on both sides. Lines that several architectures share are lists of their own.
//! - `ignored`: tensors that no model file needs: a name, or its beginning (`pooler.*`) or its end (`*.inv_freq`). A tensor
//!   that neither a line nor this names is an error: nothing is lost silently.
//! - `extra`: a function for what no table can say: metadata that is calculated (rope scaling), tensors that are made from
//!   config.json (long rope factors), a pooling type from another file of the directory.
//!
//! Every tensor becomes F32 where llama.cpp's converter keeps it so (see `types.rs`), whatever its architecture.

mod bert;
mod chatglm;
mod gemma3;
mod gpt2;
mod llama;
mod phi3;
mod qwen;
mod t5;

use std::path::Path;

use super::config::Config;
use crate::error::{Result, bail};
use crate::format::gguf::Value;

/// Every architecture.
const ALL: &[&Arch] = &[
    &llama::LLAMA,
    &qwen::QWEN2,
    &qwen::QWEN3,
    &gemma3::GEMMA3,
    &phi3::PHI3,
    &gpt2::GPT2,
    &bert::BERT,
    &t5::T5,
    &t5::T5_ENCODER,
    &chatglm::GLM,
    &chatglm::CHATGLM,
];

/// One architecture; the head comment of this module says what each part is.
pub(crate) struct Arch {
    pub classes: &'static [&'static str],
    pub name: &'static str,
    pub prefixes: &'static [&'static str],
    pub defaults: &'static [(&'static str, Default)],
    pub blocks: &'static [(&'static str, Keys)],
    pub facts: &'static [&'static [Fact]],
    pub lines: &'static [&'static [Line]],
    pub ignored: &'static [&'static str],
    pub extra: fn(&Extra<'_>, &mut More) -> Result<()>,
}

/// Keys of config.json that mean the same; the first that is there counts.
pub(crate) type Keys = &'static [&'static str];

/// A value for a key that config.json does not have.
pub(crate) enum Default {
    Int(u64),
    Float(f64),
    Bool(bool),
    /// What another key has.
    Same(&'static str),
    /// One key's number divided by another's.
    Ratio(&'static str, &'static str),
    /// A key's number so many times.
    Times(u64, &'static str),
}

/// A hyper-parameter.
pub(crate) struct Fact {
    /// Behind the architecture's name and a dot.
    pub key: &'static str,
    pub from: Keys,
    pub kind: Kind,
    /// Whether config.json must have it; one that is optional is left out where it is not there.
    pub needed: bool,
}

/// The type of a hyper-parameter's metadata.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    U32,
    F32,
}

/// A count that must be there.
const fn count(key: &'static str, from: Keys) -> Fact {
    Fact { key, from, kind: Kind::U32, needed: true }
}

/// A number that must be there.
const fn number(key: &'static str, from: Keys) -> Fact {
    Fact { key, from, kind: Kind::F32, needed: true }
}

/// A fact that may be missing.
const fn maybe(fact: Fact) -> Fact {
    Fact { needed: false, ..fact }
}

/// A tensor.
pub(crate) struct Line {
    /// In the checkpoint, without prefix.
    pub from: &'static str,
    /// In the model file.
    pub to: &'static str,
    /// As config.json implies it, the slowest dimension first (PyTorch's order).
    pub shape: &'static [Dim],
    pub how: How,
    /// Whether the checkpoint must have it.
    pub needed: bool,
}

/// One dimension of a tensor in a checkpoint.
#[derive(Clone, Copy)]
pub(crate) enum Dim {
    /// A key's number.
    Of(Keys),
    /// A key's number so many times.
    Times(u64, Keys),
    /// As many heads as a key says, each of `head_dim`.
    Heads(Keys),
    /// The query heads and twice the key heads, each of `head_dim`.
    Fused(Keys, Keys),
}

/// How the numbers of a tensor get into the model file.
#[derive(Clone, Copy)]
pub(crate) enum How {
    /// As they are.
    Same,
    /// Each head's rows from halves (the first of each pair, then the second) to pairs; a key has the number of heads.
    Rotary(Keys),
    /// One is added to each.
    PlusOne,
    /// Columns become rows.
    Transposed,
}

/// A tensor that must be there.
const fn line(from: &'static str, to: &'static str, shape: &'static [Dim]) -> Line {
    Line { from, to, shape, how: How::Same, needed: true }
}

impl Line {
    /// The same line for a tensor that may be missing.
    const fn optional(self) -> Self {
        Self { needed: false, ..self }
    }

    const fn how(self, how: How) -> Self {
        Self { how, ..self }
    }
}

/// What [`Arch::extra`] can look at.
pub(crate) struct Extra<'a> {
    pub arch: &'static str,
    pub dir: &'a Path,
    pub config: &'a Config,
}

/// What [`Arch::extra`] adds.
#[derive(std::default::Default)]
pub(crate) struct More {
    /// Metadata under its whole key; a key that a fact has set gets the new value.
    pub kv: Vec<(String, Value)>,
    /// Vectors of floats.
    pub tensors: Vec<(String, Vec<f32>)>,
    /// The output matrix is the embedding times this.
    pub head_scale: Option<f64>,
}

impl Extra<'_> {
    /// The whole key of a hyper-parameter.
    pub fn key(&self, key: &str) -> String {
        format!("{}.{key}", self.arch)
    }
}

impl More {
    fn set(&mut self, key: String, value: impl Into<Value>) {
        self.kv.push((key, value.into()));
    }
}

/// The table for a class of transformers.
///
/// # Errors
/// `CheckpointArchitecture` lists those that there are.
pub(crate) fn of(class: &str) -> Result<&'static Arch> {
    match ALL.iter().find(|arch| arch.classes.contains(&class)) {
        Some(arch) => Ok(arch),
        None => {
            let known: Vec<_> = ALL.iter().flat_map(|a| a.classes).copied().collect();
            bail!(
                CheckpointArchitecture,
                "{class} cannot be converted; these can: {}. Convert it with llama.cpp's converter instead",
                known.join(", ")
            )
        }
    }
}

/// What most decoders have, under the names that most use.
const DECODER: &[Fact] = &[
    count("block_count", &["num_hidden_layers"]),
    count("context_length", &["max_position_embeddings"]),
    count("embedding_length", &["hidden_size"]),
    count("feed_forward_length", &["intermediate_size"]),
    count("attention.head_count", &["num_attention_heads"]),
    count("attention.head_count_kv", &["num_key_value_heads"]),
    number("attention.layer_norm_rms_epsilon", &["rms_norm_eps"]),
];

/// The width of a head, where it need not be the model's width divided by the heads.
const HEAD_WIDTHS: &[Fact] = &[
    maybe(count("attention.key_length", &["head_dim"])),
    maybe(count("attention.value_length", &["head_dim"])),
];

const LAYERS: &[(&str, Keys)] = &[("{}", &["num_hidden_layers"])];
const EMBD: Dim = Dim::Of(&["hidden_size"]);
const FF: Dim = Dim::Of(&["intermediate_size"]);
const VOCAB: Dim = Dim::Of(&["vocab_size"]);
const HEADS: Keys = &["num_attention_heads"];
const KV_HEADS: Keys = &["num_key_value_heads"];
const Q: Dim = Dim::Heads(HEADS);
const KV: Dim = Dim::Heads(KV_HEADS);
const HEAD: Dim = Dim::Of(&["head_dim"]);

/// Embedding, last norm and output matrix, which a model that shares it with the embedding does not have.
const ENDS: &[Line] = &[
    line("embed_tokens.weight", "token_embd.weight", &[VOCAB, EMBD]),
    line("norm.weight", "output_norm.weight", &[EMBD]),
    line("lm_head.weight", "output.weight", &[VOCAB, EMBD]).optional(),
];

/// The feed-forward net with a gate.
const GATED: &[Line] = &[
    line("layers.{}.mlp.gate_proj.weight", "blk.{}.ffn_gate.weight", &[FF, EMBD]),
    line("layers.{}.mlp.up_proj.weight", "blk.{}.ffn_up.weight", &[FF, EMBD]),
    line("layers.{}.mlp.down_proj.weight", "blk.{}.ffn_down.weight", &[EMBD, FF]),
];

/// The feed-forward net whose gate is the first half of one matrix.
const GATE_UP: &[Line] = &[
    line(
        "layers.{}.mlp.gate_up_proj.weight",
        "blk.{}.ffn_up.weight",
        &[Dim::Times(2, &["intermediate_size"]), EMBD],
    ),
    line("layers.{}.mlp.down_proj.weight", "blk.{}.ffn_down.weight", &[EMBD, FF]),
];

/// The two norms of a block.
const TWO_NORMS: &[Line] = &[
    line("layers.{}.input_layernorm.weight", "blk.{}.attn_norm.weight", &[EMBD]),
    line("layers.{}.post_attention_layernorm.weight", "blk.{}.ffn_norm.weight", &[EMBD]),
];

/// Attention whose heads lie as the engine wants them for this architecture (rotation of halves).
const ATTENTION: &[Line] = &[
    line("layers.{}.self_attn.q_proj.weight", "blk.{}.attn_q.weight", &[Q, EMBD]),
    line("layers.{}.self_attn.k_proj.weight", "blk.{}.attn_k.weight", &[KV, EMBD]),
    line("layers.{}.self_attn.v_proj.weight", "blk.{}.attn_v.weight", &[KV, EMBD]),
    line("layers.{}.self_attn.o_proj.weight", "blk.{}.attn_output.weight", &[EMBD, Q]),
];

const DECODER_PREFIXES: &[&str] =
    &["model.language_model.", "language_model.model.", "language_model.", "model."];
const UNUSED: &[&str] = &["*.rotary_emb.inv_freq"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_has_one_table_and_every_name_one_line() {
        let mut classes: Vec<_> = ALL.iter().flat_map(|a| a.classes).collect();
        let n = classes.len();
        classes.sort();
        classes.dedup();
        assert_eq!(classes.len(), n);
        for arch in ALL {
            let lines = || arch.lines.iter().copied().flatten();
            for pick in [|l: &Line| Some(l.from), |l: &Line| l.needed.then_some(l.to)] {
                // Lines that are no need may lead to one tensor: a checkpoint has one of them.
                let mut names: Vec<_> = lines().filter_map(pick).collect();
                let n = names.len();
                names.sort_unstable();
                names.dedup();
                assert_eq!(names.len(), n, "{}", arch.name);
            }
            for line in lines() {
                let holder = |name: &str| {
                    arch.blocks.iter().find(|(b, _)| name.contains(b)).map(|(b, _)| *b)
                };
                assert_eq!(holder(line.from).is_some(), holder(line.to).is_some(), "{}", line.from);
            }
        }
        assert!(of("NoSuchForCausalLM").err().unwrap().message().contains("LlamaForCausalLM"));
    }
}
