//! LoRA adapters on sessions: what attaching changes, what detaching gives back, what does not fit.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

mod support;

use std::fs::File;
use std::path::Path;

use nestling::Code;
use nestling::adapter::Adapter;
use nestling::cancel::CancelToken;
use nestling::format::Source;
use nestling::format::gguf::{GgmlType, Writer};
use nestling::generation::Generation;
use nestling::model::Model;
use nestling::options::ModelOptions;
use nestling::session::Session;
use support::run::{greedy, ids, logits, max_difference, options, session, tiny};
use support::{Family, Tiny};

const RANK: u64 = 4;

/// A pair of the given inner and outer widths for each weight, `alpha` as the only thing that differs.
fn lora(arch: &str, pairs: &[(&str, u64, u64)], alpha: f32) -> Vec<u8> {
    let mut w = Writer::new();
    w.set("general.type", "adapter").set("general.architecture", arch);
    w.set("adapter.type", "lora").set("adapter.lora.alpha", alpha);
    let values = |n: u64, step: u64| -> Vec<u8> {
        let value = |i: u64| ((i * step % 13) as f32 - 6.0) / 60.0;
        (0..n).flat_map(|i| value(i).to_le_bytes()).collect()
    };
    for &(name, input, output) in pairs {
        let (a, b) = (values(input * RANK, 5), values(RANK * output, 7));
        w.tensor(format!("{name}.lora_a"), &[input, RANK], GgmlType::F32, a);
        w.tensor(format!("{name}.lora_b"), &[RANK, output], GgmlType::F32, b);
    }
    w.to_bytes().unwrap()
}

const PAIRS: &[(&str, u64, u64)] =
    &[("blk.0.attn_q.weight", 64, 64), ("blk.1.ffn_down.weight", 128, 64)];

fn open(model: &Model, bytes: Vec<u8>) -> Result<Adapter, Code> {
    Adapter::open(model, Source::memory(bytes)).map_err(|e| e.code())
}

#[test]
fn attaching_changes_what_a_model_says_and_detaching_gives_it_back() {
    let model = tiny(Family::Llama);
    let adapter = open(&model, lora("llama", PAIRS, 16.0)).unwrap();
    let other = open(&model, lora("llama", PAIRS, 8.0)).unwrap();
    let prompt = ids(40, 250, 1);
    let mut s = session(&model, 64);
    let (base, _) = logits(&mut s, &prompt);
    assert_eq!(logits(&mut s, &prompt).1, 39);

    // No prefix of the cache outlives a change of adapters or of a scale.
    s.set_adapters(&[(adapter.clone(), 1.0)]).unwrap();
    let (with, reused) = logits(&mut s, &prompt);
    assert_eq!(reused, 0);
    assert!(max_difference(&with, &base) > 1e-3);
    s.set_adapters(&[(adapter.clone(), 1.0)]).unwrap();
    assert_eq!(logits(&mut s, &prompt).1, 39, "the same set again is no change");
    s.set_adapters(&[(adapter.clone(), 0.5)]).unwrap();
    let (half, reused) = logits(&mut s, &prompt);
    assert_eq!(reused, 0);
    // Half the scale is half the alpha.
    s.set_adapters(&[(other.clone(), 1.0)]).unwrap();
    let (same, reused) = logits(&mut s, &prompt);
    assert_eq!(reused, 0);
    assert!(max_difference(&half, &same) < 1e-4);
    // Two at once, halves of one each, add up to the one.
    s.set_adapters(&[(adapter.clone(), 0.5), (other, 1.0)]).unwrap();
    assert!(max_difference(&logits(&mut s, &prompt).0, &with) < 1e-3);

    s.set_adapters(&[]).unwrap();
    assert_eq!(logits(&mut s, &prompt), (base.clone(), 0), "to the last bit");

    // A fork keeps them; a new session on the pooled context does not inherit them.
    s.set_adapters(&[(adapter, 1.0)]).unwrap();
    logits(&mut s, &prompt);
    let mut fork = s.fork().unwrap();
    assert_eq!(logits(&mut fork, &prompt).1, 39);
    drop((s, fork));
    assert_eq!(logits(&mut session(&model, 64), &prompt).0, base);
    assert!(matches!(
        Session::new(&model, &options(64)).unwrap().set_adapters(&[(
            open(&model, lora("llama", PAIRS, 1.0)).unwrap(),
            f32::NAN
        )]),
        Err(e) if e.code() == Code::InvalidArgument
    ));
}

