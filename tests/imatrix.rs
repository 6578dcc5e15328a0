//! Importance matrices: against transformers, with quantized weights and experts, and what is refused.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

mod support;

use std::path::Path;

use nestling::Code;
use nestling::cancel::CancelToken;
use nestling::eval::{self, importance};
use nestling::format::gguf::{GgmlType, Gguf, Writer};
use nestling::format::{Access, Source};
use nestling::job::Monitor;
use nestling::model::Model;
use nestling::options::{Accel, Auto, ImatrixOptions, ModelOptions};
use nestling::quantize::Imatrix;
use nestling::tokenizer::{EncodeOptions, Tokenizer};
use serde_json::Value;
use sha2::{Digest, Sha256};
use support::run::tiny;
use support::{Family, Tiny};

const FAMILIES: [Family; 4] = [Family::Llama, Family::Qwen2, Family::Gemma3, Family::Gpt2];
/// More than three chunks of 16 tokens for every vocabulary.
const TEXT: &str = "the ferry leaves the harbour at six in the morning, two teachers share a flask of coffee, in winter \
    they talk about the ice on the lake and the road that ends there\n";

fn options() -> ImatrixOptions {
    ImatrixOptions {
        n_ctx: 16,
        process_output: true,
        n_threads: Auto::Value(1),
        ..ImatrixOptions::default()
    }
}

fn model(bytes: Vec<u8>, accel: Accel) -> Model {
    let options = ModelOptions { accel, ..ModelOptions::default() };
    Model::open(Source::memory(bytes), &options).unwrap()
}

fn bytes(family: Family) -> Vec<u8> {
    Tiny::new(family).seed(11).bytes()
}

/// The chunks that are read, as `llama-imatrix` would make them.
fn chunks(model: &Model, n_ctx: usize) -> Vec<Vec<i32>> {
    let tokenizer = Tokenizer::new(model);
    let special = EncodeOptions { add_special: true, ..EncodeOptions::default() };
    let tokens = tokenizer.encode(TEXT.trim_end(), special).unwrap();
    let plain = tokenizer.encode(TEXT.trim_end(), EncodeOptions::default()).unwrap();
    let mut chunks: Vec<_> = tokens.chunks_exact(n_ctx).map(<[i32]>::to_vec).collect();
    for chunk in &mut chunks {
        if tokens.len() > plain.len() {
            chunk[0] = tokenizer.bos().unwrap();
        }
    }
    chunks
}

fn total(sums: &[f32]) -> f64 {
    sums.iter().map(|&sum| f64::from(sum)).sum()
}

/// The largest difference, relative to the mean of the second.
fn difference(a: &[f32], b: &[f32]) -> f64 {
    assert_eq!(a.len(), b.len());
    let mean = total(b) / b.len() as f64;
    a.iter()
        .zip(b)
        .map(|(a, b)| f64::from(a - b).abs() / f64::from(*b).max(mean))
        .fold(0.0, f64::max)
}

#[test]
#[ignore = "writes what tests/golden/imatrix.py reads"]
fn write_what_the_reference_reads() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tmp/imatrix");
    std::fs::create_dir_all(&folder).unwrap();
    for family in FAMILIES {
        let path = |ending: &str| folder.join(format!("{}.{ending}", family.arch()));
        std::fs::write(path("gguf"), bytes(family)).unwrap();
        let chunks = chunks(&model(bytes(family), Accel::Auto), 16);
        std::fs::write(path("json"), serde_json::to_string(&chunks).unwrap()).unwrap();
    }
}

