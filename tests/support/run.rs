//! Opening models and sessions the way most tests want them.

use std::path::Path;

use nestling::cancel::CancelToken;
use nestling::format::Source;
use nestling::generation::EndReason;
use nestling::model::Model;
use nestling::options::{Auto, GenerationOptions, ModelOptions, SessionOptions};
use nestling::session::{Prompt, Session};

use super::{Family, Tiny};

/// A tiny model, loaded from memory.
pub fn tiny(family: Family) -> Model {
    let source = Source::memory(Tiny::new(family).bytes());
    Model::open(source, &ModelOptions::default()).unwrap()
}

/// A model file.
pub fn open(path: impl AsRef<Path>) -> Model {
    Model::open(path.as_ref(), &ModelOptions::default()).unwrap()
}

/// A context of `n_ctx` tokens, and one thread: tests run side by side, and the engine's threads spin.
pub fn options(n_ctx: i64) -> SessionOptions {
    SessionOptions { n_ctx: Auto::Value(n_ctx), n_threads: Auto::Value(1), ..Default::default() }
}

/// A session with [`options`].
pub fn session(model: &Model, n_ctx: i64) -> Session {
    Session::new(model, &options(n_ctx)).unwrap()
}

/// `n` tokens, greedy, whatever the model thinks of ending.
pub fn greedy(n: i64) -> GenerationOptions {
    let mut o =
        GenerationOptions { max_tokens: Auto::Value(n), ignore_eos: true, ..Default::default() };
    o.sampling.temperature = 0.0;
    o
}

/// `n` tokens at temperature 1 from a seed.
pub fn seeded(n: i64, seed: i64) -> GenerationOptions {
    let mut o = greedy(n);
    o.sampling.temperature = 1.0;
    o.sampling.seed = Auto::Value(seed);
    o
}

/// The tokens of an answer.
pub fn tokens(session: &mut Session, prompt: impl Into<Prompt>, o: &GenerationOptions) -> Vec<i32> {
    session.generate(prompt, o).unwrap().map(|p| p.unwrap().token).collect()
}

/// The text of an answer and why it ended.
pub fn text(
    session: &mut Session,
    prompt: impl Into<Prompt>,
    o: &GenerationOptions,
) -> (String, Option<EndReason>) {
    let mut stream = session.generate(prompt, o).unwrap();
    let text = stream.text().unwrap();
    (text, stream.end_reason())
}

/// The logits after `tokens`, and how many of them were reused.
pub fn logits(session: &mut Session, tokens: &[i32]) -> (Vec<f32>, usize) {
    let done = session.evaluate(tokens, &CancelToken::new()).unwrap();
    (session.logits().unwrap().to_vec(), done.reused)
}

/// The largest difference of two rows of logits.
pub fn max_difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

/// `n` token ids that repeat seldom, below `n_vocab`, the same for the same seed.
pub fn ids(n: usize, n_vocab: usize, seed: u64) -> Vec<i32> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) as usize
    };
    (0..n).map(|_| (10 + next() % (n_vocab - 20)) as i32).collect()
}
