//! Several adapters become one, or a part of the base model; what an adapter is, is said.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

#[path = "adapter_files/files.rs"]
mod files;
mod support;

use std::fs;
use std::path::{Path, PathBuf};

use files::Files;
use nestling::Code;
use nestling::adapter::{self, Adapter};
use nestling::cancel::CancelToken;
use nestling::format::gguf::{GgmlType, Gguf, Writer};
use nestling::format::{Access, Source};
use nestling::job::Monitor;
use nestling::model::Model;
use nestling::options::{AdapterFormat, AdapterOptions, AverageMethod, MergeOptions, ModelOptions};
use support::peft::{self, Lora};
use support::{Family, Tiny};

#[test]
fn adapters_that_do_not_go_together_are_not_averaged() {
    let files = Files::new();
    files.lora("two", &Lora::new(2, 4.0, 1));
    files.lora("three", &Lora::new(3, 4.0, 2));
    let gpt2 = Tiny::new(Family::Gpt2);
    peft::gguf(&gpt2, 2, 4.0, 3).write_file(files.path("gpt2.gguf")).unwrap();
    let mut wide = Tiny::new(Family::Llama);
    wide.n_ff = 256;
    peft::gguf(&wide, 2, 4.0, 3).write_file(files.path("wide.gguf")).unwrap();
    peft::gguf(&files.tiny, 2, 4.0, 3).write_file(files.path("a.gguf")).unwrap();
    let average = |of: &[(&str, f32)], o: &AdapterOptions| {
        let of: Vec<_> = of.iter().map(|(name, weight)| (files.path(name), *weight)).collect();
        let made = adapter::average(&of, files.path("out.gguf"), o, &Monitor::default());
        made.map_err(|e| e.code())
    };
    let o = files.options();
    let linear = AdapterOptions { method: AverageMethod::Linear, ..files.options() };
    let none = AdapterOptions::default();
    for (of, o, code) in [
        (&[("two", 1.0), ("three", 1.0)][..], &linear, Code::AdapterAverage),
        (&[("two", 1.0), ("two", -1.0)], &o, Code::AdapterAverage),
        (&[("two", f32::NAN)], &o, Code::AdapterAverage),
        (&[], &o, Code::AdapterAverage),
        (&[("a.gguf", 1.0), ("gpt2.gguf", 1.0)], &none, Code::AdapterAverage),
        (&[("a.gguf", 1.0), ("wide.gguf", 1.0)], &none, Code::AdapterAverage),
        (&[("a.gguf", 1.0), ("wide.gguf", 1.0)], &o, Code::AdapterMismatch),
        (&[("a.gguf", 1.0), ("nothing.gguf", 1.0)], &o, Code::NotFound),
    ] {
        assert_eq!(average(of, o).unwrap_err(), code, "{of:?}");
        assert!(!files.path("out.gguf").exists());
    }
    // Numbers of examples are weights: two of the same are the same.
    average(&[("a.gguf", 120.0), ("a.gguf", 80.0)], &o).unwrap();
    let norm = |name: &str| adapter::inspect(files.path(name)).unwrap().norm;
    assert!((norm("out.gguf") / norm("a.gguf") - 1.0).abs() < 1e-6);
}

#[test]
fn merging_copies_what_no_adapter_changes_and_gives_the_types_that_were_asked_for() {
    let mut files = Files::new();
    files.tiny = Tiny::new(Family::Llama).weights(GgmlType::Q8_0);
    fs::write(files.path("model.gguf"), files.tiny.bytes()).unwrap();
    files.lora("peft", &Lora { only: "q_proj", ..Lora::new(2, 4.0, 1) });
    let base = || Source::path(files.path("model.gguf"));
    let adapters = [(files.path("peft"), 0.5)];
    let o = MergeOptions::default();
    let merged = files.path("merged.gguf");
    let report = adapter::merge(base(), &adapters, &merged, &o, &Monitor::default()).unwrap();
    assert_eq!(report.n_merged, u64::from(files.tiny.n_layer));
    let open = |path: &Path| Gguf::open(&Source::path(path), Access::Read).unwrap();
    let (before, after) = (open(&files.path("model.gguf")), open(&merged));
    assert_eq!(before.kv().count(), after.kv().count());
    for tensor in before.tensors() {
        let other = after.tensor(&tensor.name).unwrap();
        assert_eq!(tensor.ggml_type, other.ggml_type);
        let same = before.read_data(tensor).unwrap() == after.read_data(other).unwrap();
        assert_eq!(same, !tensor.name.contains("attn_q."), "{}", tensor.name);
    }
    let wanted = MergeOptions { ftype: "f16".into(), force: true, requantize: true, ..o.clone() };
    adapter::merge(base(), &adapters, &merged, &wanted, &Monitor::default()).unwrap();
    assert_eq!(open(&merged).tensor("blk.0.attn_q.weight").unwrap().ggml_type, GgmlType::F16);
    Model::open(merged.as_path(), &ModelOptions::default()).unwrap();

    // What is refused leaves what was there.
    let bytes = fs::read(&merged).unwrap();
    let code =
        |base: Source, adapters: &[(PathBuf, f32)], to: &Path, o: &MergeOptions, m: &Monitor| {
            adapter::merge(base, adapters, to, o, m).unwrap_err().code()
        };
    let (force, never) = (MergeOptions { force: true, ..o.clone() }, Monitor::default());
    assert_eq!(code(base(), &adapters, &merged, &o, &never), Code::OutputExists);
    assert_eq!(code(base(), &[], &merged, &force, &never), Code::InvalidArgument);
    let infinite = [(files.path("peft"), f32::INFINITY)];
    assert_eq!(code(base(), &infinite, &merged, &force, &never), Code::InvalidArgument);
    for input in ["model.gguf", "peft/adapter_model.safetensors"] {
        assert_eq!(
            code(base(), &adapters, &files.path(input), &force, &never),
            Code::OutputIsInput
        );
    }
    let unknown = MergeOptions { ftype: "q9".into(), ..force.clone() };
    assert_eq!(code(base(), &adapters, &merged, &unknown, &never), Code::QuantizeType);
    peft::gguf(&Tiny::new(Family::Gpt2), 2, 4.0, 3).write_file(files.path("gpt2.gguf")).unwrap();
    let other = [(files.path("gpt2.gguf"), 1.0)];
    assert_eq!(code(base(), &other, &merged, &force, &never), Code::AdapterMismatch);
    let cancelled = CancelToken::new();
    cancelled.trigger();
    let cancelled = Monitor::new(cancelled);
    assert_eq!(code(base(), &adapters, &merged, &force, &cancelled), Code::Cancelled);
    // Too large for the type that the model has.
    let huge = [(files.path("peft"), 1e30)];
    assert_eq!(code(base(), &huge, &merged, &force, &never), Code::TensorValue);
    assert_eq!(fs::read(&merged).unwrap(), bytes);
    files.no_left_overs();
}

