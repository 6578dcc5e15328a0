//! The facts of a base model that the files of its adapters depend on: from its GGUF file, or from the `config.json` of
//! its Hugging Face directory.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::gguf::EMBEDDING;
use super::lora::{Lora, Pair};
use super::names::{SUPPORTED, of_layer};
use crate::error::{Context, Error, Result, bail, err};
use crate::format::{Access, ModelFiles, Source};

/// The largest `config.json` that is read.
const MAX_CONFIG: u64 = 16 << 20;

/// A base model, described.
#[derive(Debug, Default)]
pub(super) struct Base {
    pub architecture: String,
    pub n_layer: u32,
    /// Heads of each layer.
    n_head: Vec<u32>,
    n_head_kv: Vec<u32>,
    /// Inputs and outputs of each weight.
    shapes: HashMap<String, [u64; 2]>,
    /// The files that were read.
    pub files: Vec<PathBuf>,
}

impl Base {
    /// `path` is a GGUF model, a directory with a `config.json`, or such a file.
    ///
    /// # Errors
    /// `AdapterBase`, `Unsupported`, those of files, and `Gguf...`.
    pub(super) fn open(path: &Path) -> Result<Self> {
        if path.is_dir() {
            Self::config(&path.join("config.json"))
        } else if path.extension().is_some_and(|e| e.eq_ignore_ascii_case("json")) {
            Self::config(path)
        } else {
            Ok(Self::of(&ModelFiles::open(&Source::path(path), Access::Read)?))
        }
    }

    pub(super) fn of(files: &ModelFiles) -> Self {
        let h = files.hparams();
        let matrices = files.tensors().filter_map(|t| match t.dims.as_slice() {
            [columns, rows] => Some((t.name.clone(), [*columns, *rows])),
            _ => None,
        });
        Self {
            architecture: h.arch.clone(),
            n_layer: h.n_layer,
            n_head: h.n_head.clone(),
            n_head_kv: h.n_head_kv.clone(),
            shapes: matrices.collect(),
            files: files.parts().iter().filter_map(|p| p.path().map(Path::to_owned)).collect(),
        }
    }

    fn config(path: &Path) -> Result<Self> {
        let read = || {
            let config = read_json(path, "the base model's config.json")?;
            // Models that also see pictures keep their text part apart.
            let text = config.get("text_config").filter(|c| c.is_object()).unwrap_or(&config);
            of_config(text)
        };
        let mut base = read().with_path(path)?;
        base.files = vec![path.to_owned()];
        Ok(base)
    }

    /// The width of a head where GGUF has the rows of this weight in another order than transformers.
    ///
    /// # Errors
    /// `AdapterBase` for head counts that do not divide the rows.
    pub(super) fn reordered_heads(&self, weight: &str, rows: usize) -> Result<Option<usize>> {
        let Some((layer, part @ ("attn_q" | "attn_k"))) = of_layer(weight) else { return Ok(None) };
        if self.architecture != "llama" {
            return Ok(None);
        }
        let heads = if part == "attn_q" { &self.n_head } else { &self.n_head_kv };
        let n = heads.get(layer as usize).copied().unwrap_or(0) as usize;
        match rows.checked_div(n) {
            Some(head) if head * n == rows && head % 2 == 0 && head > 0 => Ok(Some(head)),
            _ => bail!(
                AdapterBase,
                "the {rows} rows of {weight} are not {n} heads; give the right base model"
            ),
        }
    }

    /// # Errors
    /// `AdapterMismatch` for an adapter of another architecture or shape.
    pub(super) fn check(&self, lora: &Lora) -> Result<()> {
        if lora.architecture != self.architecture {
            bail!(
                AdapterMismatch,
                "the adapter is for the architecture {:?}, the base model is {:?}; give the model that the adapter was \
                 made for",
                lora.architecture,
                self.architecture
            )
        }
        lora.pairs.iter().try_for_each(|(weight, pair)| self.check_pair(weight, pair))
    }

    pub(super) fn check_pair(&self, weight: &str, pair: &Pair) -> Result<()> {
        refuse_embeddings(weight)?;
        let Some([inputs, outputs]) = self.shapes.get(weight) else {
            let tied = if weight == "output.weight" {
                ": its output matrix is the token embedding, which an adapter cannot change alone"
            } else {
                ""
            };
            bail!(
                AdapterMismatch,
                "the adapter changes {weight}, which the base model does not have{tied}; give the model that the \
                 adapter was made for"
            )
        };
        if pair.a.columns as u64 != *inputs || pair.b.rows as u64 != *outputs {
            bail!(
                AdapterMismatch,
                "the adapter's pair for {weight} changes a matrix of {} outputs and {} inputs, the base model's has \
                 {outputs} and {inputs}; give the model that the adapter was made for",
                pair.b.rows,
                pair.a.columns
            )
        }
        Ok(())
    }
}

/// # Errors
/// `Unsupported` for the embeddings.
pub(super) fn refuse_embeddings(weight: &str) -> Result<()> {
    if weight == EMBEDDING {
        bail!(
            Unsupported,
            "the adapter changes the embeddings, which can neither be converted nor averaged nor merged; attach it to a \
             session, or train without them"
        )
    }
    Ok(())
}

