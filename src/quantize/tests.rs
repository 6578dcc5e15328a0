//! Files of ours against those of the engine's own quantizer, and what a user can get wrong.

use std::path::{Path, PathBuf};

use super::*;
use crate::cancel::CancelToken;
use crate::error::Code;
use crate::format::gguf::{GgmlType, Gguf};
use crate::ggml::engine_quantize;
use crate::test_support::{Family, Tiny, smollm2};

fn open(path: &Path) -> Gguf {
    Gguf::open(&Source::path(path), Access::Map).unwrap()
}

fn with(ftype: &str) -> QuantizeOptions {
    QuantizeOptions { ftype: ftype.to_owned(), ..QuantizeOptions::default() }
}

fn run(from: &Path, to: &Path, options: &QuantizeOptions) -> Result<Quantized> {
    quantize(&Source::path(from), to, options, &Monitor::default())
}

/// Every tensor has the type and the bytes of the other file's, and so do all metadata.
fn assert_same(ours: &Path, theirs: &Path, what: &str) {
    let (ours, theirs) = (open(ours), open(theirs));
    assert_eq!(ours.tensors().len(), theirs.tensors().len(), "{what}");
    for expected in theirs.tensors() {
        let found = ours.tensor(&expected.name).unwrap();
        assert_eq!(found.ggml_type, expected.ggml_type, "{what}: {}", found.name);
        assert_eq!(found.dims, expected.dims, "{what}: {}", found.name);
        let same = ours.data(found).unwrap() == theirs.data(expected).unwrap();
        assert!(same, "{what}: the bytes of {} differ", found.name);
    }
    for (key, value) in theirs.kv() {
        assert_eq!(ours.get(key), Some(value), "{what}: {key}");
    }
    // The engine's program notes the matrix, and not its library.
    let notes = ours.kv().filter(|(key, _)| key.starts_with("quantize.imatrix.")).count();
    assert_eq!(ours.kv().count() - notes, theirs.kv().count(), "{what}");
}

/// A model deep enough for the rules about layers. `n_embd` 96 is no whole block of the K-quants.
fn deep(family: Family, n_embd: u64, n_head_kv: u32) -> Tiny {
    let mut tiny = Tiny::new(family);
    (tiny.n_embd, tiny.n_ff, tiny.n_layer) = (n_embd, 256, 9);
    (tiny.n_head, tiny.n_head_kv) = (4, n_head_kv);
    tiny
}

/// The importances of each tensor.
type Columns<'a> = &'a [(String, Vec<f32>)];

