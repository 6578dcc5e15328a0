//! An answer, piece by piece.

mod stop;
mod stream;

use std::time::Instant;

use serde::Serialize;

use crate::adapter::Adapter;
use crate::cancel::CancelToken;
use crate::error::{Result, bail};
use crate::options::{GenerationOptions, Options};
use crate::sampling::TokenLogprob;
use crate::session::{Prompt, Session};
use crate::tokenizer::StreamDecoder;
use stop::StopFilter;
pub use stream::Stream;

/// One step of an answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Piece {
    /// The token's id; -1 for a last piece that only gives text held back before.
    pub token: i32,
    /// Text that is complete with this token: whole characters; empty while a character or a possible
    /// stop text is unfinished.
    pub text: String,
    /// Natural logarithm of the token's probability under the model, before sampling options; if asked.
    pub logprob: Option<f32>,
    /// The most likely tokens at this step, best first; if asked.
    pub top: Vec<TokenLogprob>,
}

/// Why an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[repr(i32)]
#[non_exhaustive]
pub enum EndReason {
    /// The model ended it.
    Eos = 1,
    /// A stop text appeared.
    StopText = 2,
    /// A token of `stop_tokens` appeared.
    StopToken = 3,
    /// `max_tokens` were given.
    MaxTokens = 4,
}

/// A generation that is not tied to a borrow of its session: each [`next`](Self::next) is given the
/// session. Most Rust code uses [`Session::generate`] instead.
#[derive(Debug)]
pub struct Generation {
    prompt: Option<Prompt>,
    options: GenerationOptions,
    adapters: Vec<(Adapter, f32)>,
    cancel: CancelToken,
    epoch: u64,
    decoder: StreamDecoder,
    stop: StopFilter,
    generated: u64,
    ended: bool,
    reason: Option<EndReason>,
    bytes: Vec<u8>,
}

impl Generation {
    /// Records what to do; the first [`next`](Self::next) evaluates the prompt.
    ///
    /// # Errors
    /// `InvalidOption`.
    pub fn new(
        prompt: impl Into<Prompt>,
        options: &GenerationOptions,
        cancel: CancelToken,
    ) -> Result<Self> {
        options.validate()?;
        if options.stop.iter().any(String::is_empty) {
            bail!(
                InvalidOption,
                "generation option stop: an empty text would end every answer at once"
            )
        }
        Ok(Self {
            prompt: Some(prompt.into()),
            stop: StopFilter::new(&options.stop),
            options: options.clone(),
            adapters: Vec::new(),
            cancel,
            epoch: 0,
            decoder: StreamDecoder::default(),
            generated: 0,
            ended: false,
            reason: None,
            bytes: Vec::new(),
        })
    }

    /// Uses these adapters with their scales for this answer; without any, it uses those of the session. A session
    /// keeps its cache from one answer to the next as long as they use the same.
    #[must_use]
    pub fn with_adapters(mut self, adapters: Vec<(Adapter, f32)>) -> Self {
        self.adapters = adapters;
        self
    }

    /// The next piece; `None` when the answer has ended. After an error the generation has ended; the
    /// session is usable, and holds what was evaluated.
    ///
    /// # Errors
    /// Those of the prompt (`EmptyPrompt`, `PromptTooLong`, ...), `Cancelled`, `ContextFull`,
    /// `WrongState` if the session has begun another generation.
    pub fn next(&mut self, session: &mut Session) -> Result<Option<Piece>> {
        if self.ended {
            return Ok(None);
        }
        let piece = self.step(session);
        if !matches!(piece, Ok(Some(_))) {
            self.ended = true;
        }
        piece
    }

    /// Why the answer ended; `None` while it goes on, and after an error.
    pub fn end_reason(&self) -> Option<EndReason> {
        self.reason
    }

    /// How many tokens were given.
    pub fn generated(&self) -> u64 {
        self.generated
    }