#[test]
fn the_sums_are_those_of_transformers_with_and_without_our_kernels() {
    let golden: Value = serde_json::from_str(include_str!("golden/imatrix.json")).unwrap();
    for family in FAMILIES {
        let expected = &golden[family.arch()];
        let sha256 = Sha256::digest(bytes(family));
        let hex: String = sha256.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(expected["model"], hex, "the tiny model changed: make the golden file again");
        for accel in [Accel::Off, Accel::Auto] {
            let model = model(bytes(family), accel);
            let found = importance(&model, TEXT, "text", &options(), &Monitor::default()).unwrap();
            let sums = expected["sums"].as_object().unwrap();
            let names: Vec<_> = found.names().collect();
            let mut wanted: Vec<_> = sums.keys().map(String::as_str).collect();
            wanted.sort_unstable();
            assert_eq!(names, wanted, "{family:?}");
            for (name, sums) in sums {
                let sums: Vec<f32> = serde_json::from_value(sums.clone()).unwrap();
                let (ours, counts) = found.sums(name).unwrap();
                assert_eq!(counts, [expected["tokens"].as_f64().unwrap() as f32], "{name}");
                // The cache holds floats of 16 bits; kernels multiply in 16 bits, too.
                let allowed = if accel == Accel::Off { 3e-3 } else { 2e-2 };
                let off = difference(ours, &sums);
                assert!(off < allowed, "{family:?} {accel:?} {name}: {off}");
            }
        }
    }
}

#[test]
fn batches_smaller_than_a_chunk_give_the_same() {
    let model = model(bytes(Family::Gemma3), Accel::Off);
    let read = |options: &ImatrixOptions| {
        importance(&model, TEXT, "text", options, &Monitor::default()).unwrap()
    };
    let (whole, parts) = (read(&options()), read(&ImatrixOptions { n_ubatch: 5, ..options() }));
    for name in whole.names() {
        let (a, b) = (whole.sums(name).unwrap(), parts.sums(name).unwrap());
        assert!(difference(a.0, b.0) < 1e-3 && a.1 == b.1, "{name}");
    }
    let two = read(&ImatrixOptions { chunks: 2, process_output: false, ..options() });
    assert_eq!((two.chunk_count(), two.chunk_size()), (2, 16));
    assert!(two.names().all(|name| name.starts_with("blk.")));
    assert_eq!(two.sums("blk.0.attn_q.weight").unwrap().1, [32.0]);
}

#[test]
fn quantized_weights_tell_nearly_the_same() {
    let of = |ggml_type| {
        let made = Tiny { n_embd: 256, n_ff: 256, ..Tiny::new(Family::Llama).seed(3) };
        let model = model(made.weights(ggml_type).bytes(), Accel::Auto);
        importance(&model, TEXT, "text", &options(), &Monitor::default()).unwrap()
    };
    let (exact, rounded) = (of(GgmlType::F32), of(GgmlType::F16));
    for name in exact.names() {
        assert!(difference(rounded.get(name).unwrap(), exact.get(name).unwrap()) < 0.05, "{name}");
    }
    let coarse = of(GgmlType::Q4_K);
    assert_eq!(coarse.names().collect::<Vec<_>>(), exact.names().collect::<Vec<_>>());
}

/// A tiny llama whose feed-forward parts are four experts, of which each token uses two.
fn experts() -> Vec<u8> {
    let source = Source::memory(bytes(Family::Llama));
    let dense = Gguf::open(&source, Access::Read).unwrap();
    let mut writer = Writer::new();
    for (key, value) in dense.kv() {
        writer.set(key, value.clone());
    }
    writer.set("llama.expert_count", 4u32).set("llama.expert_used_count", 2u32);
    for tensor in dense.tensors() {
        let data = dense.read_data(tensor).unwrap();
        let Some((blk, part)) =
            tensor.name.split_once(".ffn_").filter(|(_, p)| !p.starts_with("norm"))
        else {
            writer.tensor(&tensor.name, &tensor.dims, tensor.ggml_type, data);
            continue;
        };
        let part = part.strip_suffix(".weight").unwrap();
        let dims = [tensor.dims[0], tensor.dims[1], 4];
        // Experts that differ: each has its rows in another order.
        let row = 4 * tensor.dims[0] as usize;
        let turned = |n: usize| [&data[n * row..], &data[..n * row]].concat();
        let all = (0..4).flat_map(turned).collect::<Vec<_>>();
        if part == "up" {
            let router = data[..4 * row].to_vec();
            writer.tensor(
                format!("{blk}.ffn_gate_inp.weight"),
                &[dims[0], 4],
                GgmlType::F32,
                router,
            );
        }
        writer.tensor(format!("{blk}.ffn_{part}_exps.weight"), &dims, GgmlType::F32, all);
    }
    writer.to_bytes().unwrap()
}

