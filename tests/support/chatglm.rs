//! A checkpoint of GLM as ChatGLM's own code saves it: other names, and queries, keys and values in one matrix. The names
//! are those that transformers' script for converting such checkpoints takes.

use std::path::Path;

use safetensors::SafeTensors;
use safetensors::tensor::{TensorView, serialize_to_file};
use serde_json::{Value, json};

/// Where the parts of a layer are.
const LAYER: &[(&str, &[&str])] = &[
    ("input_layernorm.weight", &["input_layernorm.weight"]),
    ("post_attention_layernorm.weight", &["post_attention_layernorm.weight"]),
    (
        "self_attention.query_key_value.weight",
        &["self_attn.q_proj.weight", "self_attn.k_proj.weight", "self_attn.v_proj.weight"],
    ),
    (
        "self_attention.query_key_value.bias",
        &["self_attn.q_proj.bias", "self_attn.k_proj.bias", "self_attn.v_proj.bias"],
    ),
    ("self_attention.dense.weight", &["self_attn.o_proj.weight"]),
    ("mlp.dense_h_to_4h.weight", &["mlp.gate_up_proj.weight"]),
    ("mlp.dense_4h_to_h.weight", &["mlp.down_proj.weight"]),
];

pub fn old_layout(from: &Path, to: &Path) {
    let config: Value =
        serde_json::from_slice(&std::fs::read(from.join("config.json")).unwrap()).unwrap();
    let n_layers = config["num_hidden_layers"].as_u64().unwrap();
    let mut names = vec![
        (
            "embedding.word_embeddings.weight".to_owned(),
            vec!["model.embed_tokens.weight".to_owned()],
        ),
        ("encoder.final_layernorm.weight".to_owned(), vec!["model.norm.weight".to_owned()]),
        ("output_layer.weight".to_owned(), vec!["lm_head.weight".to_owned()]),
    ];
    for layer in 0..n_layers {
        names.extend(LAYER.iter().map(|(new, old)| {
            let old = old.iter().map(|name| format!("model.layers.{layer}.{name}")).collect();
            (format!("encoder.layers.{layer}.{new}"), old)
        }));
    }
    let bytes = std::fs::read(from.join("model.safetensors")).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let made: Vec<_> = names
        .iter()
        .map(|(new, old)| {
            let parts: Vec<_> = old.iter().map(|name| tensors.tensor(name).unwrap()).collect();
            let mut shape = parts[0].shape().to_vec();
            shape[0] = parts.iter().map(|part| part.shape()[0]).sum();
            let data: Vec<u8> = parts.iter().flat_map(|part| part.data().to_vec()).collect();
            (format!("transformer.{new}"), parts[0].dtype(), shape, data)
        })
        .collect();
    let views = made.iter().map(|(name, dtype, shape, data)| {
        (name.as_str(), TensorView::new(*dtype, shape.clone(), data).unwrap())
    });
    serialize_to_file(views, None, &to.join("model.safetensors")).unwrap();
    let config = json!({
        "architectures": ["ChatGLMModel"],
        "model_type": "chatglm",
        "add_bias_linear": false,
        "add_qkv_bias": true,
        "apply_residual_connection_post_layernorm": false,
        "ffn_hidden_size": config["intermediate_size"],
        "hidden_size": config["hidden_size"],
        "kv_channels": config["head_dim"],
        "layernorm_epsilon": config["rms_norm_eps"],
        "multi_query_attention": true,
        "multi_query_group_num": config["num_key_value_heads"],
        "num_attention_heads": config["num_attention_heads"],
        "num_layers": n_layers,
        "padded_vocab_size": config["vocab_size"],
        "post_layer_norm": true,
        "rmsnorm": true,
        "rope_ratio": 1.0,
        "seq_length": config["max_position_embeddings"],
        "torch_dtype": "bfloat16",
    });
    std::fs::write(to.join("config.json"), config.to_string()).unwrap();
    for name in ["tokenizer.json", "tokenizer_config.json"] {
        std::fs::copy(from.join(name), to.join(name)).unwrap();
    }
}
