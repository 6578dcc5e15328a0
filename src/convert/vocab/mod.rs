//! Tokenizers: stands in until the real one is merged.

use std::path::Path;

use super::config::object;
use crate::error::{Result, err};
use crate::format::gguf::{Array, Value};

/// All metadata `tokenizer.*` of a checkpoint. `n_rows` is the embedding's rows, to which the tokens are padded.
pub(crate) fn vocabulary(
    dir: &Path,
    _config: &serde_json::Value,
    n_rows: u64,
) -> Result<Vec<(String, Value)>> {
    let file = object(&dir.join("tokenizer.json"))?;
    let bad = || err!(CheckpointConfig, "tokenizer.json holds no byte-level BPE");
    let model = file.get("model").ok_or_else(bad)?;
    let vocab = model.get("vocab").and_then(|v| v.as_object()).ok_or_else(bad)?;
    let mut tokens: Vec<String> = (0..n_rows).map(|i| format!("[PAD{i}]")).collect();
    let mut types = vec![5i32; n_rows as usize];
    for (text, id) in vocab {
        let id = id.as_u64().ok_or_else(bad)? as usize;
        if let (Some(token), Some(kind)) = (tokens.get_mut(id), types.get_mut(id)) {
            token.clone_from(text);
            *kind = 1;
        }
    }
    for added in file.get("added_tokens").and_then(|v| v.as_array()).into_iter().flatten() {
        let id = added.get("id").and_then(serde_json::Value::as_u64).ok_or_else(bad)? as usize;
        if let Some(kind) = types.get_mut(id) {
            *kind = 3;
        }
    }
    let merges = model.get("merges").and_then(|v| v.as_array()).ok_or_else(bad)?;
    let merges = merges.iter().map(|m| match m.as_array() {
        Some(pair) => pair.iter().filter_map(|p| p.as_str()).collect::<Vec<_>>().join(" "),
        None => m.as_str().unwrap_or_default().to_owned(),
    });
    Ok(vec![
        ("tokenizer.ggml.model".into(), "gpt2".into()),
        ("tokenizer.ggml.pre".into(), "smollm".into()),
        ("tokenizer.ggml.tokens".into(), Array::strings(tokens).into()),
        ("tokenizer.ggml.token_type".into(), Array::from(types.as_slice()).into()),
        ("tokenizer.ggml.merges".into(), Array::strings(merges.collect::<Vec<_>>()).into()),
        ("tokenizer.ggml.bos_token_id".into(), 1u32.into()),
        ("tokenizer.ggml.eos_token_id".into(), 2u32.into()),
    ])
}