#[test]
fn inspecting_says_what_an_adapter_is() {
    let files = Files::new();
    files.lora("peft", &Lora { only: ".1.", head: true, ..Lora::new(2, 4.0, 1) });
    files.convert("peft", "a.gguf", &files.options()).unwrap();
    let peft = adapter::inspect(files.path("peft")).unwrap();
    let gguf = adapter::inspect(files.path("a.gguf")).unwrap();
    assert_eq!((peft.format, gguf.format), ("peft", "gguf"));
    assert_eq!(gguf.architecture.as_deref(), Some("llama"));
    assert_eq!((peft.architecture.as_deref(), gguf.base_model.as_str()), (None, "tiny/model"));
    for found in [&peft, &gguf] {
        assert_eq!((found.rank, found.scale, found.alpha, found.n_pairs), (2, 2.0, 4.0, 8));
        assert_eq!(found.layers, [1]);
        assert_eq!(found.types["F32"], 8);
    }
    assert!((peft.norm / gguf.norm - 1.0).abs() < 1e-9);
    let names =
        |s: &adapter::Summary| s.targets.iter().map(|t| t.target.clone()).collect::<Vec<_>>();
    assert!(names(&peft).contains(&"self_attn.q_proj".to_owned()), "{:?}", names(&peft));
    assert!(names(&peft).contains(&"lm_head".to_owned()));
    assert!(
        names(&gguf).contains(&"attn_q".to_owned()) && names(&gguf).contains(&"output".to_owned())
    );
    let model = Model::open(files.path("model.gguf"), &ModelOptions::default()).unwrap();
    let info = Adapter::open(&model, files.path("a.gguf")).unwrap().info().clone();
    assert_eq!((info.n_pairs, info.n_parameters), (gguf.n_pairs, gguf.n_parameters));
    assert_eq!(adapter::inspect(files.path("none")).unwrap_err().code(), Code::NotFound);
    assert_eq!(adapter::inspect(files.path("model.gguf")).unwrap_err().code(), Code::AdapterFormat);
}

#[test]
fn adapted_embeddings_are_refused_everywhere_and_described() {
    let files = Files::new();
    let mut w = Writer::new();
    w.set("general.type", "adapter").set("general.architecture", "llama");
    w.set("adapter.type", "lora").set("adapter.lora.alpha", 4f32);
    let n_vocab = peft::n_vocab(&files.tiny);
    for (half, rows) in [("a", n_vocab), ("b", 64)] {
        let data: Vec<u8> = (0..2 * rows).flat_map(|_| 0.5f32.to_le_bytes()).collect();
        let name = format!("token_embd.weight.lora_{half}");
        w.tensor(name, &[2, rows as u64], GgmlType::F32, data);
    }
    w.write_file(files.path("a.gguf")).unwrap();
    let found = adapter::inspect(files.path("a.gguf")).unwrap();
    assert_eq!((found.targets[0].n_in, found.targets[0].n_out), (n_vocab as u64, 64));
    // Every element of the product is 2 * 2 * 0.25.
    assert!((found.norm - (64.0 * n_vocab as f64).sqrt()).abs() < 1e-6);
    let gguf = AdapterOptions { format: AdapterFormat::Gguf, ..AdapterOptions::default() };
    for o in [files.options(), gguf] {
        files.refused("a.gguf", "out", &o, Code::Unsupported, "embeddings");
    }
    let (input, never) = ([(files.path("a.gguf"), 1.0)], Monitor::default());
    let averaged = adapter::average(&input, files.path("out"), &AdapterOptions::default(), &never);
    assert_eq!(averaged.unwrap_err().code(), Code::Unsupported);
    let base = Source::path(files.path("model.gguf"));
    let merged = adapter::merge(base, &input, files.path("out"), &MergeOptions::default(), &never);
    assert_eq!(merged.unwrap_err().code(), Code::Unsupported);
    assert!(!files.path("out").exists());
}
