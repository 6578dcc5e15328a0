//! Our own kernels inside the engine: what they give is what the engine gives, in every way a model is used.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

mod support;

#[path = "accel/common.rs"]
mod common;
#[path = "support/dequantize.rs"]
mod dequantize;
#[path = "accel/levels.rs"]
mod levels;

use std::time::Duration;

use common::{divergence, off, open_with, pair};
use nestling::Code;
use nestling::adapter::Adapter;
use nestling::cancel::CancelToken;
use nestling::format::Source;
use nestling::format::gguf::{GgmlType, Writer};
use nestling::model::Model;
use nestling::options::{Auto, FlashAttn, KvType, ModelOptions, Repack, SessionOptions};
use nestling::session::Session;
use nestling::tokenizer::Tokenizer;
use support::run::{greedy, ids, logits, max_difference, open, options, session, text, tokens};
use support::{Family, Tiny, gemma3, smollm2};

/// Batches of one token, a few, more than a tile of any kernel, and what lies between.
const LENGTHS: [usize; 9] = [1, 2, 3, 8, 9, 17, 31, 64, 99];

const STORY: &str = "Once upon a time there was a miller who had a daughter, and she was the cleverest girl in the \
    country. One day the king rode by the mill and asked the miller for a cup of water. ";

fn threads(n_ctx: i64, n: i64) -> SessionOptions {
    SessionOptions { n_threads: Auto::Value(n), ..options(n_ctx) }
}

/// The engine rounds what it multiplies with quantized weights to 8 bits: it is that far from exact itself.
fn limit(weights: GgmlType) -> f64 {
    if weights.block_size() == 1 { 2e-3 } else { 2e-2 }
}

/// How far apart two models are after prompts of some lengths, and the mean of all but the greatest: rounding chooses
/// between two next tokens, or experts, of one of these prompts, and more or less between those of a few.
fn mean_apart([ours, engines]: &[Model; 2], lengths: &[usize]) -> (f64, Vec<f64>) {
    let (mut a, mut b) = (session(ours, 256), session(engines, 256));
    let apart = lengths.iter().map(|&n| {
        let prompt = ids(n, 250, n as u64);
        divergence(&logits(&mut b, &prompt).0, &logits(&mut a, &prompt).0)
    });
    let mut apart: Vec<f64> = apart.collect();
    apart.sort_by(f64::total_cmp);
    let others = &apart[..apart.len() - 1];
    (others.iter().sum::<f64>() / others.len() as f64, apart)
}

#[test]
fn every_family_and_type_says_what_the_engine_says() {
    for family in Family::ALL {
        for weights in [GgmlType::F32, GgmlType::BF16, GgmlType::Q8_0, GgmlType::Q4_K] {
            let models = pair(&Tiny::new(family).weights(weights));
            let (mean, apart) = mean_apart(&models, &LENGTHS);
            assert!(mean < limit(weights), "{family:?} {weights:?}: {apart:?}");
        }
    }
}

#[test]
fn models_that_are_used_say_what_the_engine_says() {
    let directory = tempfile::tempdir().unwrap();
    let exact = directory.path().join("f32.gguf");
    dequantize::to_f32(&smollm2(), &exact);
    let exact = open_with(&exact, &off());
    let (ours, engines) = (open(smollm2()), open_with(&smollm2(), &off()));
    let ids = Tokenizer::new(&ours).encode(&STORY.repeat(6), Default::default()).unwrap();
    let mut sessions = [&exact, &engines, &ours].map(|model| session(model, 512));
    let mut errors = [0.0; 2];
    for n in [1, 7, 30, 80, 240] {
        let [exact, engines, ours] = sessions.each_mut().map(|s| logits(s, &ids[..n]).0);
        errors[0] += divergence(&exact, &engines);
        errors[1] += divergence(&exact, &ours);
    }
    // From what the weights stand for, our kernels are no further than the engine's.
    assert!(errors[1] < 1.2 * errors[0] + 1e-3, "{errors:?}");

    let prompt = "The capital of France is";
    let say = |model: &Model| text(&mut session(model, 128), prompt, &greedy(3)).0;
    assert_eq!(say(&ours), say(&engines));

    let (ours, engines) = (open(gemma3()), open_with(&gemma3(), &off()));
    let ids = Tokenizer::new(&ours).encode(&STORY.repeat(6), Default::default()).unwrap();
    let (mut a, mut b) = (session(&ours, 512), session(&engines, 512));
    let lengths = [7, 30, 80, 240];
    let apart =
        lengths.map(|n| divergence(&logits(&mut b, &ids[..n]).0, &logits(&mut a, &ids[..n]).0));
    assert!(apart.iter().sum::<f64>() / 4.0 < 0.1, "{apart:?}");
}

