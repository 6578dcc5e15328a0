//! Models with an encoder and a decoder: the prompt is read as a whole, the answer follows token by token.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

mod support;

use nestling::cancel::CancelToken;
use nestling::generation::Generation;
use nestling::model::Model;
use nestling::options::{
    Accel, Auto, ContextFull, FlashAttn, GenerationOptions, KvType, SessionOptions,
};
use nestling::session::Session;
use nestling::tokenizer::{EncodeOptions, Tokenizer};
use nestling::{Code, Result};
use support::encoders::{floats, golden, ids};
use support::run;

/// Exact enough to be compared.
fn exact(n_ctx: i64) -> SessionOptions {
    SessionOptions { kv_type: KvType::F32, flash_attn: FlashAttn::Off, ..run::options(n_ctx) }
}

fn session(model: &Model) -> Session {
    Session::new(model, &exact(64)).unwrap()
}

fn code<T>(result: Result<T>) -> Code {
    result.map(|_| ()).unwrap_err().code()
}

/// The logits of each step of a greedy answer, and its tokens.
fn steps(session: &mut Session, text: &str, n: i64) -> (Vec<Vec<f32>>, Vec<i32>) {
    let mut generation = Generation::new(text, &run::greedy(n), CancelToken::new()).unwrap();
    let (mut logits, mut tokens) = (Vec::new(), Vec::new());
    while let Some(piece) = generation.next(session).unwrap() {
        logits.push(session.logits().unwrap().to_vec());
        tokens.push(piece.token);
    }
    (logits, tokens)
}

#[test]
fn t5_gives_what_transformers_gives() {
    for name in ["t5", "t5-gated"] {
        let golden = golden(name);
        for accel in [Accel::Auto, Accel::Off] {
            let model = golden.open(accel);
            let mut session = session(&model);
            for case in golden.cases() {
                let text = case["text"].as_str().unwrap();
                let o = EncodeOptions { add_special: true, parse_special: false };
                let tokens = Tokenizer::new(&model).encode(text, o).unwrap();
                assert_eq!(tokens, ids(&case["tokens"]), "{text}");
                let wanted = case["logits"].as_array().unwrap();
                let (found, answer) = steps(&mut session, text, wanted.len() as i64);
                assert_eq!(answer, ids(&case["answer"]), "{name} {text}");
                for (found, wanted) in found.iter().zip(wanted) {
                    let difference = run::max_difference(found, &floats(wanted));
                    assert!(difference < 1e-3, "{name} {accel:?}: {difference}");
                }
            }
        }
    }
}

#[test]
fn fused_attention_and_a_small_cache_change_little() {
    let golden = golden("t5-gated");
    let model = golden.open(Accel::Auto);
    let mut session = Session::new(&model, &run::options(64)).unwrap();
    let (found, _) = steps(&mut session, golden.texts()[1], 1);
    let wanted = floats(&golden.cases()[1]["logits"][0]);
    assert!(run::max_difference(&found[0], &wanted) < 2e-2);
}

#[test]
fn a_prompt_is_read_once() {
    let model = golden("t5-gated").open(Accel::Auto);
    let mut session = session(&model);
    let (first, reused) = run::logits(&mut session, &[7, 15, 38, 1]);
    assert_eq!(reused, 0);
    assert_eq!(session.tokens().collect::<Vec<_>>(), [0]);
    let (again, reused) = run::logits(&mut session, &[7, 15, 38, 1]);
    assert_eq!((again == first, reused), (true, 4));
    let (other, reused) = run::logits(&mut session, &[7, 15, 1]);
    assert_eq!((other == first, reused), (false, 0));
    assert_eq!(run::logits(&mut session, &[7, 15, 38, 1]).0, first);
    session.reset();
    assert_eq!(code(session.logits().map(<[f32]>::to_vec)), Code::WrongState);
    assert_eq!(run::logits(&mut session, &[7, 15, 38, 1]), (first, 0));
}

