//! DRY, "don't repeat yourself": a penalty that grows exponentially with the length of a repetition.
//!
//! Proposed in oobabooga/text-generation-webui#5677 (p-e-w, 2024); the linear-time search by Z-function is that of
//! LostRuins/koboldcpp#982. If the last n tokens of the text, n >= `allowed_length`, also occur earlier and were
//! followed by a token there, that token would prolong the repetition: its logit is reduced by
//! `multiplier` * `base`^(n - `allowed_length`), n being the longest such repetition. A repetition does not reach back
//! past a sequence breaker, and a token that contains a breaker is never penalised.

use super::breakers::Breakers;
use super::penalties::{bounded, last};

/// ln of the largest f32: the penalty must stay finite.
const LN_MAX: f64 = 88.722_839;

/// The sampler's settings.
#[derive(Debug, Clone)]
pub(super) struct Dry {
    /// Penalty of the shortest penalised repetition; 0 = off.
    pub multiplier: f64,
    /// Growth per token, >= 1.
    pub base: f64,
    /// Shortest repetition that is penalised, in tokens, not counting the token that would prolong it.
    pub allowed_length: usize,
    /// How many tokens at the end of the history are searched.
    pub last_n: usize,
    /// Where repetitions end.
    pub breakers: Breakers,
}

/// Reused memory.
#[derive(Debug, Clone, Default)]
pub(super) struct DryScratch {
    /// The window, newest token first.
    reversed: Vec<i32>,
    /// The Z-function of `reversed`.
    matches: Vec<usize>,
    /// (token, length of the longest repetition it would prolong), by token.
    repeats: Vec<(i32, usize)>,
}

impl Dry {
    /// Reduces the logits of tokens that would prolong a repetition. Ids outside the vocabulary are only compared.
    pub fn apply(&self, logits: &mut [f32], history: &[i32], scratch: &mut DryScratch) {
        let window = last(history, self.last_n);
        let limit = self.breakers.tokens_since_last(window);
        if window.len() <= self.allowed_length || limit < self.allowed_length {
            return;
        }
        let DryScratch { reversed, matches, repeats } = scratch;
        reversed.clear();
        reversed.extend(window.iter().rev());
        z_function(reversed, matches);

        // The tokens from `offset` back equal the newest ones; the one that followed them is one nearer.
        repeats.clear();
        for (&follower, &length) in reversed.iter().zip(matches.iter().skip(1)) {
            let length = length.min(limit);
            if length >= self.allowed_length {
                repeats.push((follower, length));
            }
        }
        repeats.sort_unstable_by(|a, b| a.0.cmp(&b.0).then(b.1.cmp(&a.1)));
        repeats.dedup_by_key(|(token, _)| *token);
        for &(token, length) in repeats.iter() {
            if self.breakers.is_single(token) {
                continue;
            }
            if let Some(logit) = logits.get_mut(token as usize) {
                *logit = bounded(*logit, *logit - self.penalty(length));
            }
        }
    }

    fn penalty(&self, length: usize) -> f32 {
        let mut exponent = i32::try_from(length - self.allowed_length).unwrap_or(i32::MAX);
        if self.base > 1.000_001 {
            exponent = exponent.min((LN_MAX / self.base.ln()) as i32);
        }
        (self.multiplier * self.base.powi(exponent)) as f32
    }
}

/// Fills `z` so that z[i] is the length of the longest common prefix of `text` and `text[i..]`; z[0] is the length.
fn z_function(text: &[i32], z: &mut Vec<usize>) {
    let n = text.len();
    z.clear();
    z.push(n);
    // text[left..right] is the match seen so far that ends last: it equals text[..right - left].
    let (mut left, mut right) = (0, 0);
    for i in 1..n {
        let known = z.get(i - left).map_or(0, |&z| z.min(right.max(i) - i));
        let mut length = known;
        if i + known >= right {
            while i + length < n && text.get(length) == text.get(i + length) {
                length += 1;
            }
            (left, right) = (i, i + length);
        }
        z.push(length);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Every repetition, by comparing all pairs of positions.
    fn oracle(dry: &Dry, logits: &mut [f32], history: &[i32]) {
        let window = last(history, dry.last_n);
        let limit = dry.breakers.tokens_since_last(window);
        for (token, logit) in logits.iter_mut().enumerate() {
            let mut best = None;
            for end in 1..window.len() {
                if window[end] != token as i32 {
                    continue;
                }
                let mut n = 0;
                while n < limit && n < end && window[end - 1 - n] == window[window.len() - 1 - n] {
                    n += 1;
                }
                if n >= dry.allowed_length {
                    best = best.max(Some(n));
                }
            }
            if let Some(n) = best {
                let power = dry.base.powi((n - dry.allowed_length) as i32);
                *logit -= (dry.multiplier * power) as f32;
            }
        }
    }

    proptest! {
        #[test]
        fn penalties_equal_those_of_a_quadratic_search(
            history in prop::collection::vec(-1i32..4, 0..60),
            allowed_length in 1usize..5, last_n in 0usize..70,
        ) {
            let dry = Dry {
                multiplier: 0.8, base: 1.75, allowed_length, last_n, breakers: Breakers::default(),
            };
            let mut logits = vec![1.0; 3];
            let mut expected = logits.clone();
            dry.apply(&mut logits, &history, &mut DryScratch::default());
            oracle(&dry, &mut expected, &history);
            prop_assert_eq!(logits, expected);
        }

        #[test]
        fn z_is_the_common_prefix(text in prop::collection::vec(0i32..3, 1..80)) {
            let mut z = Vec::new();
            z_function(&text, &mut z);
            for i in 0..text.len() {
                let n = text[i..].iter().zip(&text).take_while(|(a, b)| a == b).count();
                prop_assert_eq!(z[i], n);
            }
        }
    }

    #[test]
    fn a_long_repetition_costs_a_finite_penalty() {
        let dry = Dry {
            multiplier: 1.0,
            base: 4.0,
            allowed_length: 2,
            last_n: usize::MAX,
            breakers: Breakers::default(),
        };
        let mut logits = vec![0.0; 2];
        dry.apply(&mut logits, &[0; 5000], &mut DryScratch::default());
        assert!(logits[0] < -1e37 && logits[0].is_finite(), "{logits:?}");
        assert_eq!(logits[1], 0.0);
    }
}
