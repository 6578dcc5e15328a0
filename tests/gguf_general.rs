//! Architectures whose tensors the gate does not know one by one: general rules hold there, and some of their own.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

mod support;

use nestling::error::Code;
use nestling::format::gguf::GgmlType;
use nestling::format::{Access, ModelFiles, Source};
use support::{Family, Raw, Tiny};

fn code(raw: Raw) -> Option<Code> {
    ModelFiles::open(&Source::memory(raw.bytes()), Access::Map).err().map(|e| e.code())
}

/// The metadata and tensors of a tiny Llama, as another architecture. Four heads share two of keys and values, each 16 wide.
fn renamed(arch: &str) -> Raw {
    let mut raw = Raw::of(&Tiny::new(Family::Llama));
    for entry in &mut raw.kv {
        if let Some(key) = entry.key.strip_prefix(b"llama.") {
            entry.key = [arch.as_bytes(), b".", key].concat();
        }
    }
    raw.set("general.architecture", arch);
    raw
}

/// Sets one of the architecture's own keys.
macro_rules! set {
    ($($key:literal = $value:expr),*) => {
        |raw: &mut Raw, arch: &str| { $(raw.set(&format!("{arch}.{}", $key), $value);)* }
    };
}

fn latent(raw: &mut Raw, arch: &str) {
    set!(
        "attention.key_length_mla" = 24u32,
        "attention.value_length_mla" = 16u32,
        "attention.kv_lora_rank" = 32u32,
        "attention.key_length" = 40u32,
        "attention.value_length" = 32u32,
        "rope.dimension_count" = 8u32
    )(raw, arch);
    for layer in 0..2 {
        for part in ["attn_k", "attn_v"] {
            raw.remove_tensor(&format!("blk.{layer}.{part}.weight"));
        }
        raw.reshape(&format!("blk.{layer}.attn_q.weight"), &[64, 96]);
    }
}

/// For layers with a window, beside the others.
fn latent_in_window(raw: &mut Raw, arch: &str) {
    set!(
        "attention.key_length_mla_swa" = 24u32,
        "attention.value_length_mla_swa" = 16u32,
        "attention.kv_lora_rank_swa" = 16u32,
        "attention.key_length_swa" = 24u32,
        "attention.value_length_swa" = 16u32,
        "rope.dimension_count_swa" = 8u32
    )(raw, arch);
}

/// Embeddings of each token's last two and three tokens.
fn ngrams(raw: &mut Raw, arch: &str) {
    set!(
        "ssm.time_step_rank" = 1u32,
        "ssm.group_count" = 1u32,
        "ple.ngram_size" = 3u32,
        "ple.heads_per_ngram" = 2u32,
        "embedding_length_per_layer_input" = 16u32
    )(raw, arch);
}

/// Adds a tensor of two rows to the first layer.
fn add(raw: &mut Raw, name: &str, ggml_type: GgmlType) {
    let n = 64 / ggml_type.block_size() * ggml_type.type_size();
    raw.add_tensor(name, &[32, 2], ggml_type.id(), vec![0; n as usize]);
}

type Change = fn(&mut Raw, &str);

#[rustfmt::skip]
const FINE: &[(&str, &str, Change)] = &[
    ("as it is", "cohere2", |_, _| {}),
    ("half of a head rotates", "cohere2", set!("rope.dimension_count" = 8u32)),
    ("no rotation where nothing rotates", "mpt", set!("rope.dimension_count" = 0u32)),
    ("heads of another width in layers with a window", "cohere2", set!("attention.key_length_swa" = 8u32, "attention.value_length_swa" = 8u32, "rope.dimension_count_swa" = 8u32)),
    ("latent attention", "deepseek2", latent),
    ("zeros for norms that there are not, and no pooling", "cohere2", set!("attention.layer_norm_epsilon" = 0f32, "attention.group_norm_epsilon" = 0f32, "pooling_type" = u32::MAX)),
    ("no head where there is no attention", "mamba", set!("attention.head_count" = 0u32, "attention.head_count_kv" = 0u32)),
    ("layers with a state", "qwen3next", |raw, arch| { set!("ssm.time_step_rank" = 4u32, "ssm.group_count" = 2u32, "ssm.state_size" = 8u32, "ssm.inner_size" = 32u32)(raw, arch); raw.reshape("blk.0.attn_k.weight", &[64, 48]); add(raw, "blk.0.ssm_conv1d.weight", GgmlType::F32); }),
    ("queries with gates", "afmoe", |raw, _| { raw.add_zeros("blk.0.attn_qkv.weight", &[64, 192]); }),
    ("queries with gates in a weight of their own", "afmoe", |raw, _| { raw.reshape("blk.0.attn_q.weight", &[64, 128]); }),
    ("latent attention in a window", "dots3note", |raw, arch| { latent(raw, arch); latent_in_window(raw, arch); }),
    ("n-grams as wide as the residual stream", "qwen4exp", |raw, arch| { ngrams(raw, arch); }),
    ("linear attention", "minimax-01", |raw, arch| { set!("rope.dimension_count" = 16u32)(raw, arch); raw.remove_tensor("blk.0.attn_k.weight"); raw.remove_tensor("blk.0.attn_v.weight"); raw.add_zeros("blk.0.attn_qkv.weight", &[64, 192]); }),
    ("half of a head rotates where an assert is commented out", "minimax-m2", set!("rope.dimension_count" = 8u32)),
    ("no rotated width where the graph takes that of heads", "deepseek2-ocr", set!("rope.dimension_count" = 0u32)),
    ("latent attention with a width of values that nobody reads", "kimi-linear", |raw, arch| { latent(raw, arch); set!("attention.value_length" = 16u32)(raw, arch); }),
    ("a classifier of one label", "cohere2", |raw, _| { raw.add_tensor("cls.output.weight", &[64, 1], GgmlType::F16.id(), vec![0; 128]); }),
    ("a safe gate that goes without saying", "bailingmoe3", set!("kda.gate_lower_bound" = -5f32)),
    ("a filter in full precision", "lfm2", |raw, _| add(raw, "blk.0.shortconv.conv.weight", GgmlType::F32)),
    ("a table in half precision", "deepseek4", |raw, _| add(raw, "blk.0.attn_compressor_ape.weight", GgmlType::F16)),
];