#[test]
fn each_answer_may_choose_its_own_adapters() {
    let model = tiny(Family::Llama);
    let adapter = |alpha| (open(&model, lora("llama", PAIRS, alpha)).unwrap(), 1.0);
    let (own, chosen) = ([adapter(16.0)], [adapter(200.0)]);
    let prompt = ids(20, 250, 3);
    let answer = |s: &mut Session, chosen: &[(Adapter, f32)]| {
        let generation = Generation::new(prompt.clone(), &greedy(8), CancelToken::new()).unwrap();
        let mut generation = generation.with_adapters(chosen.to_vec());
        let mut tokens = Vec::new();
        while let Some(piece) = generation.next(s).unwrap() {
            tokens.push(piece.token);
        }
        (tokens, s.stats().reused_tokens)
    };
    let mut s = session(&model, 64);
    s.set_adapters(&own).unwrap();
    let (with_own, _) = answer(&mut s, &[]);
    s.set_adapters(&chosen).unwrap();
    let (with_chosen, _) = answer(&mut s, &[]);
    s.set_adapters(&[]).unwrap();
    let (base, _) = answer(&mut s, &[]);
    assert!(with_own != with_chosen && with_chosen != base);

    assert_eq!(answer(&mut s, &chosen), (with_chosen.clone(), 0));
    assert_eq!(answer(&mut s, &[]), (base, 0), "the choice was for one answer");
    s.set_adapters(&own).unwrap();
    assert_eq!(answer(&mut s, &chosen).0, with_chosen);
    assert_eq!(answer(&mut s.fork().unwrap(), &[]).0, with_own);
    assert_eq!(answer(&mut s, &[]), (with_own.clone(), 0));
    assert_eq!(answer(&mut s, &[]), (with_own, 19), "the same again reuses the cache");
    let other = tiny(Family::Llama);
    let foreign = open(&other, lora("llama", PAIRS, 1.0)).unwrap();
    let mut refused = Generation::new(prompt, &greedy(8), CancelToken::new())
        .unwrap()
        .with_adapters(vec![(foreign, 1.0)]);
    let error = refused.next(&mut session(&model, 64)).unwrap_err();
    assert_eq!(error.code(), Code::AdapterMismatch, "{error}");
}

#[test]
fn an_adapter_says_what_it_is() {
    let model = tiny(Family::Llama);
    let adapter = open(&model, lora("llama", PAIRS, 8.0)).unwrap();
    let info = adapter.info();
    assert_eq!((info.architecture.as_str(), info.rank, info.n_pairs), ("llama", RANK, 2));
    assert_eq!(info.targets, ["attn_q", "ffn_down"]);
    let n = RANK * (64 + 64 + 128 + 64);
    assert_eq!((info.n_parameters, info.bytes), (n, 4 * n));
    assert_eq!((info.alpha, info.scale), (8.0, 2.0));
    assert_eq!(info.digest, adapter.digest());
    let plain = open(&model, lora("llama", PAIRS, 0.0)).unwrap();
    assert_eq!((plain.info().alpha, plain.info().scale), (0.0, 1.0), "the engine takes 0 for 1");
}