#[test]
fn mixtures_of_experts_say_what_the_engine_says() {
    let types = [GgmlType::F32, GgmlType::F16, GgmlType::Q8_0, GgmlType::MXFP4, GgmlType::Q6_K];
    for weights in types {
        let tiny = Tiny { n_expert: 5, ..Tiny::new(Family::Llama) }.weights(weights);
        let models = pair(&tiny);
        let (mean, apart) = mean_apart(&models, &[1, 2, 9, 31, 99, 200]);
        assert!(mean < limit(weights), "{weights:?}: {apart:?}");
        let prompt = ids(99, 250, 99);
        let [one, two] = [1, 2].map(|n| {
            let mut session = Session::new(&models[0], &threads(256, n)).unwrap();
            logits(&mut session, &prompt).0
        });
        assert_eq!(one, two, "{weights:?}");
    }
}

#[test]
fn attention_takes_every_cache() {
    let [ours, engines] = pair(&Tiny { n_embd: 256, ..Tiny::new(Family::Gemma3) });
    let kinds = [KvType::F16, KvType::F32, KvType::Bf16, KvType::Q8_0, KvType::Q5_1, KvType::Q4_0];
    for kv_type in kinds {
        for swa_full in [true, false] {
            let o = SessionOptions { kv_type, swa_full, ..options(128) };
            let mut a = Session::new(&ours, &o).unwrap();
            let mut b = Session::new(&engines, &o).unwrap();
            for n in LENGTHS {
                let prompt = ids(n, 250, 3);
                let d = divergence(&logits(&mut b, &prompt).0, &logits(&mut a, &prompt).0);
                assert!(d < 2e-3, "{kv_type:?} {swa_full}, {n} tokens: {d}");
            }
        }
    }
    // Without the fused kernel the scores are products that stay the engine's.
    let o = SessionOptions { flash_attn: FlashAttn::Off, ..options(128) };
    let (mut a, mut b) = (Session::new(&ours, &o).unwrap(), Session::new(&engines, &o).unwrap());
    let prompt = ids(70, 250, 3);
    let d = divergence(&logits(&mut b, &prompt).0, &logits(&mut a, &prompt).0);
    assert!(d < 2e-3, "without flash attention: {d}");
}

#[test]
fn micro_batches_and_the_number_of_threads_make_no_difference_that_matters() {
    let [ours, _] = pair(&Tiny::new(Family::Llama).weights(GgmlType::Q8_0));
    let prompt = ids(99, 250, 5);
    let (expected, _) = logits(&mut session(&ours, 128), &prompt);
    for n in 2..=3 {
        let mut s = Session::new(&ours, &threads(128, n)).unwrap();
        assert_eq!(logits(&mut s, &prompt).0, expected, "{n} threads");
    }
    for n_ubatch in [1, 7, 32] {
        let o = SessionOptions { n_ubatch, ..options(128) };
        let (parts, _) = logits(&mut Session::new(&ours, &o).unwrap(), &prompt);
        let d = divergence(&expected, &parts);
        assert!(d < 2e-2, "in batches of {n_ubatch}: {d}");
    }
}

#[test]
fn sessions_side_by_side_do_not_disturb_each_other() {
    let models = pair(&Tiny::new(Family::Qwen3).weights(GgmlType::Q4_0));
    let say = |s: &mut Session, seed| tokens(s, ids(60, 250, seed), &greedy(8));
    let alone: Vec<_> = models.iter().map(|m| say(&mut session(m, 128), 1)).collect();
    std::thread::scope(|scope| {
        for i in 0..4 {
            let (model, expected) = (&models[i % 2], &alone[i % 2]);
            scope.spawn(move || {
                let mut s = Session::new(model, &threads(128, 1 + i as i64 % 2)).unwrap();
                for _ in 0..2 {
                    assert_eq!(&say(&mut s, 1), expected);
                    let mut fork = s.fork().unwrap();
                    say(&mut fork, 2);
                    s.reset();
                }
            });
        }
    });
}

