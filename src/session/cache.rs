//! What the cache holds: reuse of a common prefix, evaluation, shift.

use std::time::Instant;

use super::Session;
use crate::cancel::CancelToken;
use crate::error::{Result, bail};
use crate::options::ContextFull;

/// What evaluating a prompt did, in tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Evaluated {
    /// Tokens of the prompt that the cache held already.
    pub reused: usize,
    /// Tokens that were evaluated.
    pub evaluated: usize,
}

impl Session {
    /// Makes the session hold exactly `tokens`, evaluating only what the cache does not hold, and keeps
    /// the logits of the last one.
    ///
    /// # Errors
    /// `EmptyPrompt`, `PromptTooLong`, `InvalidToken`, `Cancelled`; after an error the session holds the
    /// part that was evaluated.
    pub fn evaluate(&mut self, tokens: &[i32], cancel: &CancelToken) -> Result<Evaluated> {
        self.choose_adapters(&[])?;
        self.hold(tokens, cancel)
    }

    /// As [`evaluate`](Self::evaluate), with the adapters that are attached.
    pub(crate) fn hold(&mut self, tokens: &[i32], cancel: &CancelToken) -> Result<Evaluated> {
        let Some(last) = tokens.len().checked_sub(1) else {
            bail!(EmptyPrompt, "the prompt is empty; give at least one token")
        };
        self.check_tokens(tokens)?;
        if tokens.len() > self.n_ctx() {
            bail!(
                PromptTooLong,
                "the prompt has {} tokens, the context holds {}; shorten it or open the session with a \
                 larger n_ctx",
                tokens.len(),
                self.n_ctx()
            )
        }
        if self.has_encoder() {
            return self.answer(tokens, cancel);
        }
        let reused = self.reusable(tokens, last);
        let reused = self.cut(reused)?;
        self.pending.clear();
        let rest = tokens.get(reused..).unwrap_or_default();
        self.feed(rest, cancel)?;
        Ok(Evaluated { reused, evaluated: rest.len() })
    }

    /// Puts `tokens`, after those that wait, behind what the cache holds.
    pub(crate) fn append(&mut self, tokens: &[i32], cancel: &CancelToken) -> Result<Evaluated> {
        self.check_tokens(tokens)?;
        if self.has_encoder() {
            bail!(
                Unsupported,
                "this model's encoder reads a prompt as a whole: nothing can be appended to it; set append=false"
            )
        }
        let all = [self.pending.as_slice(), tokens].concat();
        if all.is_empty() {
            bail!(EmptyPrompt, "there is nothing to append; give at least one token")
        }
        let (held, room) = (self.tokens.len(), self.n_ctx());
        let fits = match self.options.context_full {
            // A shift keeps the front and frees half of the rest, as often as needed.
            ContextFull::Shift => self.n_keep + all.len() < room,
            ContextFull::Error => held + all.len() <= room,
        };
        if !fits {
            bail!(
                PromptTooLong,
                "the session holds {held} tokens and the prompt adds {}, the context holds {room}; \
                 shorten it or open the session with a larger n_ctx",
                all.len()
            )
        }
        self.pending.clear();
        let reused = self.tokens.len();
        self.feed(&all, cancel)?;
        Ok(Evaluated { reused, evaluated: all.len() })
    }

    /// Evaluates one generated token that was given out before.
    pub(crate) fn advance(&mut self, cancel: &CancelToken) -> Result<()> {
        let waiting = std::mem::take(&mut self.pending);
        self.feed(&waiting, cancel).inspect_err(|_| self.pending = waiting.clone())
    }

    /// A token was chosen: it belongs to the sequence, and is evaluated when the next one is wanted.
    pub(crate) fn accept(&mut self, token: i32) {
        self.pending.push(token);
    }

    /// How many tokens a shift keeps at the front.
    pub(crate) fn keep(&mut self, n: usize) {
        let chosen = self.options.n_keep.value().and_then(|n| usize::try_from(n).ok());
        self.n_keep = chosen.unwrap_or(n.max(1)).min(self.n_ctx() / 2);
    }

    /// The logits of the last evaluated token: one for each token of the vocabulary.
    ///
    /// # Errors
    /// `WrongState` if nothing was evaluated yet.
    pub fn logits(&mut self) -> Result<&[f32]> {
        if self.tokens.is_empty() {
            bail!(WrongState, "there are no logits: evaluate a prompt first")
        }
        self.lease.logits()
    }