#[rustfmt::skip]
const REFUSED: &[(&str, &str, Code, Change)] = &[
    ("keys wider than values", "cohere2", Code::GgufHeadCount, set!("attention.key_length" = 32u32)),
    ("values wider than keys in a window", "exaone4", Code::GgufHeadCount, set!("attention.value_length_swa" = 32u32)),
    ("an odd rotation", "cohere2", Code::GgufHeadCount, set!("rope.dimension_count" = 7u32)),
    ("no rotation", "gptneox", Code::GgufHeadCount, set!("rope.dimension_count" = 0u32)),
    ("no rotation in a window", "cohere2", Code::GgufHeadCount, set!("rope.dimension_count_swa" = 0u32)),
    ("more than a head rotates", "stablelm", Code::GgufHeadCount, set!("rope.dimension_count" = 64u32)),
    ("half of a head where all of it has to rotate", "olmo", Code::GgufHeadCount, set!("rope.dimension_count" = 8u32)),
    ("latent keys that do not fit the cache", "deepseek2", Code::GgufHeadCount, |raw, arch| { latent(raw, arch); set!("attention.key_length" = 48u32)(raw, arch); }),
    ("latent keys that only rotate", "deepseek2", Code::GgufHeadCount, |raw, arch| { latent(raw, arch); set!("attention.key_length_mla" = 8u32)(raw, arch); }),
    ("latent keys without values", "mistral4", Code::GgufHeadCount, |raw, arch| { latent(raw, arch); set!("attention.value_length_mla" = 0u32)(raw, arch); }),
    ("latent keys of a window that do not fit the cache", "dots3note", Code::GgufHeadCount, |raw, arch| { latent(raw, arch); latent_in_window(raw, arch); set!("attention.key_length_swa" = 32u32)(raw, arch); }),
    ("shorter n-grams than embeddings are for", "qwen4exp", Code::GgufHyperParameter, |raw, arch| { ngrams(raw, arch); set!("ple.ngram_size" = 2u32)(raw, arch); }),
    ("narrower queries than heads", "arctic", Code::GgufTensorMismatch, |raw, _| { raw.reshape("blk.1.attn_q.weight", &[64, 32]); }),
    ("narrower keys than heads", "command-r", Code::GgufTensorMismatch, |raw, _| { raw.reshape("blk.1.attn_k.weight", &[64, 8]); }),
    ("heads of another width everywhere", "gemma2", Code::GgufTensorMismatch, set!("attention.key_length" = 8u32, "attention.value_length" = 8u32, "rope.dimension_count" = 8u32)),
    ("fewer rows than queries, keys and values", "gptneox", Code::GgufTensorMismatch, |raw, _| { raw.add_zeros("blk.0.attn_qkv.weight", &[64, 64]); }),
    ("a filter in half precision", "mamba", Code::GgufTensorRole, |raw, _| add(raw, "blk.0.ssm_conv1d.weight", GgmlType::F16)),
    ("a quantized norm with rows", "qwen4exp", Code::GgufTensorRole, |raw, arch| { set!("ssm.time_step_rank" = 1u32, "ssm.group_count" = 1u32)(raw, arch); add(raw, "blk.0.ple_norm_key.weight", GgmlType::Q8_0); }),
    ("a norm with rows in half precision", "command-r", Code::GgufTensorRole, |raw, _| add(raw, "blk.0.attn_q_norm.weight", GgmlType::F16)),
    ("quantized biases of experts", "gpt-oss", Code::GgufTensorRole, |raw, _| add(raw, "blk.0.ffn_up_exps.bias", GgmlType::Q8_0)),
    ("a decay in brain floats", "jamba", Code::GgufTensorRole, |raw, arch| { set!("ssm.inner_size" = 128u32)(raw, arch); add(raw, "blk.0.ssm_a", GgmlType::BF16); }),
    ("a mix in half precision", "rwkv7", Code::GgufTensorRole, |raw, _| add(raw, "blk.0.time_mix_lerp_fused.weight", GgmlType::F16)),
    ("keys wider than values", "deepseek2-ocr", Code::GgufHeadCount, set!("attention.key_length" = 32u32)),
    ("a scale of one row in half precision", "cohere2", Code::GgufTensorRole, |raw, _| { raw.add_tensor("blk.0.attn_scale.weight", &[64, 1], GgmlType::F16.id(), vec![0; 128]); }),
    ("a negative norm", "cohere2", Code::GgufHyperParameter, set!("attention.layer_norm_epsilon" = -1f32)),
    ("pooling of an unknown kind", "cohere2", Code::GgufHyperParameter, set!("pooling_type" = 5u32)),
    ("no groups of outputs", "deepseek4", Code::GgufHyperParameter, set!("attention.output_group_count" = 0u32)),
    ("other hyper-connections than four", "glm5-next", Code::GgufHyperParameter, set!("hyper_connection.count" = 2u32)),
    ("no layer with experts", "ernie4_5-moe", Code::GgufHyperParameter, set!("interleave_moe_layer_step" = 0u32)),
    ("pools that do not divide", "glm5-next", Code::GgufHyperParameter, set!("attention.indexer.kpool" = 4u32, "attention.indexer.top_k" = 6u32)),
    ("fewer layers than cycles", "hrm_text", Code::GgufHyperParameter, set!("hrm.layers_per_stack" = 1u32, "hrm.h_cycles" = 2u32, "hrm.l_cycles" = 2u32)),
    ("cycles beyond all numbers", "hrm_text", Code::GgufHyperParameter, set!("hrm.layers_per_stack" = 1u32, "hrm.h_cycles" = 65536u32, "hrm.l_cycles" = 65536u32)),
    ("a state of another width", "jamba", Code::GgufHyperParameter, set!("ssm.inner_size" = 64u32)),
    ("values that are not grouped", "qwen3next", Code::GgufHyperParameter, set!("ssm.time_step_rank" = 3u32, "ssm.group_count" = 2u32, "ssm.state_size" = 8u32, "ssm.inner_size" = 24u32)),
    ("positions divided by 0", "mistral4", Code::GgufHyperParameter, set!("attention.temperature_scale" = 0.1f32)),
    ("an endless temperature", "llama4", Code::GgufHyperParameter, set!("attention.temperature_scale" = f32::INFINITY)),
    ("no window where attention is scaled", "llama4", Code::GgufHyperParameter, set!("attention.sliding_window" = 0u32)),
    ("an index of no layer before", "glm5-next", Code::GgufHyperParameter, set!("attention.indexer.types" = 0u32)),
    ("no index at all", "glm-dsa", Code::GgufHyperParameter, set!("attention.indexer.types" = 0u32)),
    ("groups of no experts at all", "grovemoe", Code::GgufHyperParameter, set!("experts_per_group" = 0u32)),
    ("fewer latent keys than queries", "minicpm3", Code::GgufHyperParameter, |_, _| {}),
    ("pictures added to every layer", "qwen3vl", Code::GgufHyperParameter, set!("n_deepstack_layers" = 2u32)),
    ("no head", "phimoe", Code::GgufHeadCount, set!("attention.head_count" = 0u32)),
    ("no window where layers slide", "afmoe", Code::GgufHyperParameter, set!("attention.sliding_window" = 0u32)),
    ("an unsafe gate", "bailingmoe3", Code::GgufHyperParameter, set!("kda.safe_gate" = false)),
    ("a gate without a bound", "bailingmoe3", Code::GgufHyperParameter, set!("kda.safe_gate" = true, "kda.gate_lower_bound" = f32::NAN)),
    ("experts chosen in no way", "dots1", Code::GgufExperts, set!("expert_count" = 4u32, "expert_used_count" = 2u32, "expert_gating_func" = 0u32)),
    ("experts chosen in an unknown way", "dots1", Code::GgufHyperParameter, set!("expert_count" = 4u32, "expert_used_count" = 2u32, "expert_gating_func" = 5u32)),
    ("groups of no experts", "hunyuan_vl", Code::GgufExperts, set!("expert_group_count" = 1u32)),
];

#[test]
fn what_models_of_other_architectures_are_like_is_accepted() {
    for (name, arch, change) in FINE {
        let mut raw = renamed(arch);
        change(&mut raw, arch);
        assert_eq!(code(raw), None, "{name} ({arch})");
    }
}

#[test]
fn what_would_end_the_process_in_the_engine_is_refused() {
    let mut wrong = vec![];
    for (name, arch, expected, change) in REFUSED {
        let mut raw = renamed(arch);
        change(&mut raw, arch);
        let found = code(raw);
        if found != Some(*expected) {
            wrong.push(format!("{name} ({arch}): {found:?}, not {expected:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
