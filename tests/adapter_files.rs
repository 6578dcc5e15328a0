//! Files of adapters: nothing is lost between the formats, what they are is said, and whatever is wrong has an error of its
//! own and leaves no file.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use nestling::Code;
use nestling::adapter::{self, Adapter};
use nestling::cancel::CancelToken;
use nestling::format::gguf::{GgmlType, Gguf, Writer};
use nestling::format::{Access, Source};
use nestling::job::Monitor;
use nestling::model::Model;
use nestling::options::{AdapterFormat, AdapterOptions, AverageMethod, MergeOptions, ModelOptions};
use safetensors::tensor::Dtype;
use serde_json::{Value, json};
use support::peft::{self, Lora};
use support::{Family, Tiny};

/// A tiny llama, and a folder.
struct Files {
    folder: tempfile::TempDir,
    tiny: Tiny,
}

impl Files {
    fn new() -> Self {
        let (folder, tiny) = (tempfile::tempdir().unwrap(), Tiny::new(Family::Llama));
        fs::write(folder.path().join("model.gguf"), tiny.bytes()).unwrap();
        Self { folder, tiny }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn lora(&self, name: &str, lora: &Lora) -> PathBuf {
        lora.write(&self.path(name), &self.tiny)
    }

    fn options(&self) -> AdapterOptions {
        let base = self.path("model.gguf").to_str().unwrap().to_owned();
        AdapterOptions { base, ..AdapterOptions::default() }
    }

    fn convert(&self, from: &str, to: &str, o: &AdapterOptions) -> Result<(), nestling::Error> {
        adapter::convert(self.path(from), self.path(to), o, &Monitor::default()).map(drop)
    }

    /// That this is an error, with what its message must say, and that nothing was written.
    fn refused(&self, from: &str, to: &str, o: &AdapterOptions, code: Code, says: &str) {
        let error = self.convert(from, to, o).unwrap_err();
        assert_eq!(error.code(), code, "{error}");
        assert!(error.message().contains(says), "{says:?} is not in: {error}");
        assert!(!self.path(to).exists(), "{error}");
        self.no_left_overs();
    }

    fn no_left_overs(&self) {
        let names = fs::read_dir(&self.folder).unwrap();
        let names: Vec<_> = names.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        assert!(names.iter().all(|name| !name.starts_with('.')), "{names:?}");
    }
}

/// Every tensor of a file, with its type and shape.
fn tensors(directory: &Path) -> Vec<(String, Dtype, Vec<usize>, Vec<u8>)> {
    let bytes = fs::read(directory.join("adapter_model.safetensors")).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let mut found: Vec<_> = file
        .tensors()
        .into_iter()
        .map(|(name, t)| (name, t.dtype(), t.shape().to_vec(), t.data().to_vec()))
        .collect();
    found.sort_by(|a, b| a.0.cmp(&b.0));
    found
}

/// Tensors by name, with shape and bytes.
type Parts = Vec<(String, Vec<usize>, Vec<u8>)>;

fn config(directory: &Path) -> Value {
    serde_json::from_slice(&fs::read(directory.join("adapter_config.json")).unwrap()).unwrap()
}

#[test]
fn peft_to_gguf_and_back_is_bit_for_bit_the_same() {
    for family in Family::ALL {
        for dtype in [Dtype::F32, Dtype::F16, Dtype::BF16] {
            let mut files = Files::new();
            files.tiny = Tiny::new(family);
            fs::write(files.path("model.gguf"), files.tiny.bytes()).unwrap();
            let given = Lora { dtype, head: true, ..Lora::new(3, 6.0, 7) };
            files.lora("peft", &given);
            files.convert("peft", "a.gguf", &files.options()).unwrap();
            let file = Gguf::open(&Source::path(files.path("a.gguf")), Access::Read).unwrap();
            let stored = file.tensors()[0].ggml_type;
            let expected = match dtype {
                Dtype::F16 => GgmlType::F16,
                Dtype::BF16 => GgmlType::BF16,
                _ => GgmlType::F32,
            };
            assert_eq!(stored, expected);
            files.convert("a.gguf", "back", &files.options()).unwrap();
            assert_eq!(tensors(&files.path("back")), tensors(&files.path("peft")), "{family:?}");
            let back = config(&files.path("back"));
            assert_eq!((&back["r"], &back["lora_alpha"]), (&json!(3), &json!(6)));
            assert_eq!(back["base_model_name_or_path"], "tiny/model");
            assert_eq!(back["use_rslora"], false);
            files.no_left_overs();
        }
    }
}

#[test]
fn scales_of_every_kind_survive() {
    let files = Files::new();
    let scale = |name: &str| {
        let found = adapter::inspect(files.path(name)).unwrap();
        (found.scale, found.alpha, found.rs_lora)
    };
    let rs = json!({"use_rslora": true});
    files.lora("rs", &Lora { more: rs, ..Lora::new(3, 2.0, 1) });
    files.convert("rs", "rs.gguf", &files.options()).unwrap();
    files.convert("rs.gguf", "rs-back", &files.options()).unwrap();
    let back = config(&files.path("rs-back"));
    assert_eq!((&back["use_rslora"], &back["lora_alpha"]), (&json!(true), &json!(2)));
    let (a, b) = (scale("rs"), scale("rs.gguf"));
    assert!((a.0 - b.0).abs() < 1e-6 && a.2 && b.2, "{a:?} {b:?}");
    // One alpha of many: the others go into B, and to PEFT with a pattern.
    let alphas = json!({"alpha_pattern": {"layers.1.self_attn.q_proj": 1, "mlp.up_proj": 12}});
    files.lora("many", &Lora { more: alphas, ..Lora::new(4, 8.0, 2) });
    let o = files.options();
    let made =
        adapter::convert(files.path("many"), files.path("many.gguf"), &o, &Monitor::default());
    assert_eq!(made.unwrap().n_folded, 3);
    let norm = |name: &str| adapter::inspect(files.path(name)).unwrap().norm;
    assert!((norm("many") / norm("many.gguf") - 1.0).abs() < 1e-6);
    // A scale of 1 where ranks differ is an alpha of 0 in GGUF, and patterns in PEFT.
    files.lora("low", &Lora { only: "q_proj", ..Lora::new(2, 2.0, 3) });
    let inputs = [(files.path("many"), 0.5), (files.path("low"), 0.5)];
    adapter::average(&inputs, files.path("cat.gguf"), &o, &Monitor::default()).unwrap();
    assert_eq!(scale("cat.gguf").0, 1.0);
    assert_eq!(adapter::inspect(files.path("cat.gguf")).unwrap().rank, 6);
    files.convert("cat.gguf", "cat", &o).unwrap();
    assert!((norm("cat") / norm("cat.gguf") - 1.0).abs() < 1e-6);
    let cat = config(&files.path("cat"));
    assert_eq!(cat["r"], 4);
    assert_eq!(cat["rank_pattern"]["model.layers.0.self_attn.q_proj"], 6);
}

#[test]
fn the_base_may_be_a_config_json() {
    let files = Files::new();
    let tiny = &files.tiny;
    let base = json!({
        "model_type": "llama", "hidden_size": tiny.n_embd, "num_attention_heads": tiny.n_head,
        "num_key_value_heads": tiny.n_head_kv, "num_hidden_layers": tiny.n_layer, "intermediate_size": tiny.n_ff,
        "vocab_size": peft::n_vocab(tiny),
    });
    files.lora("peft", &Lora::new(2, 4.0, 1));
    files.convert("peft", "by-model.gguf", &files.options()).unwrap();
    let none = AdapterOptions::default();
    files.refused("peft", "a.gguf", &none, Code::AdapterBase, "tiny/model");
    // Beside the adapter, or where it was named.
    fs::write(files.path("peft/config.json"), base.to_string()).unwrap();
    files.convert("peft", "beside.gguf", &none).unwrap();
    fs::rename(files.path("peft/config.json"), files.path("config.json")).unwrap();
    let folder = files.folder.path().to_str().unwrap().to_owned();
    let named = AdapterOptions { base: folder, ..none };
    files.convert("peft", "named.gguf", &named).unwrap();
    let read = |name: &str| fs::read(files.path(name)).unwrap();
    assert!(
        read("by-model.gguf") == read("beside.gguf") && read("named.gguf") == read("beside.gguf")
    );
    // One for another model is refused.
    let other = base.to_string().replace("\"hidden_size\":64", "\"hidden_size\":128");
    fs::write(files.path("config.json"), other).unwrap();
    files.refused("peft", "a.gguf", &named, Code::AdapterMismatch, "inputs");
    for (key, value) in [("model_type", json!("bloom")), ("num_hidden_layers", json!("2"))] {
        let mut broken = base.clone();
        broken[key] = value;
        fs::write(files.path("config.json"), broken.to_string()).unwrap();
        files.refused("peft", "a.gguf", &named, Code::AdapterBase, key);
    }
    fs::write(files.path("config.json"), "{").unwrap();
    files.refused("peft", "a.gguf", &named, Code::PeftFormat, "JSON");
}

/// Every way in which a directory can be wrong.
#[test]
fn a_malformed_peft_directory_has_its_error_and_leaves_no_file() {
    let files = Files::new();
    let o = files.options();
    let lora = Lora::new(2, 4.0, 1);
    let good = |f: &dyn Fn(&Path)| {
        fs::remove_dir_all(files.path("peft")).ok();
        f(&files.lora("peft", &lora));
    };
    let refused = |code, says| files.refused("peft", "a.gguf", &o, code, says);
    let remove = |name: &'static str| move |d: &Path| fs::remove_file(d.join(name)).unwrap();
    good(&remove("adapter_config.json"));
    refused(Code::PeftFormat, "adapter_config.json is missing");
    good(&remove("adapter_model.safetensors"));
    refused(Code::PeftFormat, "adapter_model.safetensors is missing");
    good(&|d| {
        fs::rename(d.join("adapter_model.safetensors"), d.join("adapter_model.bin")).unwrap();
    });
    refused(Code::PeftFormat, "pickle");
    good(&|d| fs::write(d.join("adapter_config.json"), "nonsense").unwrap());
    refused(Code::PeftFormat, "not JSON");
    good(&|d| {
        let bytes = fs::read(d.join("adapter_model.safetensors")).unwrap();
        fs::write(d.join("adapter_model.safetensors"), &bytes[..bytes.len() - 1]).unwrap();
    });
    refused(Code::Safetensors, "whole safetensors file");
    let configured = |more: Value| {
        good(&|d| drop(Lora { more: more.clone(), ..lora.clone() }.write(d, &files.tiny)));
    };
    configured(json!({"peft_type": "LOHA"}));
    refused(Code::PeftUnsupported, "peft_type is \"LOHA\"");
    configured(json!({"use_dora": true}));
    refused(Code::PeftUnsupported, "use_dora");
    configured(json!({"bias": "all"}));
    refused(Code::PeftUnsupported, "bias");
    configured(json!({"modules_to_save": ["lm_head"]}));
    refused(Code::PeftUnsupported, "modules_to_save");
    configured(json!({"r": 3}));
    refused(Code::AdapterRank, "the rank 3");
    configured(json!({"lora_alpha": null}));
    refused(Code::PeftFormat, "lora_alpha");

    let changed = |change: &dyn Fn(&mut Parts)| {
        let mut tensors = lora.tensors(&files.tiny);
        change(&mut tensors);
        good(&|d| peft::write(d, &lora.config(&files.tiny), &tensors, Dtype::F32));
    };
    changed(&|t| drop(t.remove(1)));
    refused(Code::AdapterPair, "lora_B.weight is missing");
    changed(&|t| t[0].2[..4].copy_from_slice(&f32::NAN.to_le_bytes()));
    refused(Code::TensorValue, "NaN");
    changed(&|t| t[1].2[..4].copy_from_slice(&f32::INFINITY.to_le_bytes()));
    refused(Code::TensorValue, "inf");
    changed(&|t| t[0].1 = vec![128]);
    refused(Code::AdapterShape, "matrices");
    changed(&|t| t[0].1 = vec![4, 32]);
    refused(Code::AdapterRank, "different ranks");
    changed(&|t| {
        for (end, shape) in [("A", [2, 32]), ("B", [64, 2])] {
            let (_, had, data) =
                t.iter_mut().find(|(n, ..)| n.contains(&format!("q_proj.lora_{end}"))).unwrap();
            *had = shape.to_vec();
            data.truncate(shape[0] * shape[1] * 4);
        }
    });
    refused(Code::AdapterMismatch, "32 inputs");
    for (name, code, says) in [
        ("base_model.model.score.weight", Code::PeftTensor, "score"),
        (
            "base_model.model.model.layers.0.self_attn.x_proj.lora_A.weight",
            Code::AdapterPair,
            "x_proj",
        ),
        (
            "base_model.model.model.embed_tokens.lora_embedding_A",
            Code::PeftUnsupported,
            "embeddings",
        ),
        (
            "base_model.model.model.layers.0.mlp.up_proj.lora_magnitude_vector",
            Code::PeftUnsupported,
            "DoRA",
        ),
        ("base_model.model.model.layers.0.mlp.up_proj.lora_B.bias", Code::PeftUnsupported, "bias"),
        ("model.layers.0.mlp.up_proj.lora_A.weight", Code::PeftTensor, "up_proj"),
    ] {
        changed(&|t| t.push((name.into(), vec![2, 64], vec![0; 512])));
        refused(code, says);
    }
    changed(&|t| t.iter_mut().for_each(|(name, ..)| *name = name.replace("mlp.", "moe.")));
    refused(Code::PeftTensor, "model.layers.0.moe.");
    changed(&|t| {
        t.iter_mut().for_each(|(name, ..)| *name = name.replace("layers.1.", "layers.9."))
    });
    refused(Code::AdapterMismatch, "blk.9.");
    changed(&|t| t.clear());
    refused(Code::PeftTensor, "no tensors");

    // Another architecture, and what no table has.
    fs::write(files.path("model.gguf"), Tiny::new(Family::Gpt2).bytes()).unwrap();
    good(&|_| ());
    refused(Code::PeftTensor, "gpt2");
}

#[test]
fn outputs_are_neither_replaced_nor_inputs_unless_that_was_said() {
    let files = Files::new();
    let o = files.options();
    let force = AdapterOptions { force: true, ..files.options() };
    let code =
        |from: &str, to: &str, o: &AdapterOptions| files.convert(from, to, o).map_err(|e| e.code());
    files.lora("peft", &Lora::new(2, 4.0, 1));
    files.convert("peft", "a.gguf", &o).unwrap();
    assert_eq!(code("peft", "a.gguf", &o), Err(Code::OutputExists));
    files.convert("peft", "a.gguf", &force).unwrap();
    for input in ["model.gguf", "peft/adapter_model.safetensors"] {
        let before = fs::read(files.path(input)).unwrap();
        assert_eq!(code("peft", input, &force), Err(Code::OutputIsInput), "{input}");
        assert_eq!(fs::read(files.path(input)).unwrap(), before);
    }
    files.convert("a.gguf", "back", &o).unwrap();
    assert_eq!(code("a.gguf", "back", &o), Err(Code::OutputExists));
    files.convert("a.gguf", "back", &force).unwrap();
    assert_eq!(tensors(&files.path("back")), tensors(&files.path("peft")));
    // A folder with anything else in it is not replaced, whatever is said; nor is a file.
    fs::write(files.path("back/notes.txt"), "mine").unwrap();
    assert_eq!(code("a.gguf", "back", &force), Err(Code::AdapterDirectory));
    assert_eq!(fs::read_to_string(files.path("back/notes.txt")).unwrap(), "mine");
    assert!(code("a.gguf", "a.gguf", &force).is_err());
    assert!(files.path("a.gguf").is_file());
    let peft = AdapterOptions { format: AdapterFormat::Peft, ..force.clone() };
    assert_eq!(code("peft", "peft", &peft), Err(Code::OutputIsInput));
    // A directory that cannot be made.
    assert_eq!(code("a.gguf", "none/there", &o), Err(Code::NotFound));
    files.no_left_overs();
}

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
