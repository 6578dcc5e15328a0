//! Which weights are chosen, how they begin, what is refused.

use super::*;
use crate::error::Code;
use crate::format::gguf::GgmlType;

fn matrix(name: impl Into<String>, dims: &[u64]) -> TensorInfo {
    let n = dims.iter().product::<u64>();
    let (dims, ggml_type) = (dims.to_vec(), GgmlType::F32);
    TensorInfo { name: name.into(), dims, ggml_type, offset: 0, n_bytes: 4 * n }
}

/// A llama of `layers` layers, its tensors in no special order.
fn llama(layers: u32) -> Vec<TensorInfo> {
    let mut tensors =
        vec![matrix("token_embd.weight", &[64, 300]), matrix("output_norm.weight", &[64])];
    for layer in (0..layers).rev() {
        tensors.push(matrix(format!("blk.{layer}.attn_norm.weight"), &[64]));
        for (target, n_in, n_out) in [
            (Target::FfnDown, 128, 64),
            (Target::FfnUp, 64, 128),
            (Target::FfnGate, 64, 128),
            (Target::AttnOutput, 64, 64),
            (Target::AttnV, 64, 32),
            (Target::AttnK, 64, 32),
            (Target::AttnQ, 64, 64),
        ] {
            tensors.push(matrix(target.weight(layer), &[n_in, n_out]));
        }
    }
    tensors
}

fn phi(layers: u32) -> Vec<TensorInfo> {
    let weight = |(t, n_in, n_out): (Target, u64, u64), l| matrix(t.weight(l), &[n_in, n_out]);
    let shapes = [
        (Target::AttnQkv, 64, 192),
        (Target::AttnOutput, 64, 64),
        (Target::FfnUp, 64, 256),
        (Target::FfnDown, 128, 64),
    ];
    (0..layers).flat_map(|l| shapes.map(|shape| weight(shape, l))).collect()
}

fn spec(targets: &str) -> LoraSpec {
    let options = TrainerOptions { lora_targets: targets.into(), ..Default::default() };
    LoraSpec::new(&options).unwrap()
}

fn init(spec: &LoraSpec, tensors: &[TensorInfo]) -> Result<LoraParams> {
    LoraParams::init(spec, "llama", tensors, 42)
}

fn refused(spec: &LoraSpec, tensors: &[TensorInfo], code: Code, parts: &[&str]) {
    let error = init(spec, tensors).unwrap_err();
    assert_eq!(error.code(), code, "{error}");
    for part in parts {
        assert!(error.message().contains(part), "{error} lacks {part:?}");
    }
}

#[test]
fn pairs_come_by_layer_then_target_whatever_the_files_order() {
    let params = init(&spec("ffn_down,attn_q,attn_v"), &llama(2)).unwrap();
    let weights: Vec<_> = params.pairs().iter().map(LoraPair::weight).collect();
    let expected = ["0.attn_q", "0.attn_v", "0.ffn_down", "1.attn_q", "1.attn_v", "1.ffn_down"];
    assert_eq!(weights, expected.map(|name| format!("blk.{name}.weight")));
    let v = &params.pairs()[1];
    assert_eq!((v.n_in, v.n_out, v.a.len(), v.b.len()), (64, 32, 64 * 8, 32 * 8));
    assert_eq!(params.sizes()[2..4], [64 * 8, 32 * 8]);
    assert_eq!(params.n_parameters(), 2 * 8 * ((64 + 64) + (64 + 32) + (128 + 64)));
    assert_eq!(params.tensors().count(), params.sizes().len());
}

#[test]
fn presets_take_what_the_model_has() {
    let targets = |preset: &str, tensors: &[TensorInfo]| {
        list(&init(&spec(preset), tensors).unwrap().targets())
    };
    assert_eq!(targets("attention", &llama(1)), "attn_q,attn_k,attn_v,attn_output");
    assert_eq!(targets("attention", &phi(1)), "attn_qkv,attn_output");
    assert_eq!(targets("all", &phi(1)), "attn_qkv,attn_output,ffn_up,ffn_down");
    assert_eq!(init(&spec("all"), &llama(3)).unwrap().pairs().len(), 3 * 7);
}

