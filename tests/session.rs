//! Sessions: what is reused, what a full context does, forks, cancelling.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

mod support;

use nestling::Code;
use nestling::cancel::CancelToken;
use nestling::chat::{Message, Messages};
use nestling::generation::Generation;
use nestling::options::{Auto, ContextFull, SessionOptions};
use nestling::session::Session;
use support::run::{
    greedy, ids, logits, max_difference, open, options, session, text, tiny, tokens,
};
use support::{Family, gemma3, smollm2};

/// Logits of the same tokens, computed in batches of other sizes, agree within this share of their range: the
/// engine chooses its matrix and attention kernels by batch size, and its cache rounds to 16 bits.
const BOUND: f32 = 0.05;

/// The distance from the lowest to the highest logit.
fn range(logits: &[f32]) -> f32 {
    let (low, high) = logits.iter().fold((f32::MAX, f32::MIN), |(l, h), &x| (l.min(x), h.max(x)));
    high - low
}

#[test]
fn a_common_prefix_is_reused_and_changes_nothing() {
    for family in [Family::Llama, Family::Qwen2, Family::Gemma3, Family::Gpt2, Family::Phi3] {
        let model = tiny(family);
        let n_vocab = model.info().tokenizer.n_vocab as usize;
        let first = ids(60, n_vocab, 1);
        for divergence in [0, 1, 30, 59, 60] {
            let mut second = first[..divergence].to_vec();
            second.extend(ids(20, n_vocab, 2));
            let mut warm = session(&model, 128);
            logits(&mut warm, &first);
            let (ours, reused) = logits(&mut warm, &second);
            let (fresh, none) = logits(&mut session(&model, 128), &second);
            assert_eq!((reused, none), (divergence, 0), "{family:?}");
            let apart = max_difference(&ours, &fresh) / range(&fresh);
            assert!(apart < BOUND, "{family:?} at {divergence}: {apart}");
            assert_eq!(warm.tokens().collect::<Vec<_>>(), second);
        }
        // Evaluated in the same steps, nothing differs at all.
        for divergence in [1, 30, 59] {
            let (head, mut second) = (&first[..divergence], first[..divergence].to_vec());
            second.extend(ids(20, n_vocab, 2));
            let (mut warm, mut plain) = (session(&model, 128), session(&model, 128));
            for prompt in [head, &first] {
                logits(&mut warm, prompt);
            }
            logits(&mut plain, head);
            let (ours, same) = (logits(&mut warm, &second), logits(&mut plain, &second));
            assert_eq!(ours, same, "{family:?} at {divergence}");
        }
        // The same prompt again: all but the last token, whose logits are wanted.
        let mut warm = session(&model, 128);
        logits(&mut warm, &first);
        assert_eq!(logits(&mut warm, &first).1, 59);
    }
}

#[test]
fn a_sliding_window_is_never_reused_beyond_what_the_cache_holds() {
    let model = open(gemma3());
    let n_vocab = model.info().tokenizer.n_vocab as usize;
    assert_eq!(model.info().n_swa, Some(512));
    let first = ids(1400, n_vocab, 1);
    for (swa_full, divergence, reused) in
        [(false, 300, 0), (false, 1395, 1395), (true, 300, 300), (true, 1395, 1395)]
    {
        let o = SessionOptions { swa_full, n_ubatch: 128, ..options(2048) };
        let mut second = first[..divergence].to_vec();
        second.extend(ids(8, n_vocab, 2));
        // In the same steps, so that what must not differ is equal to the last bit.
        let (mut warm, mut fresh) =
            (Session::new(&model, &o).unwrap(), Session::new(&model, &o).unwrap());
        logits(&mut warm, &first[..divergence]);
        logits(&mut warm, &first);
        if reused > 0 {
            logits(&mut fresh, &first[..divergence]);
        }
        let (ours, n) = logits(&mut warm, &second);
        assert_eq!(n, reused, "swa_full={swa_full} divergence={divergence}");
        let (fresh, _) = logits(&mut fresh, &second);
        assert!(ours == fresh, "swa_full={swa_full} divergence={divergence}");
    }
}

#[test]
fn a_conversation_only_evaluates_what_is_new() {
    let model = open(smollm2());
    let mut s = session(&model, 1024);
    let mut messages = Messages::new();
    messages.push(Message::new("system", "You answer in one word."));
    messages.push(Message::new("user", "What is the capital of France?"));
    let (answer, _) = text(&mut s, messages.clone(), &greedy(8));
    let held = s.position();
    messages.push(Message::new("assistant", answer));
    messages.push(Message::new("user", "And of Italy?"));
    text(&mut s, messages, &greedy(4));
    let stats = *s.stats();
    assert!(stats.reused_tokens as usize + 2 >= held - 8 && stats.reused_tokens > 25, "{stats:?}");
    assert!(stats.prompt_tokens - stats.reused_tokens < 40, "{stats:?}");
}

#[test]
fn a_full_context_is_an_error_or_a_shift() {
    let model = tiny(Family::Llama);
    let prompt = ids(20, 250, 3);
    let mut s = session(&model, 32);
    let result: Result<Vec<_>, _> = s.generate(prompt.clone(), &greedy(100)).unwrap().collect();
    let error = result.unwrap_err();
    assert_eq!(error.code(), Code::ContextFull);
    assert!(error.message().contains("context_full=shift"), "{error}");
    assert_eq!(s.position(), 32);
    // Usable afterwards.
    assert_eq!(tokens(&mut s, prompt.clone(), &greedy(3)).len(), 3);

    let o =
        SessionOptions { context_full: ContextFull::Shift, n_keep: Auto::Value(4), ..options(32) };
    let mut s = Session::new(&model, &o).unwrap();
    assert_eq!(tokens(&mut s, prompt.clone(), &greedy(100)).len(), 100);
    let held: Vec<_> = s.tokens().collect();
    assert!(held.len() <= 33);
    assert_eq!(held[..4], prompt[..4], "the kept prefix stays");
    // What was computed before the shift may only be reused where it is what a fresh run would give.
    let (ours, reused) = logits(&mut s, &held[..20]);
    assert!(reused <= 4, "{reused}");
    let (fresh, _) = logits(&mut session(&model, 32), &held[..20]);
    assert!(max_difference(&ours, &fresh) < BOUND * range(&fresh));
}

