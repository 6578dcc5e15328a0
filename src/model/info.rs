//! What a model's files say about it.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::format::ModelFiles;
use crate::format::gguf::Value;

use super::parts::{self, PartInfo, bits};

/// A model, described by its own metadata. All sizes in bytes, all lengths in tokens.
#[derive(Debug, Clone, Serialize)]
pub struct ModelInfo {
    /// The architecture's name (`llama`, `gemma3`, ...).
    pub architecture: String,
    /// The model's name, if it has one.
    pub name: Option<String>,
    /// Its licence, if the file says.
    pub license: Option<String>,
    /// The number of weights.
    pub n_params: u64,
    /// The training context length.
    pub n_ctx_train: u32,
    /// Layers.
    pub n_layer: u32,
    /// The width of the residual stream.
    pub n_embd: u32,
    /// Query heads of the first layer.
    pub n_head: u32,
    /// Key and value heads of the first layer.
    pub n_head_kv: u32,
    /// Sliding-window length, if there is one.
    pub n_swa: Option<u32>,
    /// The tokenizer.
    pub tokenizer: TokenizerInfo,
    /// The model's chat template, if it has one.
    pub chat_template: Option<String>,
    /// Which types the weights have, the largest share first.
    pub quantization: Vec<QuantInfo>,
    /// What the parts of the model take, in the order of the flow.
    pub parts: Vec<PartInfo>,
    /// Size of all tensors.
    pub weight_bytes: u64,
    /// Bits of a weight, on average.
    pub bits_per_weight: f64,
    /// Size of all files.
    pub file_bytes: u64,
    /// The number of files.
    pub n_files: u32,
    /// The GGUF version.
    pub gguf_version: u32,
    /// What a user should know: odd or missing things that are not errors.
    pub warnings: Vec<String>,
}

/// The tokenizer's facts.
#[derive(Debug, Clone, Serialize)]
pub struct TokenizerInfo {
    /// The kind (`gpt2` is byte-level BPE, `llama` is SentencePiece, ...), if there is a tokenizer.
    pub model: Option<String>,
    /// The pre-tokenizer's name.
    pub pre: Option<String>,
    /// The number of tokens.
    pub n_vocab: u32,
}

/// The share of one weight type.
#[derive(Debug, Clone, Serialize)]
pub struct QuantInfo {
    /// The type's name (`Q4_1`, `F32`, ...).
    pub r#type: String,
    /// Tensors of that type.
    pub tensors: u32,
    /// Weights of that type.
    pub params: u64,
    /// Their size.
    pub bytes: u64,
}

impl ModelInfo {
    pub(super) fn read(files: &ModelFiles) -> Self {
        let (gguf, h) = (files.gguf(), files.hparams());
        let text = |key: &str| gguf.get(key).and_then(Value::as_str).map(str::to_owned);
        let mut info = Self {
            architecture: h.arch.clone(),
            name: text("general.name"),
            license: text("general.license").or_else(|| text("general.license.name")),
            n_params: files.tensors().map(|t| t.n_elements()).sum(),
            n_ctx_train: h.n_ctx_train,
            n_layer: h.n_layer,
            n_embd: h.n_embd,
            n_head: h.n_head.first().copied().unwrap_or(0),
            n_head_kv: h.n_head_kv.first().copied().unwrap_or(0),
            n_swa: gguf
                .get(&format!("{}.attention.sliding_window", h.arch))
                .and_then(Value::as_u64)
                .and_then(|n| u32::try_from(n).ok())
                .filter(|&n| n > 0),
            tokenizer: TokenizerInfo {
                model: text("tokenizer.ggml.model"),
                pre: text("tokenizer.ggml.pre"),
                n_vocab: h.n_vocab,
            },
            chat_template: text("tokenizer.chat_template"),
            quantization: quantization(files),
            parts: parts::parts(files.tensors()),
            weight_bytes: files.tensors().map(|t| t.n_bytes).sum(),
            bits_per_weight: 0.0,
            file_bytes: files.length(),
            n_files: files.parts().len() as u32,
            gguf_version: gguf.version(),
            warnings: Vec::new(),
        };
        info.bits_per_weight = bits(info.weight_bytes, info.n_params);
        info.warnings = warnings(&info);
        info
    }
}

fn quantization(files: &ModelFiles) -> Vec<QuantInfo> {
    let mut by_type: BTreeMap<String, QuantInfo> = BTreeMap::new();
    for tensor in files.tensors() {
        let name = tensor.ggml_type.name().to_owned();
        let row = by_type.entry(name.clone()).or_insert(QuantInfo {
            r#type: name,
            tensors: 0,
            params: 0,
            bytes: 0,
        });
        row.tensors += 1;
        row.params += tensor.n_elements();
        row.bytes += tensor.n_bytes;
    }
    let mut rows: Vec<_> = by_type.into_values().collect();
    rows.sort_by_key(|row| std::cmp::Reverse(row.bytes));
    rows
}

fn warnings(info: &ModelInfo) -> Vec<String> {
    let mut warnings = Vec::new();
    let mut warn = |condition: bool, text: &str| {
        if condition {
            warnings.push(text.to_owned());
        }
    };
    let tokenizer = info.tokenizer.model.as_deref();
    warn(info.license.is_none(), "the file names no licence: find out before you ship it");
    warn(
        info.chat_template.is_none() && tokenizer.is_some(),
        "no chat template: a base model, or name a built-in one with chat_template",
    );
    warn(
        matches!(tokenizer, None | Some("none" | "no_vocab")),
        "no tokenizer: only token ids go in and out",
    );
    warn(
        tokenizer == Some("gpt2") && info.tokenizer.pre.is_none(),
        "no pre-tokenizer named: the engine guesses, and text may be split wrongly",
    );
    warnings
}

/// A metadata value as text.
pub(super) fn show(value: &Value) -> String {
    const MAX: usize = 1000;
    let Some(array) = value.as_array() else {
        return match value.as_str() {
            Some(text) => text.to_owned(),
            None => scalar(value),
        };
    };
    let mut items: Vec<String> = match array.iter_strings() {
        Some(strings) => strings
            .take(MAX)
            .map(|s| serde_json::Value::from(String::from_utf8_lossy(s)).to_string())
            .collect(),
        None => array.iter_scalars().into_iter().flatten().take(MAX).map(|v| scalar(&v)).collect(),
    };
    if array.len() > MAX {
        items.push(format!("\"... {} in all\"", array.len()));
    }
    format!("[{}]", items.join(", "))
}

fn scalar(value: &Value) -> String {
    if let Some(flag) = value.as_bool() {
        return flag.to_string();
    }
    match (value.as_u64(), value) {
        (Some(n), _) => n.to_string(),
        (None, Value::I8(n)) => n.to_string(),
        (None, Value::I16(n)) => n.to_string(),
        (None, Value::I32(n)) => n.to_string(),
        (None, Value::I64(n)) => n.to_string(),
        (None, Value::F32(x)) => x.to_string(),
        (None, other) => other.as_f64().map_or_else(String::new, |x| x.to_string()),
    }
}