#[test]
fn a_context_serves_sessions_with_other_numbers_of_threads() {
    let [ours, engines] = pair(&Tiny::new(Family::Llama));
    for model in [ours, engines] {
        let prompt = ids(30, 250, 1);
        let (expected, _) = logits(&mut session(&model, 64), &prompt);
        for n in [2, 3, 1, 2, 4, 1] {
            let mut s = Session::new(&model, &threads(64, n)).unwrap();
            assert!(max_difference(&logits(&mut s, &prompt).0, &expected) < 1e-4);
        }
    }
}

#[test]
fn adapters_work_with_kernels() {
    let lora = |rank: u64| {
        let mut w = Writer::new();
        w.set("general.type", "adapter").set("general.architecture", "llama");
        w.set("adapter.type", "lora").set("adapter.lora.alpha", 16f32);
        let values = |n: u64| -> Vec<u8> {
            (0..n).flat_map(|i| ((i * 7 % 13) as f32 / 60.0 - 0.1).to_le_bytes()).collect()
        };
        let name = "blk.0.attn_q.weight";
        w.tensor(format!("{name}.lora_a"), &[64, rank], GgmlType::F32, values(64 * rank));
        w.tensor(format!("{name}.lora_b"), &[rank, 64], GgmlType::F32, values(64 * rank));
        w.to_bytes().unwrap()
    };
    let models = pair(&Tiny::new(Family::Llama).weights(GgmlType::Q8_0));
    for rank in [1, 4, 8, 32] {
        let said = models.each_ref().map(|model| {
            let adapter = Adapter::open(model, Source::memory(lora(rank))).unwrap();
            let mut s = session(model, 128);
            let plain = logits(&mut s, &ids(50, 250, 1)).0;
            s.set_adapters(&[(adapter, 1.0)]).unwrap();
            let with = logits(&mut s, &ids(50, 250, 1)).0;
            assert!(divergence(&plain, &with) > 1e-4, "the adapter does something");
            with
        });
        let d = divergence(&said[1], &said[0]);
        assert!(d < 2e-2, "rank {rank}: {d}");
    }
}

#[test]
fn a_cancelled_prompt_leaves_a_usable_session() {
    let model = open(smollm2());
    let prompt = ids(250, 40_000, 1);
    let mut s = Session::new(&model, &threads(512, 2)).unwrap();
    let (expected, _) = logits(&mut s, &prompt);
    for after in [1, 5, 20] {
        s.reset();
        let cancel = CancelToken::new();
        let done = std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(Duration::from_millis(after));
                cancel.trigger();
            });
            s.evaluate(&prompt, &cancel)
        });
        if let Err(error) = done {
            assert_eq!(error.code(), Code::Cancelled);
        }
        s.reset();
        assert_eq!(logits(&mut s, &prompt).0, expected, "after {after} ms");
    }
}

#[test]
fn repacked_weights_stay_with_the_engine() {
    let bytes = Tiny::new(Family::Llama).weights(GgmlType::Q4_0).bytes();
    let open = |o: &ModelOptions| Model::open(Source::memory(bytes.clone()), o).unwrap();
    let repacked = open(&ModelOptions { repack: Repack::On, ..Default::default() });
    let engines = open(&ModelOptions { repack: Repack::On, ..off() });
    let prompt = ids(60, 250, 1);
    let say = |model: &Model| logits(&mut session(model, 128), &prompt).0;
    let d = divergence(&say(&engines), &say(&repacked));
    assert!(d < 2e-2, "{d}");
}

#[test]
fn the_kernels_are_no_device() {
    let before = nestling::device::devices().len();
    open(smollm2());
    let names: Vec<_> = nestling::device::devices().into_iter().map(|d| d.name).collect();
    assert_eq!(names.len(), before);
    assert!(names.iter().all(|name| !name.contains("kernels")), "{names:?}");
}