#[test]
fn every_source_gives_the_same_adapter() {
    let model = tiny(Family::Llama);
    let bytes = lora("llama", PAIRS, 16.0);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("adapter.gguf");
    std::fs::write(&path, &bytes).unwrap();
    let inside = directory.path().join("asset.bin");
    std::fs::write(&inside, [&[7; 4096], bytes.as_slice(), &[9; 100]].concat()).unwrap();
    let part = Source::file(File::open(inside).unwrap(), 4096, Some(bytes.len() as u64));
    let prompt = ids(20, 250, 2);
    let with = |source: Source| {
        let adapter = Adapter::open(&model, source).unwrap();
        let mut s = session(&model, 64);
        s.set_adapters(&[(adapter.clone(), 1.0)]).unwrap();
        (adapter.digest().to_owned(), logits(&mut s, &prompt).0)
    };
    let expected = with(path.into());
    assert_eq!(with(part), expected);
    assert_eq!(with(Source::memory(bytes)), expected);
}

#[test]
fn an_adapter_of_another_model_is_refused() {
    let model = tiny(Family::Llama);
    let refused = |bytes| open(&model, bytes).unwrap_err();
    assert_eq!(refused(lora("qwen2", PAIRS, 1.0)), Code::AdapterMismatch);
    for pair in [
        ("blk.0.attn_q.weight", 32, 64),
        ("blk.0.attn_q.weight", 64, 32),
        ("blk.7.attn_q.weight", 64, 64),
        ("token_embd.weight", 64, 64),
    ] {
        let code = refused(lora("llama", &[pair], 1.0));
        // An embedding's pair is stored the other way round: what is not, is no pair.
        let expected =
            if pair.0.starts_with("token") { Code::AdapterRank } else { Code::AdapterMismatch };
        assert_eq!(code, expected, "{pair:?}");
    }
    let missing = Adapter::open(&model, Path::new("no/such.gguf")).unwrap_err();
    assert_eq!(missing.code(), Code::NotFound);

    // A model without weights has nothing that an adapter could change.
    let o = ModelOptions { vocab_only: true, ..Default::default() };
    let without = Model::open(Source::memory(Tiny::new(Family::Llama).bytes()), &o).unwrap();
    assert_eq!(open(&without, lora("llama", PAIRS, 1.0)).unwrap_err(), Code::WrongState);

    // Loaded for one model, attached to another of the very same file.
    let adapter = open(&model, lora("llama", PAIRS, 1.0)).unwrap();
    let mut s = session(&tiny(Family::Llama), 64);
    assert_eq!(s.set_adapters(&[(adapter, 1.0)]).unwrap_err().code(), Code::AdapterMismatch);
}

/// For an output matrix that is the embeddings, too, the engine would end the process.
#[test]
fn embeddings_are_changed_only_where_they_are_not_the_output_too() {
    for (family, fits) in [(Family::Llama, true), (Family::Qwen2, false)] {
        let model = tiny(family);
        let n_vocab = support::peft::n_vocab(&Tiny::new(family));
        let mut w = Writer::new();
        w.set("general.type", "adapter").set("general.architecture", family.arch());
        w.set("adapter.type", "lora");
        for (half, rows) in [("a", n_vocab), ("b", 64)] {
            let data: Vec<u8> = (0..2 * rows).flat_map(|_| 0.1f32.to_le_bytes()).collect();
            let name = format!("token_embd.weight.lora_{half}");
            w.tensor(name, &[2, rows as u64], GgmlType::F32, data);
        }
        let opened = open(&model, w.to_bytes().unwrap());
        if !fits {
            assert_eq!(opened.unwrap_err(), Code::AdapterMismatch);
            continue;
        }
        let mut s = session(&model, 64);
        let (base, _) = logits(&mut s, &ids(8, 250, 1));
        s.set_adapters(&[(opened.unwrap(), 1.0)]).unwrap();
        assert!(max_difference(&logits(&mut s, &ids(8, 250, 1)).0, &base) > 1e-4);
    }
}
