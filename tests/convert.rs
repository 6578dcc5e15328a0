//! Checkpoints of Hugging Face become model files that compute what transformers computes (tests/golden/convert.py), and
//! that hold what llama.cpp's converter writes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use nestling::cancel::CancelToken;
use nestling::convert::{Converted, convert};
use nestling::format::gguf::{Gguf, Value};
use nestling::format::{Access, Source};
use nestling::job::Monitor;
use nestling::model::Model;
use nestling::options::{
    Accel, Auto, ConvertOptions, ModelOptions, Options, QuantizeOptions, SessionOptions,
};
use nestling::quantize::quantize;
use nestling::session::Session;
use nestling::tokenizer::{EncodeOptions, Tokenizer};
use nestling::{Code, Result};

use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView, serialize_to_file};
use support::{chatglm, run};

const NAMES: &[&str] =
    &["smollm2", "llama3", "mistral", "qwen2", "qwen3", "gemma3", "longrope", "gpt2", "chatglm"];

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/convert").join(name)
}

fn options(ftype: &str, name: &str) -> ConvertOptions {
    // Splitting into words is recognised by what real vocabularies do; these learned from seven lines.
    let pre = match name {
        "gpt2" => "gpt-2",
        "qwen2" | "qwen3" => "qwen2",
        _ => "smollm",
    };
    ConvertOptions {
        ftype: ftype.into(),
        pre_tokenizer: pre.into(),
        n_threads: Auto::Value(2),
        ..Default::default()
    }
}

fn converted(from: &Path, to: &Path, options: &ConvertOptions) -> Result<Converted> {
    convert(from, to, options, &Monitor::new(CancelToken::new()))
}

/// The logits of what becomes of a checkpoint are those that transformers computes of the golden one.
fn computes(checkpoint: &Path, name: &str) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    let report = converted(checkpoint, &path, &options("f32", name)).unwrap();
    assert_eq!(report.written.types.keys().collect::<Vec<_>>(), ["F32"], "{name}");
    let with = ModelOptions { device: "cpu".into(), accel: Accel::Off, ..Default::default() };
    let model = Model::open(path.as_path(), &with).unwrap();
    let tokenizer = Tokenizer::new(&model);
    let cases = std::fs::read_to_string(golden(name).join("golden.json")).unwrap();
    let cases: serde_json::Value = serde_json::from_str(&cases).unwrap();
    let mut worst = 0f32;
    for case in cases.as_array().unwrap() {
        let numbers = |key: &str| -> Vec<f64> {
            case[key].as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
        };
        let expected: Vec<i32> = numbers("ids").iter().map(|id| *id as i32).collect();
        let plain = EncodeOptions { add_special: false, ..Default::default() };
        let ids = tokenizer.encode(case["text"].as_str().unwrap(), plain).unwrap();
        assert_eq!(ids, expected, "{name}: {}", case["text"]);
        let o = SessionOptions {
            kv_type: nestling::options::KvType::F32,
            flash_attn: nestling::options::FlashAttn::Off,
            ..run::options(128)
        };
        let (logits, _) = run::logits(&mut Session::new(&model, &o).unwrap(), &ids);
        let wanted: Vec<f32> = numbers("logits").iter().map(|v| *v as f32).collect();
        worst = worst.max(run::max_difference(&logits, &wanted));
    }
    assert!(worst < 1e-3, "{name}: the logits differ by {worst}");
}

#[test]
fn every_architecture_computes_what_transformers_computes() {
    NAMES.iter().for_each(|name| computes(&golden(name), name));
}

#[test]
fn the_layout_of_chatglms_own_code_computes_the_same() {
    let folder = tempfile::tempdir().unwrap();
    chatglm::old_layout(&golden("chatglm"), folder.path());
    computes(folder.path(), "chatglm");
}

/// Keys that differ from llama.cpp's on purpose, with the reason.
const DIFFERENT: &[(&str, &str)] = &[];

#[test]
fn the_f16_file_is_what_llama_cpp_converts() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("f16.gguf");
    converted(&golden("smollm2"), &path, &options("f16", "smollm2")).unwrap();
    let open = |path: &Path| Gguf::open(&Source::path(path), Access::Read).unwrap();
    let (ours, theirs) = (open(&path), open(&golden("smollm2").join("reference.gguf")));
    let keys = |gguf: &Gguf| -> BTreeMap<String, Value> {
        let kv = gguf.kv().filter(|(key, _)| !DIFFERENT.iter().any(|(k, _)| k == key));
        kv.map(|(key, value)| (key.to_owned(), value.clone())).collect()
    };
    let (mine, wanted) = (keys(&ours), keys(&theirs));
    for (key, value) in &wanted {
        assert_eq!(mine.get(key), Some(value), "{key}");
    }
    assert_eq!(mine.keys().collect::<Vec<_>>(), wanted.keys().collect::<Vec<_>>());
    assert_eq!(ours.tensors().len(), theirs.tensors().len());
    for tensor in theirs.tensors() {
        let own = ours.tensor(&tensor.name).expect(&tensor.name);
        assert_eq!((&own.dims, own.ggml_type), (&tensor.dims, tensor.ggml_type), "{}", tensor.name);
        assert_eq!(
            ours.read_data(own).unwrap(),
            theirs.read_data(tensor).unwrap(),
            "{}",
            tensor.name
        );
    }
}

