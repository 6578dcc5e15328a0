//! Logit bias, and penalties for tokens that the text already contains.
//!
//! For a token that occurs c > 0 times among the last `penalty_last_n` tokens:
//! - repetition (Keskar et al., "CTRL", 2019): a positive logit is divided by `repeat_penalty`, another multiplied,
//!   so that a penalty above 1 always makes the token less likely;
//! - frequency and presence (the OpenAI API's definitions): logit -= c * `frequency_penalty` + `presence_penalty`.

/// The penalties' settings.
#[derive(Debug, Clone, Copy)]
pub(super) struct Penalties {
    /// How many tokens at the end of the history count.
    pub last_n: usize,
    /// Divisor of positive logits, > 0; 1 = off.
    pub repeat: f32,
    /// Subtracted once per occurrence.
    pub frequency: f32,
    /// Subtracted once if the token occurs.
    pub presence: f32,
}

/// How often each token occurs in a window, without a pass over the vocabulary.
#[derive(Debug, Clone, Default)]
pub(super) struct Occurrences {
    /// A count per token; all zero between calls.
    counts: Vec<u32>,
    /// The tokens whose count is not zero.
    seen: Vec<i32>,
}

impl Penalties {
    /// Applies the penalties to the logits of the tokens in the window. Ids outside the vocabulary are ignored.
    pub fn apply(&self, logits: &mut [f32], history: &[i32], occurrences: &mut Occurrences) {
        let window = last(history, self.last_n);
        occurrences.count(window, logits.len());
        while let Some(id) = occurrences.seen.pop() {
            let index = id as usize;
            let (Some(logit), Some(count)) =
                (logits.get_mut(index), occurrences.counts.get_mut(index))
            else {
                continue;
            };
            let repeated = if *logit <= 0.0 { *logit * self.repeat } else { *logit / self.repeat };
            *logit = bounded(*logit, repeated - (*count as f32 * self.frequency + self.presence));
            *count = 0;
        }
    }
}

impl Occurrences {
    fn count(&mut self, window: &[i32], n_vocab: usize) {
        self.counts.resize(n_vocab, 0);
        for &id in window {
            // A negative id becomes an index beyond every vocabulary.
            if let Some(count) = self.counts.get_mut(id as usize) {
                if *count == 0 {
                    self.seen.push(id);
                }
                *count += 1;
            }
        }
    }
}

/// Adds each bias to its token's logit; -inf forbids the token.
pub(super) fn add_bias(logits: &mut [f32], bias: &[(i32, f32)]) {
    for &(id, bias) in bias {
        if let Some(logit) = logits.get_mut(id as usize) {
            *logit = if bias.is_finite() { bounded(*logit, *logit + bias) } else { bias };
        }
    }
}

/// Keeps an adjusted logit finite if it was: +inf has no softmax, and -inf would forbid a token that nobody forbade.
/// Anything else stays, for the scan to report.
pub(super) fn bounded(before: f32, after: f32) -> f32 {
    if before.is_finite() { after.clamp(f32::MIN, f32::MAX) } else { after }
}

/// The last `n` elements, or all of them.
pub(super) fn last(history: &[i32], n: usize) -> &[i32] {
    history.get(history.len().saturating_sub(n)..).unwrap_or(history)
}