#[test]
fn experts_are_counted_one_by_one() {
    let model = model(experts(), Accel::Auto);
    let found = importance(&model, TEXT, "text", &options(), &Monitor::default()).unwrap();
    for layer in 0..2 {
        let sums = |part: &str| found.sums(&format!("blk.{layer}.ffn_{part}.weight")).unwrap();
        let (router, tokens) = sums("gate_inp");
        let (up, counts) = sums("up_exps");
        assert_eq!(counts.len(), 4);
        assert_eq!(total(counts), 2.0 * total(tokens), "each token uses two experts");
        // Experts see what the router sees: each token twice, over all experts.
        for (column, seen) in router.iter().enumerate() {
            let of_experts: f32 = up.chunks(router.len()).map(|expert| expert[column]).sum();
            assert!((of_experts - 2.0 * seen).abs() < 1e-3 * seen, "{of_experts} {seen}");
        }
        let (down, down_counts) = sums("down_exps");
        assert_eq!((down_counts, down.len()), (counts, 4 * 128));
        for (expert, &count) in counts.iter().enumerate() {
            assert_eq!(total(&down[expert * 128..(expert + 1) * 128]) > 0.0, count > 0.0);
        }
    }
}

#[test]
fn a_file_is_written_whole_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let (text, output) = (path("text.txt"), path("imatrix.gguf"));
    std::fs::write(&text, TEXT).unwrap();
    let model = tiny(Family::Llama);
    let run = |text: &Path, output: &Path, options: &ImatrixOptions, monitor: &Monitor| {
        eval::imatrix(&model, text, output, options, monitor)
    };
    let default = Monitor::default();
    let report = run(&text, &output, &options(), &default).unwrap();
    assert_eq!((report.weights, report.unseen_experts), (15, 0));
    assert_eq!(report.tokens, 16 * report.chunks);
    let found = Imatrix::open(&output).unwrap();
    assert_eq!(found.datasets(), [text.display().to_string()]);
    assert_eq!(found.get("blk.1.ffn_down.weight").unwrap().len(), 128);

    let code = |result: nestling::Result<eval::ImatrixReport>| result.unwrap_err().code();
    assert_eq!(code(run(&text, &output, &options(), &default)), Code::OutputExists);
    let forced = ImatrixOptions { force: true, ..options() };
    assert_eq!(code(run(&text, &text, &forced, &default)), Code::OutputIsInput);
    run(&text, &output, &forced, &default).unwrap();

    let cancelled = CancelToken::new();
    cancelled.trigger();
    let none = path("none.gguf");
    assert_eq!(code(run(&text, &none, &options(), &Monitor::new(cancelled))), Code::Cancelled);
    let error = run(&text, &none, &ImatrixOptions::default(), &default).unwrap_err();
    assert_eq!(error.code(), Code::TextTooShort);
    assert!(error.message().contains("a chunk 512"), "{error}");
    std::fs::write(path("bad.txt"), b"a\xff").unwrap();
    assert_eq!(code(run(&path("bad.txt"), &none, &options(), &default)), Code::InvalidUtf8);
    assert_eq!(code(run(&path("missing.txt"), &none, &options(), &default)), Code::NotFound);
    assert!(!none.exists());
}

#[test]
fn numbers_that_are_not_finite_are_an_error() {
    let source = Source::memory(bytes(Family::Llama));
    let good = Gguf::open(&source, Access::Read).unwrap();
    let mut writer = Writer::new();
    for (key, value) in good.kv() {
        writer.set(key, value.clone());
    }
    for tensor in good.tensors() {
        let mut data = good.read_data(tensor).unwrap();
        if tensor.name == "blk.1.attn_norm.weight" {
            data[..4].copy_from_slice(&f32::NAN.to_le_bytes());
        }
        writer.tensor(&tensor.name, &tensor.dims, tensor.ggml_type, data);
    }
    let model = model(writer.to_bytes().unwrap(), Accel::Off);
    let error = importance(&model, TEXT, "text", &options(), &Monitor::default()).unwrap_err();
    assert_eq!(error.code(), Code::Engine);
    assert!(
        error.message().contains("chunk 1: ") && error.message().contains("blk.1.attn_"),
        "{error}"
    );
}