#[test]
fn quantizing_in_the_same_pass_gives_the_same_bytes_as_two_steps() {
    let folder = tempfile::tempdir().unwrap();
    let [whole, two, one] = ["whole", "two", "one"].map(|name| folder.path().join(name));
    converted(&golden("qwen2"), &whole, &options("f32", "qwen2")).unwrap();
    let mix = QuantizeOptions { ftype: "q4_0".into(), ..Default::default() };
    quantize(&Source::path(&whole), &two, &mix, &Monitor::new(CancelToken::new())).unwrap();
    let report = converted(&golden("qwen2"), &one, &options("q4_0", "qwen2")).unwrap();
    assert!(report.written.types.contains_key("Q4_0"), "{report:?}");
    assert_eq!(std::fs::read(&one).unwrap(), std::fs::read(&two).unwrap());
}

/// Exact in 8 bits: 1, 1.125, ... times powers of two.
fn of_8_bits(i: usize) -> (u8, f32) {
    let (sign, exponent, mantissa) = ((i % 2) as u8, (4 + i % 7) as u8, (i / 3 % 8) as u8);
    let size = (1.0 + f32::from(mantissa) / 8.0) * 2f32.powi(i32::from(exponent) - 7);
    (sign << 7 | exponent << 3 | mantissa, if sign == 1 { -size } else { size })
}

#[test]
fn floats_of_8_bits_are_multiplied_by_the_scales_of_their_blocks() {
    let (small, wide) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let bytes = std::fs::read(golden("smollm2").join("model.safetensors")).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let mut made = [Vec::new(), Vec::new()];
    for (name, tensor) in tensors.tensors() {
        let shape = tensor.shape().to_vec();
        if !name.contains("_proj") {
            let same = (name, tensor.dtype(), shape, tensor.data().to_vec());
            made.iter_mut().for_each(|list| list.push(same.clone()));
            continue;
        }
        // Blocks of 16 x 24: the last of a row of 32 or 64 columns is narrower.
        let blocks = [shape[0].div_ceil(16), shape[1].div_ceil(24)];
        let scale = |row: usize, column: usize| {
            2f32.powi((row / 16 * blocks[1] + column / 24) as i32 % 5 - 2)
        };
        let at = |i: usize| (i / shape[1], i % shape[1]);
        let values = (0..shape[0] * shape[1]).map(|i| (i, of_8_bits(i)));
        let narrow: Vec<u8> = values.clone().map(|(_, (byte, _))| byte).collect();
        let whole = values.flat_map(|(i, (_, v))| (v * scale(at(i).0, at(i).1)).to_le_bytes());
        made[1].push((name.clone(), Dtype::F32, shape.clone(), whole.collect()));
        made[0].push((name.clone(), Dtype::F8_E4M3, shape.clone(), narrow));
        let scales =
            (0..blocks[0] * blocks[1]).flat_map(|b| (2f32.powi(b as i32 % 5 - 2)).to_le_bytes());
        made[0].push((format!("{name}_scale_inv"), Dtype::F32, blocks.to_vec(), scales.collect()));
    }
    let mut files = Vec::new();
    for (folder, list) in [&small, &wide].into_iter().zip(&made) {
        for name in ["config.json", "tokenizer.json", "tokenizer_config.json"] {
            std::fs::copy(golden("smollm2").join(name), folder.path().join(name)).unwrap();
        }
        let views = list.iter().map(|(name, dtype, shape, data)| {
            (name.as_str(), TensorView::new(*dtype, shape.clone(), data).unwrap())
        });
        serialize_to_file(views, None, &folder.path().join("model.safetensors")).unwrap();
        let config = folder.path().join("config.json");
        let mut json: serde_json::Value =
            serde_json::from_str(&std::fs::read_to_string(&config).unwrap()).unwrap();
        json["quantization_config"] =
            serde_json::json!({ "quant_method": "fp8", "weight_block_size": [16, 24] });
        std::fs::write(&config, json.to_string()).unwrap();
        let path = folder.path().join("model.gguf");
        converted(folder.path(), &path, &options("f32", "smollm2")).unwrap();
        files.push(Gguf::open(&Source::path(&path), Access::Read).unwrap());
    }
    for tensor in files[1].tensors() {
        let narrow = files[0].tensor(&tensor.name).unwrap();
        let data = |file: &Gguf, t| file.read_data(t).unwrap();
        assert_eq!(data(&files[0], narrow), data(&files[1], tensor), "{}", tensor.name);
    }
}

#[test]
fn auto_keeps_the_checkpoints_own_type_and_a_dry_run_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    let mut o = ConvertOptions { dry_run: true, ..options("auto", "mistral") };
    let dry = converted(&golden("mistral"), &path, &o).unwrap();
    assert!(!path.exists() && dry.dry_run && dry.ftype == "bf16", "{dry:?}");
    o.set("dry_run", nestling::options::Input::Bool(false)).unwrap();
    let wet = converted(&golden("mistral"), &path, &o).unwrap();
    assert_eq!(wet.written, dry.written);
    assert_eq!(wet.written.types["F32"], 5, "the norms");
    let again = converted(&golden("mistral"), &path, &o).unwrap_err();
    assert_eq!(again.code(), Code::OutputExists);
    o.force = true;
    converted(&golden("mistral"), &path, &o).unwrap();
}

#[test]
fn a_cancelled_conversion_leaves_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let cancel = CancelToken::new();
    cancel.trigger();
    let path = folder.path().join("model.gguf");
    let error =
        convert(golden("longrope"), path, &options("f16", "longrope"), &Monitor::new(cancel));
    assert_eq!(error.unwrap_err().code(), Code::Cancelled);
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
}
