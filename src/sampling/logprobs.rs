//! Log-probabilities for the caller: of the model, before bias, penalties and temperature.

use serde::Serialize;

use super::candidates::{Candidate, Groups};
use super::math::sum_exp;
use crate::error::{Result, bail};

/// A token and the natural logarithm of its probability.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct TokenLogprob {
    /// The token's id.
    pub token: i32,
    /// ln p, at most 0; -inf if the model forbids the token.
    pub logprob: f32,
}

/// What the model thought of a token, and of the alternatives.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Probabilities {
    /// ln p of the token asked for.
    pub logprob: f32,
    /// The most probable tokens, best first; among equals the lowest id first.
    pub top: Vec<TokenLogprob>,
}

/// A row of logits as the natural logarithms of probabilities.
pub(crate) struct LogProbabilities<'a> {
    logits: &'a [f32],
    max: f32,
    log_sum: f64,
}

impl<'a> LogProbabilities<'a> {
    /// # Errors
    /// `Engine` if a logit is NaN or +inf, or if none is above -inf.
    pub(crate) fn new(logits: &'a [f32]) -> Result<Self> {
        let mut groups = Groups::default();
        groups.scan(logits)?;
        let max = groups.max();
        Ok(Self { logits, max, log_sum: sum_exp(logits, max, 1.0).ln() })
    }

    /// ln p of a token, -inf outside the vocabulary, and whether no token is more probable.
    pub(crate) fn of(&self, token: i32) -> (f64, bool) {
        let logit = usize::try_from(token).ok().and_then(|i| self.logits.get(i).copied());
        let logit = logit.unwrap_or(f32::NEG_INFINITY);
        (f64::from(logit) - f64::from(self.max) - self.log_sum, logit >= self.max)
    }

    /// ln p of every token, in the order of their ids.
    pub(crate) fn all(&self) -> impl Iterator<Item = f32> {
        let log_sum = f64::from(self.max) + self.log_sum;
        self.logits.iter().map(move |&logit| (f64::from(logit) - log_sum) as f32)
    }
}

/// ln p = logit - max - ln sum(exp(logit - max)), over the whole row.
pub(super) fn probabilities(
    logits: &[f32],
    token: i32,
    top_k: usize,
    groups: &mut Groups,
    candidates: &mut Vec<Candidate>,
) -> Result<Probabilities> {
    let Some(&logit) = logits.get(token as usize) else {
        bail!(
            InvalidToken,
            "logprobs: token {token} is outside the vocabulary of {} tokens",
            logits.len()
        );
    };
    groups.scan(logits)?;
    let max = groups.max();
    let log_sum = sum_exp(logits, max, 1.0).ln();
    let logprob = |logit: f32| (f64::from(logit) - f64::from(max) - log_sum) as f32;
    candidates.clear();
    if top_k > 0 {
        groups.collect_top(logits, top_k, candidates);
    }
    let top = candidates.iter().map(|c| TokenLogprob { token: c.id, logprob: logprob(c.logit) });
    Ok(Probabilities { logprob: logprob(logit), top: top.collect() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn equal_to_a_log_softmax_in_f64(
            logits in prop::collection::vec(-30.0f32..30.0, 1..700), at in any::<prop::sample::Index>(),
        ) {
            let token = at.index(logits.len());
            let sum: f64 = logits.iter().map(|&x| f64::from(x).exp()).sum();
            let exact = |id: usize| (f64::from(logits[id]).exp() / sum).ln();
            let got = probabilities(
                &logits, token as i32, 5, &mut Groups::default(), &mut Vec::new(),
            ).unwrap();
            prop_assert!((f64::from(got.logprob) - exact(token)).abs() < 1e-5);
            prop_assert_eq!(got.top.len(), logits.len().min(5));
            for (i, alternative) in got.top.iter().enumerate() {
                prop_assert!((f64::from(alternative.logprob) - exact(alternative.token as usize)).abs() < 1e-5);
                let better = logits.iter().filter(|&&x| x > logits[alternative.token as usize]).count();
                prop_assert!(better <= i);
            }
        }
    }

    #[test]
    fn edges() {
        let of = |logits: &[f32], token, k| {
            probabilities(logits, token, k, &mut Groups::default(), &mut Vec::new())
        };
        let two = of(&[f32::NEG_INFINITY, 3.0], 0, 9).unwrap();
        assert_eq!(two.logprob, f32::NEG_INFINITY);
        assert_eq!(two.top, [TokenLogprob { token: 1, logprob: 0.0 }]);
        assert!(of(&[1.0, 2.0], 1, 0).unwrap().top.is_empty());
        assert_eq!(of(&[1.0], -1, 0).unwrap_err().code(), crate::error::Code::InvalidToken);
        assert_eq!(of(&[1.0], 1, 0).unwrap_err().code(), crate::error::Code::InvalidToken);
        assert_eq!(of(&[f32::NAN], 0, 0).unwrap_err().code(), crate::error::Code::Engine);
    }
}