#[test]
fn a_is_uniform_in_its_bound_and_b_is_zero() {
    let params = init(&spec("all"), &llama(2)).unwrap();
    for pair in params.pairs() {
        let bound = 1.0 / (pair.n_in as f32).sqrt();
        assert!(pair.a.iter().all(|v| v.abs() <= bound));
        let (n, of) =
            (pair.a.len() as f32, |f: fn(f32) -> f32| pair.a.iter().map(|v| f(*v)).sum::<f32>());
        // A uniform distribution: mean 0, variance bound² / 3.
        assert!((of(|v| v) / n).abs() < 0.1 * bound);
        assert!((of(|v| v * v) / n / (bound * bound / 3.0) - 1.0).abs() < 0.15);
        assert!(pair.b.iter().all(|v| v.to_bits() == 0));
    }
}

#[test]
fn each_weight_has_its_own_numbers_from_seed_and_name() {
    let all = init(&spec("all"), &llama(2)).unwrap();
    let few = init(&spec("ffn_up"), &llama(2)).unwrap();
    assert_eq!(all.pairs()[5], few.pairs()[0], "the same weight, the same start");
    assert_ne!(few.pairs()[0].a, few.pairs()[1].a);
    let other = LoraParams::init(&spec("ffn_up"), "llama", &llama(2), 43).unwrap();
    assert_ne!(few.pairs()[0].a, other.pairs()[0].a);
    // Pinned: a seed must give the same adapter in every version.
    let first: Vec<u32> = few.pairs()[0].a[..3].iter().map(|v| v.to_bits()).collect();
    assert_eq!(first, FIRST_OF_FFN_UP, "{first:#x?}");
}

/// The first elements of A of blk.0.ffn_up.weight for the seed 42.
const FIRST_OF_FFN_UP: [u32; 3] = [0x3df4_2c44, 0x3d05_7def, 0xbd6a_1c61];

#[test]
fn the_scale_is_what_a_reader_of_the_file_computes() {
    let mut spec = spec("attn_q");
    let scale = |spec: &LoraSpec| init(spec, &llama(1)).unwrap().scale();
    assert_eq!(scale(&spec), 2.0);
    spec.rs_lora = true;
    assert!((scale(&spec) - 16.0 / 8f32.sqrt()).abs() < 1e-6);
    let params = init(&spec, &llama(1)).unwrap();
    assert_eq!(params.scale(), params.file_alpha() / 8.0);
}

#[test]
fn layers_can_be_chosen() {
    let range = |first, last| LoraSpec { first_layer: first, last_layer: last, ..spec("attn_q") };
    let layers = |spec: &LoraSpec| {
        init(spec, &llama(4)).unwrap().pairs().iter().map(|p| p.layer).collect::<Vec<_>>()
    };
    assert_eq!(layers(&range(2, None)), [2, 3]);
    assert_eq!(layers(&range(1, Some(2))), [1, 2]);
    for (first, last) in [(4, None), (0, Some(4)), (2, Some(1)), (0, Some(u32::MAX))] {
        refused(&range(first, last), &llama(4), Code::LoraLayers, &["0 to 3", "last_layer"]);
    }
}

#[test]
fn what_does_not_fit_is_refused_with_what_would() {
    let rank = |rank| LoraSpec { rank, ..spec("all") };
    refused(&rank(0), &llama(1), Code::LoraRank, &["lora_rank is 0", "at least 1"]);
    refused(&rank(33), &llama(1), Code::LoraRank, &["attn_k", "64 by 32", "at most 32"]);
    assert!(init(&rank(32), &llama(1)).is_ok());
    let fused = ["no attn_q,ffn_gate;", "attn_qkv,attn_output,ffn_up,ffn_down"];
    refused(&spec("attn_q,ffn_gate,ffn_up"), &phi(2), Code::LoraTarget, &fused);
    let norms = [matrix("blk.0.attn_norm.weight", &[64])];
    refused(&spec("all"), &norms, Code::LoraTarget, &["none of the weights", "attn_q"]);
    let odd = [matrix("blk.0.attn_q.weight", &[8, 8, 8])];
    refused(&spec("all"), &odd, Code::Unsupported, &["blk.0.attn_q.weight", "not a matrix"]);
    let feed_forward = [matrix("blk.0.ffn_up.weight", &[64, 64])];
    refused(&spec("attention"), &feed_forward, Code::LoraTarget, &["no attention", "ffn_up"]);
    let unknown = TrainerOptions { lora_targets: "q_proj".into(), ..Default::default() };
    assert_eq!(LoraSpec::new(&unknown).unwrap_err().code(), Code::LoraTarget);
    let zero = TrainerOptions { lora_rank: 0, ..Default::default() };
    assert_eq!(LoraSpec::new(&zero).unwrap_err().code(), Code::InvalidOption);
}
