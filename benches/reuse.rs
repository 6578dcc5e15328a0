//! Re-sending a conversation: time to the first token with the cached prefix against without, what was
//! reused against what should be, and how far the logits are apart.
//!
//! `cargo bench --bench reuse -- [THREADS [ROUNDS [TOKENS]]]` prints one JSON line per model and case.
#![allow(missing_docs, reason = "a program, not a library")]

mod models;

use std::time::Instant;

use nestling::Result;
use nestling::chat::{Message, Messages};
use nestling::model::Model;
use nestling::options::{GenerationOptions, ModelOptions, SessionOptions};
use nestling::session::{Prompt, Session};

/// A message of the text, as the conversations below use them.
const TEXT: &str = include_str!("text.txt");
const QUESTION: &str = "Thank you. Which of these people would you most like to meet, and why?";

struct Setting {
    threads: i64,
    rounds: usize,
    /// The conversation has at least this many tokens.
    tokens: usize,
}

/// One conversation to send, after `base` was sent.
struct Case {
    name: String,
    messages: Messages,
    /// Tokens that both conversations begin with.
    common: usize,
}

fn main() -> Result<()> {
    // Cargo adds `--bench`.
    let numbers: Vec<usize> = std::env::args().skip(1).filter_map(|a| a.parse().ok()).collect();
    let given = |i: usize, default: usize| numbers.get(i).copied().unwrap_or(default);
    let setting =
        Setting { threads: given(0, 2) as i64, rounds: given(1, 5).max(1), tokens: given(2, 1000) };
    for name in models::ALL {
        let model = Model::open(models::path(name), &ModelOptions::default())?;
        // Gemma's base model has no template of its own.
        let template = if model.info().chat_template.is_none() { "gemma" } else { "" };
        measure(&model, name, template, &setting)?;
    }
    Ok(())
}

fn measure(model: &Model, name: &str, template: &str, setting: &Setting) -> Result<()> {
    let options = SessionOptions {
        n_ctx: 2048.into(),
        n_threads: setting.threads.into(),
        ..SessionOptions::default()
    };
    let mut generation =
        GenerationOptions { chat_template: template.to_owned(), ..GenerationOptions::default() };
    generation.sampling.temperature = 0.0;

    let mut session = Session::new(model, &options)?;
    // The yardstick for differences: how far the logits move when nothing but the batch size changes.
    let mut small = Session::new(model, &SessionOptions { n_ubatch: 32, ..options })?;
    let base = conversation(&mut session, &generation, setting.tokens)?;
    let held = tokens(&mut session, &generation, &base, false)?;
    for case in cases(&mut session, &generation, &base, &held)? {
        let sent = tokens(&mut session, &generation, &case.messages, true)?;
        let (mut with, mut without) = (Vec::new(), Vec::new());
        let (mut reused, mut apart, mut range, mut same_token) = (0, 0f32, 0f32, true);
        let (mut whole, mut fresh_logits) = (Vec::new(), Vec::new());
        for _ in 0..setting.rounds {
            session.reset();
            session.evaluate(&held, &Default::default())?;
            let (seconds, token, logits) = first_token(&mut session, &generation, &case.messages)?;
            reused = session.stats().reused_tokens;
            with.push(seconds);

            session.reset();
            let fresh = first_token(&mut session, &generation, &case.messages)?;
            without.push(fresh.0);
            same_token &= token == fresh.1;
            apart = apart.max(difference(&logits, &fresh.2));
            whole = logits;
            fresh_logits = fresh.2;
            let (low, high) =
                fresh_logits.iter().fold((0f32, 0f32), |(l, h), &x| (l.min(x), h.max(x)));
            range = high - low;
        }
        // Nothing is reused here either, but the tokens are evaluated in the same two steps: the engine's
        // kernels for few and for many tokens round differently, and that is no error of the reuse.
        session.reset();
        session.evaluate(sent.get(..case.common).unwrap_or_default(), &Default::default())?;
        let (_, _, logits) = first_token(&mut session, &generation, &case.messages)?;
        let same_split = difference(&whole, &logits);
        small.reset();
        let (_, _, logits) = first_token(&mut small, &generation, &case.messages)?;
        let small_batches = difference(&fresh_logits, &logits);
        println!(
            "{{\"model\":{name:?},\"case\":{:?},\"held\":{},\"sent\":{},\"expected\":{},\
             \"reused\":{reused},\"with_s\":{with:?},\"without_s\":{without:?},\
             \"logits_apart\":{apart},\"same_split_apart\":{same_split},\
             \"small_batches_apart\":{small_batches},\"logits_range\":{range},\
             \"same_token\":{same_token}}}",
            case.name,
            held.len(),
            sent.len(),
            case.common
        );
    }
    Ok(())
}