#[test]
fn a_fork_and_a_saved_session_go_on_alike() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state");
    let golden = golden("t5-gated");
    let model = golden.open(Accel::Auto);
    let mut whole = session(&model);
    let text = golden.texts()[3];
    let expected = steps(&mut whole, text, 8);

    let mut first = session(&model);
    let mut generation = Generation::new(text, &run::greedy(8), CancelToken::new()).unwrap();
    for _ in 0..3 {
        generation.next(&mut first).unwrap();
    }
    first.save(&path).unwrap();
    let mut forked = first.fork().unwrap();
    let mut loaded = Session::load(&model, &path, &exact(64)).unwrap();
    assert_eq!(loaded.tokens().collect::<Vec<_>>(), first.tokens().collect::<Vec<_>>());
    while generation.next(&mut first).unwrap().is_some() {}
    assert_eq!(first.logits().unwrap(), expected.0[7]);
    for session in [&mut forked, &mut loaded] {
        // The prompt is known, and its answer the same.
        let tokens = Tokenizer::new(&model)
            .encode(text, EncodeOptions { add_special: true, parse_special: false })
            .unwrap();
        let (logits, reused) = run::logits(session, &tokens);
        assert_eq!((logits == expected.0[0], reused), (true, tokens.len()));
        assert_eq!(steps(session, text, 8), expected);
    }
}

#[test]
fn what_an_encoder_cannot_do_is_refused() {
    let golden = golden("t5");
    let model = golden.open(Accel::Auto);
    let shift = SessionOptions { context_full: ContextFull::Shift, ..exact(64) };
    assert_eq!(code(Session::new(&model, &shift)), Code::CannotShift);
    let mut session = Session::new(&model, &exact(16)).unwrap();
    let cancel = CancelToken::new();
    assert_eq!(code(session.evaluate(&[], &cancel)), Code::EmptyPrompt);
    assert_eq!(code(session.evaluate(&[1; 17], &cancel)), Code::PromptTooLong);
    assert_eq!(code(session.evaluate(&[100_000], &cancel)), Code::InvalidToken);
    cancel.trigger();
    assert_eq!(code(session.evaluate(&[3, 1], &cancel)), Code::Cancelled);
    // An answer that is longer than the context.
    let mut stream = session.generate("why", &run::greedy(40)).unwrap();
    let pieces: Vec<_> = stream.by_ref().map(|piece| piece.map(|p| p.token)).collect();
    assert_eq!(pieces.len(), 17);
    assert_eq!(code(pieces.into_iter().next_back().unwrap()), Code::ContextFull);
    let append = GenerationOptions { append: true, ..run::greedy(4) };
    let refused = session.generate("why", &append).unwrap().text();
    assert_eq!(code(refused), Code::Unsupported);
    assert!(session.generate("why", &run::greedy(4)).unwrap().text().is_ok());
}

#[test]
fn a_session_leaves_its_text_to_no_other() {
    let model = golden("t5").open(Accel::Auto);
    let expected = run::logits(&mut session(&model), &[7, 15, 1]).0;
    let mut other = session(&model);
    run::logits(&mut other, &[7, 15, 38, 1]);
    drop(other);
    assert_eq!(run::logits(&mut session(&model), &[7, 15, 1]), (expected, 0));
}

#[test]
fn bert_has_no_session() {
    let model = golden("bert-mean").open(Accel::Auto);
    let refused = Session::new(&model, &exact(64)).unwrap_err();
    assert_eq!(refused.code(), Code::Unsupported);
    assert!(refused.message().contains("embed"), "{refused}");
    assert_eq!(code(model.plan(&exact(64))), Code::Unsupported);
}

#[test]
fn a_session_is_planned() {
    let model = golden("t5").open(Accel::Auto);
    let options = SessionOptions { n_ctx: Auto::Value(64), ..run::options(64) };
    let plan = model.plan(&options).unwrap();
    let session = Session::new(&model, &options).unwrap();
    assert_eq!(plan.kv_cache, session.stats().kv_cache_bytes);
    assert!(plan.compute > 0 && plan.fits);
}