#[test]
fn models_that_cannot_shift_say_so_at_once() {
    let o = SessionOptions { context_full: ContextFull::Shift, ..options(32) };
    let error = Session::new(&tiny(Family::Gpt2), &o).unwrap_err();
    assert_eq!(error.code(), Code::CannotShift);
    // A cache of the window's size only holds the last tokens.
    let o = SessionOptions { swa_full: false, n_ubatch: 32, n_ctx: Auto::Value(2048), ..o };
    let error = Session::new(&tiny(Family::Gemma3), &o).unwrap_err();
    assert!(error.message().contains("swa_full=true"), "{error}");
}

#[test]
fn a_fork_goes_its_own_way() {
    for family in [Family::Llama, Family::Gemma3] {
        let model = tiny(family);
        let mut a = session(&model, 128);
        let head = tokens(&mut a, ids(40, 250, 4), &greedy(5));
        let mut b = a.fork().unwrap();
        assert_eq!(a.tokens().collect::<Vec<_>>(), b.tokens().collect::<Vec<_>>());
        let mut append = greedy(10);
        append.append = true;
        let from_fork = tokens(&mut b, Vec::new(), &append);
        // The original was not touched by its fork, and both equal one uninterrupted run.
        let from_original = tokens(&mut a, Vec::new(), &append);
        assert_eq!(from_original, from_fork, "{family:?}");
        let whole = tokens(&mut session(&model, 128), ids(40, 250, 4), &greedy(15));
        assert_eq!([head, from_fork].concat(), whole, "{family:?}");
    }
}

#[test]
fn cancelling_leaves_a_session_that_knows_where_it_is() {
    let model = tiny(Family::Llama);
    let o = SessionOptions { n_ubatch: 1, ..options(8192) };
    let mut s = Session::new(&model, &o).unwrap();
    let prompt = ids(8000, 250, 5);
    let cancel = CancelToken::new();
    let other = cancel.clone();
    let error = std::thread::scope(|scope| {
        scope.spawn(move || other.trigger());
        s.evaluate(&prompt, &cancel).unwrap_err()
    });
    assert_eq!(error.code(), Code::Cancelled);
    let at = s.position();
    assert!(at < prompt.len());
    assert_eq!(s.tokens().collect::<Vec<_>>(), prompt[..at]);
    let short = &prompt[..50];
    let (ours, _) = logits(&mut s, short);
    let (fresh, _) = logits(&mut session(&model, 128), short);
    assert!(max_difference(&ours, &fresh) < BOUND * range(&fresh));

    let used = CancelToken::new();
    used.trigger();
    let error = s.generate_with(short, &greedy(1), used).unwrap().next().unwrap().unwrap_err();
    assert_eq!(error.code(), Code::Cancelled);
    assert_eq!(tokens(&mut s, short, &greedy(3)).len(), 3);
}

#[test]
fn the_newer_generation_wins() {
    let model = tiny(Family::Llama);
    let mut s = session(&model, 64);
    let mut first = Generation::new(ids(5, 250, 6), &greedy(9), CancelToken::new()).unwrap();
    first.next(&mut s).unwrap().unwrap();
    let mut second = Generation::new(ids(5, 250, 7), &greedy(2), CancelToken::new()).unwrap();
    second.next(&mut s).unwrap().unwrap();
    assert_eq!(first.next(&mut s).unwrap_err().code(), Code::WrongState);
    assert!(first.next(&mut s).unwrap().is_none());
    assert!(second.next(&mut s).unwrap().is_some());
    s.reset();
    assert_eq!(s.position(), 0);
    assert_eq!(s.logits().unwrap_err().code(), Code::WrongState);
}

#[test]
fn bad_prompts_are_errors_that_lose_nothing() {
    let model = tiny(Family::Llama);
    let mut s = session(&model, 32);
    logits(&mut s, &ids(10, 250, 8));
    for (prompt, code) in [
        (vec![], Code::EmptyPrompt),
        (ids(33, 250, 9), Code::PromptTooLong),
        (vec![1, -1], Code::InvalidToken),
        (vec![1, i32::MAX], Code::InvalidToken),
    ] {
        let error = s.generate(prompt, &greedy(1)).unwrap().next().unwrap().unwrap_err();
        assert_eq!(error.code(), code, "{error}");
        assert_eq!(s.position(), 10);
    }
    let mut append = greedy(1);
    append.append = true;
    let error = s.generate(ids(23, 250, 9), &append).unwrap().next().unwrap().unwrap_err();
    assert_eq!(error.code(), Code::PromptTooLong);
    assert_eq!(tokens(&mut s, ids(22, 250, 9), &append).len(), 1);
}

#[test]
fn sessions_of_one_model_run_at_the_same_time() {
    let model = tiny(Family::Qwen3);
    let expected = tokens(&mut session(&model, 64), ids(10, 250, 10), &greedy(20));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..3 {
                    let o = SessionOptions { n_threads: Auto::Value(1), ..options(64) };
                    let mut s = Session::new(&model, &o).unwrap();
                    assert_eq!(tokens(&mut s, ids(10, 250, 10), &greedy(20)), expected);
                }
            });
        }
    });
    model.trim();
}