/// The same from both quantizers, with an importance matrix in a file and in memory.
fn compare(from: &Path, directory: &Path, mix: Mix, matrix: Option<(&Path, Columns<'_>)>) {
    let (ours, theirs) = (directory.join("ours.gguf"), directory.join("theirs.gguf"));
    let imatrix = matrix.map(|(path, _)| path.to_str().unwrap().to_owned()).unwrap_or_default();
    let options = QuantizeOptions { force: true, imatrix, ..with(mix.name()) };
    run(from, &ours, &options).unwrap();
    engine_quantize(from, &theirs, mix.id(), false, matrix.map_or(&[], |(_, values)| values));
    assert_same(&ours, &theirs, &format!("{} as {}", from.display(), mix.name()));
}

/// A matrix for every weight of a model that a mix may change, and its file.
fn matrix(model: &Path, to: &Path) -> Vec<(String, Vec<f32>)> {
    let model = open(model);
    let weights =
        model.tensors().iter().filter(|t| t.dims.len() == 2 && t.name.starts_with("blk."));
    let values: Vec<_> = weights
        .map(|t| {
            let columns =
                (0..t.dims[0]).map(|i| 0.1 + (i as f32 * 0.7 + t.offset as f32).sin().abs());
            (t.name.clone(), columns.collect::<Vec<_>>())
        })
        .collect();
    let entries = values
        .iter()
        .map(|(name, v)| (name.clone(), Entry::new(name, v.clone(), vec![1.0]).unwrap()));
    Imatrix::new(entries.collect(), vec!["a text".into()], 3, 512).unwrap().write(to).unwrap();
    values
}

/// The mixes that work without an importance matrix.
fn without_matrix() -> impl Iterator<Item = Mix> {
    use Mix::*;
    let needs = [IQ2_XXS, IQ2_XS, IQ2_S, IQ2_M, IQ1_S, IQ1_M, IQ3_XXS, IQ3_XS, Q2_K_S];
    Mix::ALL.iter().copied().filter(move |mix| !needs.contains(mix))
}

#[test]
fn every_mix_gives_the_bytes_of_the_engines_own_quantizer() {
    let directory = tempfile::tempdir().unwrap();
    let models: Vec<PathBuf> = [
        (Family::Llama, 256, 1),
        (Family::Llama, 96, 4),
        (Family::Gemma3, 256, 2),
        (Family::Gpt2, 256, 4),
    ]
    .into_iter()
    .enumerate()
    .map(|(i, (family, n_embd, n_head_kv))| {
        deep(family, n_embd, n_head_kv).seed(i as u64).write(directory.path())
    })
    .collect();
    use Mix::*;
    let of_every_family = [Q2_K, Q3_K_M, Q4_K_S, Q4_K_M, Q5_K_M, IQ4_XS, Q4_0, MXFP4_MOE];
    let mut deeper = deep(Family::Llama, 256, 2).seed(8);
    deeper.n_layer = 17;
    compare(&deeper.write(directory.path()), directory.path(), Q3_K_M, None);
    for mix in without_matrix() {
        let n = if of_every_family.contains(&mix) { models.len() } else { 1 };
        for model in models.iter().take(n) {
            compare(model, directory.path(), mix, None);
        }
    }
}

#[test]
fn an_importance_matrix_gives_the_bytes_of_the_engines_own_quantizer() {
    use Mix::*;
    let directory = tempfile::tempdir().unwrap();
    let mut flat = deep(Family::Llama, 256, 2);
    flat.n_layer = 2;
    let flat = flat.write(directory.path());
    let flat_file = directory.path().join("flat.gguf");
    let flat_values = matrix(&flat, &flat_file);
    // These take long.
    for mix in [IQ2_XXS, IQ2_S, IQ1_S, IQ1_M, IQ3_XS] {
        compare(&flat, directory.path(), mix, Some((&flat_file, &flat_values)));
    }
    let model = deep(Family::Llama, 256, 2).seed(3).write(directory.path());
    let file = directory.path().join("imatrix.gguf");
    let values = matrix(&model, &file);
    for mix in [IQ2_XS, IQ2_M, IQ3_XXS, Q2_K_S, Q4_0, Q5_0, Q4_K_M, IQ4_XS] {
        compare(&model, directory.path(), mix, Some((&file, &values)));
    }
    let noted = open(&directory.path().join("ours.gguf"));
    assert_eq!(noted.str("quantize.imatrix.dataset").unwrap(), Some("a text"));
    assert_eq!(noted.u32("quantize.imatrix.chunks_count").unwrap(), Some(3));
    assert_eq!(noted.u32("quantize.imatrix.entries_count").unwrap(), Some(values.len() as u32));

    // Of another model, and one that lacks a tensor.
    let other = deep(Family::Llama, 512, 2).seed(9).write(directory.path());
    let to = directory.path().join("none.gguf");
    let imatrix = file.to_str().unwrap().to_owned();
    let error = run(&other, &to, &QuantizeOptions { imatrix, ..with("q4_k_m") }).unwrap_err();
    assert_eq!(error.code(), Code::ImatrixFormat, "{error}");
    let entries = [("x".to_owned(), Entry::new("x", vec![1.0; 4], vec![1.0]).unwrap())];
    Imatrix::new(entries.into(), vec!["a".into()], 1, 1).unwrap().write(&file).unwrap();
    let imatrix = file.to_str().unwrap().to_owned();
    let error = run(&model, &to, &QuantizeOptions { imatrix, ..with("iq2_xs") }).unwrap_err();
    assert!(error.message().contains("says nothing of it"), "{error}");
    assert!(!to.exists());
}

#[test]
fn a_real_model_is_quantized_again_as_the_engine_does() {
    let directory = tempfile::tempdir().unwrap();
    let (ours, theirs) = (directory.path().join("ours.gguf"), directory.path().join("theirs.gguf"));
    let options = QuantizeOptions { requantize: true, ..with("q8_0") };
    let report = run(&smollm2(), &ours, &options).unwrap();
    engine_quantize(&smollm2(), &theirs, Mix::Q8_0.id(), false, &[]);
    assert_same(&ours, &theirs, "SmolLM2");
    assert_eq!(report.written.n_parameters, 134_515_008);
    assert_eq!(report.written.bytes, open(&ours).tensors().iter().map(|t| t.n_bytes).sum::<u64>());
}

#[test]
fn wishes_come_before_the_mix() {
    let directory = tempfile::tempdir().unwrap();
    let from = deep(Family::Llama, 256, 2).write(directory.path());
    let to = directory.path().join("out.gguf");
    let options = QuantizeOptions {
        tensor_types: ["blk\\.0\\..*=q8_0", "ffn_down=iq4_nl", "\\.1\\.=f16"]
            .map(String::from)
            .to_vec(),
        output_tensor_type: "q5_1".into(),
        token_embedding_type: "bf16".into(),
        ..with("q4_k_m")
    };
    run(&from, &to, &options).unwrap();
    let found = open(&to);
    let type_of = |name: &str| found.tensor(name).unwrap().ggml_type;
    assert_eq!(type_of("blk.0.ffn_down.weight"), GgmlType::Q8_0, "the first pattern counts");
    assert_eq!(type_of("blk.1.ffn_down.weight"), GgmlType::IQ4_NL);
    assert_eq!(type_of("blk.1.attn_q.weight"), GgmlType::F16);
    assert_eq!(type_of("output.weight"), GgmlType::Q5_1);
    assert_eq!(type_of("token_embd.weight"), GgmlType::BF16);
    assert_eq!(type_of("blk.0.attn_norm.weight"), GgmlType::F32);
    assert_eq!(type_of("blk.5.attn_q.weight"), GgmlType::Q4_K);
    // Patterns do without a mix, too.
    let options =
        QuantizeOptions { tensor_types: vec!["ffn_=q8_0".into()], force: true, ..with("copy") };
    run(&from, &to, &options).unwrap();
    let found = open(&to);
    assert_eq!(found.tensor("blk.3.ffn_up.weight").unwrap().ggml_type, GgmlType::Q8_0);
    assert_eq!(found.tensor("blk.3.attn_q.weight").unwrap().ggml_type, GgmlType::F32);
    assert_eq!(found.get("general.file_type"), open(&from).get("general.file_type"));
    let (pure, theirs) = (directory.path().join("pure.gguf"), directory.path().join("theirs.gguf"));
    run(&from, &pure, &QuantizeOptions { pure: true, ..with("q4_k_m") }).unwrap();
    engine_quantize(&from, &theirs, Mix::Q4_K_M.id(), true, &[]);
    assert_same(&pure, &theirs, "pure");
}

#[test]
fn a_dry_run_says_what_a_run_writes_and_writes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let from = deep(Family::Qwen2, 256, 2).write(directory.path());
    let to = directory.path().join("out.gguf");
    let dry = run(&from, &to, &QuantizeOptions { dry_run: true, ..with("q3_k_m") }).unwrap();
    assert!(dry.dry_run && !to.exists());
    let wet = run(&from, &to, &with("q3_k_m")).unwrap();
    assert_eq!(dry.written, wet.written);
    assert!(wet.written.bytes < wet.written.bytes_before / 4);
}