    fn step(&mut self, session: &mut Session) -> Result<Option<Piece>> {
        let started = Instant::now();
        self.cancel.check("the generation")?;
        let first = self.prompt.is_some();
        match self.prompt.take() {
            Some(prompt) => self.start(session, &prompt, started)?,
            None if session.epoch() != self.epoch => bail!(
                WrongState,
                "the session has begun another generation or was reset; this one cannot go on"
            ),
            None => session.advance(&self.cancel)?,
        }
        if self.limit() == Some(0) {
            self.reason = Some(EndReason::MaxTokens);
            return Ok(None);
        }
        let piece = self.choose(session)?;
        let seconds = started.elapsed().as_secs_f64();
        let stats = session.stats_mut();
        stats.generated_tokens = self.generated;
        if first {
            stats.first_token_seconds = seconds;
        } else {
            stats.generation_seconds += seconds;
        }
        Ok(piece)
    }

    fn start(&mut self, session: &mut Session, prompt: &Prompt, started: Instant) -> Result<()> {
        let n_vocab = session.tokenizer().n_vocab();
        let outside = |id: &&i64| usize::try_from(**id).is_ok_and(|id| id >= n_vocab);
        if let Some(bad) = self.options.stop_tokens.iter().find(outside) {
            bail!(
                InvalidToken,
                "stop_tokens: token {bad} is outside the vocabulary; give an id from 0 to {}",
                n_vocab.saturating_sub(1)
            )
        }
        session.choose_adapters(&self.adapters)?;
        self.epoch = session.begin();
        session.prepare_sampler(&self.options.sampling)?;
        let encoded = session.encode(prompt, &self.options)?;
        let done = if self.options.append {
            session.append(&encoded.tokens, &self.cancel)?
        } else {
            session.keep(encoded.n_keep);
            session.hold(&encoded.tokens, &self.cancel)?
        };
        let stats = session.stats_mut();
        stats.prompt_tokens = (done.reused + done.evaluated) as u64;
        stats.reused_tokens = done.reused as u64;
        stats.prompt_seconds = started.elapsed().as_secs_f64();
        stats.generated_tokens = 0;
        stats.generation_seconds = 0.0;
        Ok(())
    }

    /// Chooses the next token and makes its piece.
    fn choose(&mut self, session: &mut Session) -> Result<Option<Piece>> {
        let (sampler, logits, tokens) = session.sampling()?;
        let token = sampler.sample(logits, tokens)?;
        let wanted = self.options.top_logprobs.max(0) as usize;
        let (mut logprob, mut top) = (None, Vec::new());
        if self.options.logprobs || wanted > 0 {
            let found = sampler.probabilities(logits, token, wanted)?;
            logprob = Some(found.logprob);
            top = found.top;
        }
        session.accept(token);

        if self.options.stop_tokens.contains(&i64::from(token)) {
            return Ok(self.end(EndReason::StopToken));
        }
        if session.tokenizer().ends_generation(token) && !self.options.ignore_eos {
            return Ok(self.end(EndReason::Eos));
        }
        self.generated += 1;
        let text = self.text_of(session, token)?;
        let (mut text, stopped) = self.stop.push(&text);
        if stopped {
            self.finish(EndReason::StopText);
        } else if self.limit() == Some(self.generated) {
            text += &self.rest();
            self.finish(EndReason::MaxTokens);
        }
        Ok(Some(Piece { token, text, logprob, top }))
    }

    fn text_of(&mut self, session: &Session, token: i32) -> Result<String> {
        self.bytes.clear();
        let tokenizer = session.tokenizer();
        // Without a tokenizer there are only ids.
        if tokenizer.exists() {
            tokenizer.piece(token, self.options.emit_special, &mut self.bytes)?;
        }
        Ok(self.decoder.push(&self.bytes))
    }

    /// Ends without a token of its own; text held back before becomes a last piece.
    fn end(&mut self, reason: EndReason) -> Option<Piece> {
        self.finish(reason);
        let text = self.rest();
        (!text.is_empty()).then(|| Piece { token: -1, text, logprob: None, top: Vec::new() })
    }

    /// The text that was held back. It may still hold a stop text that an unfinished character completed.
    fn rest(&mut self) -> String {
        let tail = self.decoder.finish();
        let (mut text, stopped) = self.stop.push(&tail);
        if !stopped {
            text += &self.stop.finish();
        }
        text
    }

    fn finish(&mut self, reason: EndReason) {
        self.ended = true;
        self.reason = Some(reason);
    }

    fn limit(&self) -> Option<u64> {
        self.options.max_tokens.value().and_then(|n| u64::try_from(n).ok())
    }
}
