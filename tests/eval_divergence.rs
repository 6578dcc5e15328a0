//! How far two models are apart on a text: against the logits of sessions, and what is refused.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

mod support;

use nestling::Code;
use nestling::cancel::CancelToken;
use nestling::eval::divergence;
use nestling::format::Source;
use nestling::job::Monitor;
use nestling::model::Model;
use nestling::options::{Auto, EvaluationOptions, ModelOptions};
use nestling::tokenizer::{EncodeOptions, Tokenizer};
use support::run::{logits, session, tiny};
use support::{Family, Tiny};

const TEXT: &str = "hello world, the cat sat on the old stone wall and the sun is in the sky";

fn options() -> EvaluationOptions {
    EvaluationOptions { n_threads: Auto::Value(1), ..EvaluationOptions::default() }
}

/// A model with other weights and the same vocabulary.
fn other(family: Family) -> Model {
    let made = Tiny { seed: 99, ..Tiny::new(family) };
    Model::open(Source::memory(made.bytes()), &ModelOptions::default()).unwrap()
}

fn log_softmax(logits: &[f32]) -> Vec<f64> {
    let max = f64::from(logits.iter().copied().fold(f32::MIN, f32::max));
    let sum: f64 = logits.iter().map(|&l| (f64::from(l) - max).exp()).sum();
    logits.iter().map(|&l| f64::from(l) - max - sum.ln()).collect()
}

#[test]
fn a_model_is_no_distance_from_itself() {
    for family in Family::ALL {
        let model = tiny(family);
        let found = divergence(&model, &model, TEXT, &options(), &Monitor::default()).unwrap();
        assert!(found.kl.abs() < 1e-9 && found.kl_max.abs() < 1e-9, "{family:?}: {found:?}");
        assert_eq!((found.same_top, found.loss), (1.0, found.reference_loss), "{family:?}");
    }
}

#[test]
fn the_numbers_are_those_of_the_logits_of_two_sessions() {
    let (reference, model) = (tiny(Family::Llama), other(Family::Llama));
    let found = divergence(&reference, &model, TEXT, &options(), &Monitor::default()).unwrap();
    let encoding = EncodeOptions { add_special: true, ..EncodeOptions::default() };
    let tokens = Tokenizer::new(&reference).encode(TEXT, encoding).unwrap();
    let (mut a, mut b) = (session(&reference, 128), session(&model, 128));
    let (mut kl, mut loss, mut reference_loss) = (0.0, 0.0, 0.0);
    for i in 1..tokens.len() {
        let p = log_softmax(&logits(&mut a, &tokens[..i]).0);
        let q = log_softmax(&logits(&mut b, &tokens[..i]).0);
        kl += p.iter().zip(&q).map(|(p, q)| p.exp() * (p - q)).sum::<f64>();
        loss -= q[tokens[i] as usize];
        reference_loss -= p[tokens[i] as usize];
    }
    let n = (tokens.len() - 1) as f64;
    assert_eq!(found.tokens, tokens.len() as u64 - 1);
    for (found, expected) in
        [(found.kl, kl), (found.loss, loss), (found.reference_loss, reference_loss)]
    {
        assert!((found - expected / n).abs() < 2e-3 * (1.0 + expected / n), "{found} {expected}");
    }
    assert!(found.kl > 0.0 && found.kl_max >= found.kl && found.same_top < 1.0);
}

#[test]
fn a_text_longer_than_the_window_is_read_in_several() {
    let (reference, model) = (tiny(Family::Qwen2), other(Family::Qwen2));
    let whole = divergence(&reference, &model, TEXT, &options(), &Monitor::default()).unwrap();
    let short = EvaluationOptions { n_ctx: Auto::Value(8), ..options() };
    let parts = divergence(&reference, &model, TEXT, &short, &Monitor::default()).unwrap();
    // The last token of each window predicts nothing.
    assert!(parts.tokens < whole.tokens && parts.tokens * 2 > whole.tokens);
}

#[test]
fn what_cannot_be_compared_is_refused() {
    let model = tiny(Family::Llama);
    let refused = |reference: &Model, text: &str, monitor: &Monitor| {
        divergence(reference, &model, text, &options(), monitor).unwrap_err()
    };
    assert_eq!(refused(&model, "", &Monitor::default()).code(), Code::TextTooShort);
    let strange = refused(&tiny(Family::Gemma3), TEXT, &Monitor::default());
    assert_eq!(strange.code(), Code::InvalidArgument);
    assert!(strange.message().contains("vocabulary"), "{strange}");
    let cancelled = CancelToken::new();
    cancelled.trigger();
    assert_eq!(refused(&model, TEXT, &Monitor::new(cancelled)).code(), Code::Cancelled);
}