#[test]
fn bad_requests_say_what_to_do_and_leave_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let from = deep(Family::Llama, 256, 2).write(directory.path());
    let to = directory.path().join("out.gguf");
    let wish = |text: &str| QuantizeOptions { tensor_types: vec![text.into()], ..with("q4_0") };
    for (options, code, says) in [
        (with("q7"), Code::QuantizeType, "q4_k_m"),
        (with("iq2_xs"), Code::QuantizeType, "importance matrix"),
        (with("q2_k_s"), Code::QuantizeType, "importance matrix"),
        (wish("ffn=q9"), Code::QuantizeType, "q8_0"),
        (wish("ffn"), Code::QuantizeType, "PATTERN=TYPE"),
        (wish("=q8_0"), Code::QuantizeType, "PATTERN=TYPE"),
        (wish("(=q8_0"), Code::QuantizeType, "regular expression"),
        (wish("ffn=iq3_xxs"), Code::QuantizeType, "importance matrix"),
    ] {
        let error = run(&from, &to, &options).unwrap_err();
        assert_eq!(error.code(), code, "{error}");
        assert!(error.message().contains(says), "{error}");
    }
    let error = run(&from, &from, &QuantizeOptions { force: true, ..with("q4_0") }).unwrap_err();
    assert_eq!(error.code(), Code::OutputIsInput);
    let small = directory.path().join("small.gguf");
    run(&from, &small, &with("q4_0")).unwrap();
    assert_eq!(run(&from, &small, &with("q8_0")).unwrap_err().code(), Code::OutputExists);
    let error = run(&small, &to, &with("q8_0")).unwrap_err();
    assert_eq!(error.code(), Code::QuantizeType);
    assert!(error.message().contains("requantize"), "{error}");
    let cancel = CancelToken::new();
    cancel.trigger();
    let error = quantize(&Source::path(&from), &to, &with("q4_0"), &Monitor::new(cancel));
    assert_eq!(error.unwrap_err().code(), Code::Cancelled);
    let into = directory.path().join("none").join("out.gguf");
    assert_eq!(run(&from, &into, &with("q4_0")).unwrap_err().code(), Code::NotFound);
    assert!(!to.exists());
    let left: Vec<_> = std::fs::read_dir(&directory).unwrap().collect();
    assert_eq!(left.len(), 2, "{left:?}");
}

