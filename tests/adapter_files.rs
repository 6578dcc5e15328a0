//! Files of adapters: nothing is lost between the formats, what they are is said, and whatever is wrong has an error of its
//! own and leaves no file.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

#[path = "adapter_files/files.rs"]
mod files;
mod support;

use std::fs;
use std::path::Path;

use files::{Files, Parts, config, tensors};
use nestling::Code;
use nestling::adapter;
use nestling::format::gguf::{GgmlType, Gguf};
use nestling::format::{Access, Source};
use nestling::job::Monitor;
use nestling::options::{AdapterFormat, AdapterOptions};
use safetensors::tensor::Dtype;
use serde_json::{Value, json};
use support::peft::{self, Lora};
use support::{Family, Tiny};

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