/// Seconds to the first token of the answer, that token, and the logits it was taken from.
fn first_token(
    session: &mut Session,
    options: &GenerationOptions,
    messages: &Messages,
) -> Result<(f64, i32, Vec<f32>)> {
    let started = Instant::now();
    let first = session.generate(messages.clone(), options)?.next().transpose()?;
    let seconds = started.elapsed().as_secs_f64();
    Ok((seconds, first.map_or(-1, |p| p.token), session.logits()?.to_vec()))
}

fn difference(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).fold(0.0, |m, (a, b)| m.max((a - b).abs()))
}

/// Questions and answers from the text's paragraphs, until there are enough tokens.
fn conversation(
    session: &mut Session,
    options: &GenerationOptions,
    enough: usize,
) -> Result<Messages> {
    let mut messages = Messages::new();
    for (i, paragraph) in TEXT.split("\n\n").cycle().enumerate() {
        // The number makes every message different: a divergence is where it is meant to be.
        messages.push(Message::new("user", format!("Please continue with part {i}.")));
        messages.push(Message::new("assistant", format!("Part {i}. {}", paragraph.trim())));
        if tokens(session, options, &messages, false)?.len() >= enough {
            break;
        }
    }
    Ok(messages)
}

/// The whole conversation with one more message; the same with an edit at 90 % and at 50 % of its tokens.
fn cases(
    session: &mut Session,
    options: &GenerationOptions,
    base: &Messages,
    held: &[i32],
) -> Result<Vec<Case>> {
    let mut cases = Vec::new();
    for percent in [100, 90, 50] {
        let mut list = base.as_slice().to_vec();
        if percent < 100 {
            edit(session, options, &mut list, held.len() * percent / 100)?;
        }
        list.push(Message::new("user", QUESTION));
        let messages = Messages::from(list);
        let sent = tokens(session, options, &messages, true)?;
        let common = held.iter().zip(&sent).take_while(|(a, b)| a == b).count();
        cases.push(Case { name: format!("{percent} %"), messages, common });
    }
    Ok(cases)
}

/// Puts a word into the conversation, near the token at `position`.
fn edit(
    session: &mut Session,
    options: &GenerationOptions,
    list: &mut [Message],
    position: usize,
) -> Result<()> {
    let (mut start, mut end) = (0, 0);
    let mut at = 0;
    for n in 1..=list.len() {
        let front = Messages::from(list.get(..n).unwrap_or_default().to_vec());
        (start, end) = (end, tokens(session, options, &front, false)?.len());
        at = n - 1;
        if end > position {
            break;
        }
    }
    if let Some(message) = list.get_mut(at) {
        let text = message.text();
        let share = (position - start) as f64 / (end - start).max(1) as f64;
        let near = (text.len() as f64 * share) as usize;
        let space = text.get(..near).and_then(|front| front.rfind(' '));
        let (before, after) = text.split_at(space.unwrap_or(0));
        *message = Message::new(message.role(), format!("{before} indeed{after}"));
    }
    Ok(())
}

fn tokens(
    session: &mut Session,
    options: &GenerationOptions,
    messages: &Messages,
    add_generation_prompt: bool,
) -> Result<Vec<i32>> {
    let options = GenerationOptions { add_generation_prompt, ..options.clone() };
    session.encode_prompt(&Prompt::Messages(messages.clone()), &options)
}