#[test]
fn numbers_that_a_type_cannot_hold_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let to = directory.path().join("out.gguf");
    for (bad, ftype) in [(f32::NAN, "q4_0"), (f32::INFINITY, "q6_k"), (70_000.0, "f16")] {
        let mut writer = Tiny::new(Family::Llama).writer();
        writer.tensor("extra.weight", &[32, 2], GgmlType::F32, {
            let mut values = [0.5f32; 64];
            values[40] = bad;
            values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<_>>()
        });
        let from = directory.path().join("bad.gguf");
        writer.write_file(&from).unwrap();
        let error = run(&from, &to, &with(ftype)).unwrap_err();
        assert_eq!(error.code(), Code::TensorValue, "{error}");
        assert!(error.message().contains("extra.weight"), "{error}");
    }
    assert!(!to.exists());
}

#[test]
fn a_source_that_is_written_to_meanwhile_is_noticed() {
    let directory = tempfile::tempdir().unwrap();
    let from = deep(Family::Llama, 256, 2).write(directory.path());
    let gguf = Gguf::open(&Source::path(&from), Access::Read).unwrap();
    let pieces: Vec<_> = gguf.tensors().iter().map(|t| stored::stored(&gguf, t).unwrap()).collect();
    let types: Vec<_> = pieces.iter().map(|p| p.ggml_type).collect();
    let to = directory.path().join("out.gguf");
    let contents = Contents { kv: &[], pieces: &pieces, types: &types, importances: &|_| None };
    let write = || write_model(&to, &contents, 1, |_| Ok(()), &Monitor::default());
    write().unwrap();
    std::fs::remove_file(&to).unwrap();
    // The time alone, then bytes that are missing.
    let file = std::fs::File::options().write(true).open(&from).unwrap();
    file.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
    assert_eq!(write().unwrap_err().code(), Code::SourceChanged);
    file.set_len(gguf.length() - 1).unwrap();
    let code = write().unwrap_err().code();
    assert!(matches!(code, Code::Io | Code::SourceChanged), "{code:?}");
    assert!(!to.exists());
}