    /// How many tokens of `target` can stay in the cache; at least the one after them is evaluated, for
    /// its logits.
    fn reusable(&self, target: &[i32], most: usize) -> usize {
        let held = self.tokens.get(..self.pure).unwrap_or_default();
        let common = held.iter().zip(target).take_while(|(a, b)| a == b).count().min(most);
        if common == 0 {
            return 0;
        }
        let raw = self.model().raw();
        if raw.is_recurrent() {
            // A recurrent state cannot go back: all of it, or nothing.
            return if common == self.tokens.len() { common } else { 0 };
        }
        // The token at position `common` looks back over its window; the cache must still hold it all.
        let window = raw.n_swa() as usize;
        let needed = if window == 0 { 0 } else { (common + 1).saturating_sub(window) };
        let oldest = usize::try_from(self.lease.position_min()).unwrap_or(usize::MAX);
        if oldest > needed { 0 } else { common }
    }

    /// Cuts the cache down to `len` tokens, or to none where it cannot be cut; returns what is left.
    fn cut(&mut self, len: usize) -> Result<usize> {
        if len == self.tokens.len() {
            return Ok(len);
        }
        let cut = len > 0 && self.lease.truncate(position(len))?;
        if !cut {
            self.lease.clear(false);
        }
        let left = if cut { len } else { 0 };
        self.tokens.truncate(left);
        self.pure = self.pure.min(left);
        Ok(left)
    }

    /// Evaluates tokens behind what the cache holds, one micro-batch at a time.
    pub(super) fn feed(&mut self, tokens: &[i32], cancel: &CancelToken) -> Result<()> {
        let n_ubatch = (self.lease.n_ubatch() as usize).max(1);
        let mut rest = tokens;
        while !rest.is_empty() {
            let mut room = self.n_ctx().saturating_sub(self.tokens.len());
            if room == 0 {
                self.make_room()?;
                room = self.n_ctx().saturating_sub(self.tokens.len());
            }
            let (now, later) = rest.split_at(rest.len().min(n_ubatch).min(room));
            let start = position(self.tokens.len());
            self.use_threads(now.len())?;
            let began = Instant::now();
            if let Err(error) = self.lease.decode(now, start, cancel) {
                self.resync()?;
                return Err(error);
            }
            if let Some(tuner) = &mut self.tuner {
                tuner.note(now.len(), began.elapsed().as_secs_f64());
            }
            let was_pure = self.pure == self.tokens.len();
            self.tokens.extend_from_slice(now);
            if was_pure {
                self.pure = self.tokens.len();
            }
            rest = later;
        }
        Ok(())
    }

    /// Before a step of so many tokens: the number of threads that has proved best.
    pub(super) fn use_threads(&mut self, tokens: usize) -> Result<()> {
        let Some(tuner) = &self.tuner else { return Ok(()) };
        let n = tuner.threads(tokens);
        self.lease.set_threads(i32::try_from(n).unwrap_or(1))?;
        self.stats.n_threads = n as u32;
        Ok(())
    }

    /// After a failed evaluation: the log says what the cache really holds.
    fn resync(&mut self) -> Result<()> {
        let held = usize::try_from(self.lease.position_max() + 1).unwrap_or(0);
        if held > self.tokens.len() {
            let len = self.tokens.len();
            if len == 0 || !self.lease.truncate(position(len))? {
                self.lease.clear(false);
                self.tokens.clear();
            }
        } else {
            self.tokens.truncate(held);
        }
        self.pure = self.pure.min(self.tokens.len());
        Ok(())
    }

    /// Drops the older half of what is not kept, and moves the rest forward.
    fn make_room(&mut self) -> Result<()> {
        let len = self.tokens.len();
        if self.options.context_full == ContextFull::Error {
            bail!(
                ContextFull,
                "the context is full: {len} of {} tokens; set max_tokens, start a new session with a \
                 larger n_ctx, or open it with context_full=shift",
                self.n_ctx()
            )
        }
        if !self.lease.can_shift() {
            bail!(CannotShift, "the context is full and this model's cache cannot be shifted")
        }
        let keep = self.n_keep.min(len.saturating_sub(1));
        let drop = ((len - keep) / 2).max(1);
        if !self.lease.remove(position(keep), position(keep + drop))? {
            bail!(CannotShift, "the context is full and this model's cache cannot be cut")
        }
        self.lease.shift(position(keep + drop), -position(drop));
        self.tokens.drain(keep..keep + drop);
        self.pure = self.pure.min(keep);
        Ok(())
    }

    pub(super) fn check_tokens(&self, tokens: &[i32]) -> Result<()> {
        let n_vocab = self.tokenizer.n_vocab();
        let valid = |&t: &i32| usize::try_from(t).is_ok_and(|t| t < n_vocab);
        if let Some(i) = tokens.iter().position(|t| !valid(t)) {
            bail!(
                InvalidToken,
                "token {} of the prompt has the id {}, outside the vocabulary of 0 to {}",
                i,
                tokens.get(i).copied().unwrap_or_default(),
                n_vocab.saturating_sub(1)
            )
        }
        Ok(())
    }
}

/// A position as the engine counts; contexts are far smaller than its limit.
fn position(n: usize) -> i32 {
    i32::try_from(n).unwrap_or(i32::MAX)
}