/// A JSON object from a file.
pub(super) fn read_json(path: &Path, what: &str) -> Result<Value> {
    let opened = Source::path(path).open()?;
    if opened.length() > MAX_CONFIG {
        bail!(PeftFormat, "{what} has {} bytes; give a file of the usual size", opened.length())
    }
    let mut bytes = vec![0; opened.length() as usize];
    opened.read_exact_at(&mut bytes, 0)?;
    let value: Value = serde_json::from_slice(&bytes)
        .map_err(|e| err!(PeftFormat, "{what} is not JSON: {e}; get it again"))?;
    if !value.is_object() {
        bail!(PeftFormat, "{what} is not a JSON object; get it again")
    }
    Ok(value)
}

fn of_config(config: &Value) -> Result<Base> {
    let kind = config.get("model_type").and_then(Value::as_str).unwrap_or_default();
    let architecture = match kind {
        "llama" | "mistral" => "llama",
        "gemma3" | "gemma3_text" => "gemma3",
        "qwen2" | "qwen3" | "phi3" | "gpt2" => kind,
        _ => bail!(
            AdapterBase,
            "model_type is {kind:?}; adapters of {} (and mistral) can be converted",
            SUPPORTED.join(", ")
        ),
    };
    let gpt2 = architecture == "gpt2";
    let name = |usual: &'static str, of_gpt2: &'static str| if gpt2 { of_gpt2 } else { usual };
    let find = |key: &str| config.get(key).filter(|v| !v.is_null());
    let number = |key: &str| -> Result<Option<u64>> {
        let Some(value) = find(key) else { return Ok(None) };
        let found = value.as_u64().filter(|n| (1..=1 << 31).contains(n));
        found.map(Some).ok_or_else(|| bad(key, "is not a positive integer"))
    };
    let must = |key: &str| number(key)?.ok_or_else(|| bad(key, "is missing"));
    let embd = must(name("hidden_size", "n_embd"))?;
    let n_head = must(name("num_attention_heads", "n_head"))?;
    let n_layer = must(name("num_hidden_layers", "n_layer"))?.min(1 << 16);
    let n_kv = if gpt2 { n_head } else { number("num_key_value_heads")?.unwrap_or(n_head) };
    let head = match number("head_dim")? {
        Some(head) => head,
        None => embd / n_head,
    };
    let ff = if gpt2 { number("n_inner")?.unwrap_or(4 * embd) } else { must("intermediate_size")? };
    let (q, kv) = (n_head * head, n_kv * head);
    let parts = match architecture {
        "phi3" => vec![
            ("attn_qkv", embd, q + 2 * kv),
            ("attn_output", q, embd),
            ("ffn_up", embd, 2 * ff),
            ("ffn_down", ff, embd),
        ],
        "gpt2" => vec![
            ("attn_qkv", embd, 3 * embd),
            ("attn_output", embd, embd),
            ("ffn_up", embd, ff),
            ("ffn_down", ff, embd),
        ],
        _ => vec![
            ("attn_q", embd, q),
            ("attn_k", embd, kv),
            ("attn_v", embd, kv),
            ("attn_output", q, embd),
            ("ffn_gate", embd, ff),
            ("ffn_up", embd, ff),
            ("ffn_down", ff, embd),
        ],
    };
    let mut shapes = HashMap::new();
    for layer in 0..n_layer {
        for (part, inputs, outputs) in &parts {
            shapes.insert(format!("blk.{layer}.{part}.weight"), [*inputs, *outputs]);
        }
    }
    let tied = find("tie_word_embeddings").and_then(Value::as_bool);
    if !tied.unwrap_or(matches!(architecture, "gemma3" | "gpt2")) {
        shapes.insert("output.weight".into(), [embd, must("vocab_size")?]);
    }
    Ok(Base {
        architecture: architecture.to_owned(),
        n_layer: n_layer as u32,
        n_head: vec![n_head as u32; n_layer as usize],
        n_head_kv: vec![n_kv as u32; n_layer as usize],
        shapes,
        files: Vec::new(),
    })
}

fn bad(key: &str, what: &str) -> Error {
    err!(AdapterBase, "{key} {what}; give the config.json of the base model, or its GGUF file")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;
    use serde_json::json;

    #[test]
    fn a_config_says_what_is_needed_or_what_is_missing() {
        let mut config = json!({
            "model_type": "mistral", "hidden_size": 64, "num_attention_heads": 4, "num_key_value_heads": 2,
            "num_hidden_layers": 2, "intermediate_size": 128, "vocab_size": 300,
        });
        let base = of_config(&config).unwrap();
        assert_eq!(base.architecture, "llama");
        assert_eq!(base.shapes["blk.1.attn_k.weight"], [64, 32]);
        assert_eq!(base.reordered_heads("blk.1.attn_k.weight", 32).unwrap(), Some(16));
        assert_eq!(base.reordered_heads("blk.1.attn_v.weight", 32).unwrap(), None);
        assert_eq!(base.shapes["output.weight"], [64, 300]);
        assert!(base.reordered_heads("blk.2.attn_k.weight", 32).is_err());
        for bad in [json!(null), json!(0), json!(-1), json!("64"), json!(1u64 << 40)] {
            config["hidden_size"] = bad;
            let error = of_config(&config).unwrap_err();
            assert_eq!(error.code(), Code::AdapterBase);
            assert!(error.message().contains("hidden_size"), "{error}");
        }
        let error = of_config(&json!({"model_type": "bloom"})).unwrap_err();
        assert_eq!(error.code(), Code::AdapterBase);
        let gpt2 =
            json!({"model_type": "gpt2", "n_embd": 8, "n_head": 2, "n_layer": 1, "n_inner": null});
        assert_eq!(of_config(&gpt2).unwrap().shapes["blk.0.ffn_up.weight"], [8, 32]);
    }
}
