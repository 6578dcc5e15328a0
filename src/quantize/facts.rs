//! What the choice of types asks of a model, from its metadata.

use crate::format::gguf::Value;

/// The facts.
#[derive(Debug, Clone, Default)]
pub(super) struct Facts {
    pub architecture: String,
    /// Layers, of the encoder where there are two stacks.
    pub n_layer: u64,
    /// Query heads that share a key and value head.
    pub n_gqa: u64,
    pub n_expert: u64,
    /// One of the models of this size, whose value matrices are very small.
    pub is_70b: bool,
}

impl Facts {
    pub fn read(kv: &[(String, Value)]) -> Self {
        let find = |key: &str| kv.iter().find(|(k, _)| k == key).map(|(_, value)| value);
        let architecture =
            find("general.architecture").and_then(Value::as_str).unwrap_or_default().to_owned();
        let number = |key: &str| find(&format!("{architecture}.{key}")).and_then(first);
        let n_layer = number("block_count").unwrap_or(0);
        let n_head = number("attention.head_count").unwrap_or(0);
        let n_head_kv = number("attention.head_count_kv").unwrap_or(n_head);
        let is_70b = match architecture.as_str() {
            "llama" => n_layer == 80 && n_head != n_head_kv,
            "qwen2" | "deci" | "olmo" => n_layer == 80,
            "jais2" => n_layer == 68,
            _ => false,
        };
        Self {
            n_layer,
            n_gqa: n_head.checked_div(n_head_kv).unwrap_or(0),
            n_expert: number("expert_count").unwrap_or(0),
            is_70b,
            architecture,
        }
    }
}

/// A number, or that of the first layer.
fn first(value: &Value) -> Option<u64> {
    match value {
        Value::Array(array) => array.iter_scalars()?.next()?.as_u64(),
        value => value.as_u64(),
    }
}
