//! Mirostat 2: keeps the surprise of the text near a target.
//!
//! Basu et al., "Mirostat: A Neural Text Decoding Algorithm that Directly Controls Perplexity" (2021), version 2. Tokens
//! whose surprise -log2 p is above mu are dropped (the most probable one always stays). After drawing, with s the
//! surprise of the drawn token among those kept: mu -= eta (s - tau).

use std::f64::consts::LN_2;

use super::candidates::{Candidate, Groups};
use super::math::sum_exp;
use super::truncate::weigh;

/// The settings, and mu, which is part of a sampler's saved state.
#[derive(Debug, Clone)]
pub(super) struct Mirostat {
    tau: f64,
    eta: f64,
    /// The largest surprise allowed, in bits.
    pub mu: f64,
}

impl Mirostat {
    /// Starts at mu = 2 tau, as the paper does.
    pub fn new(tau: f64, eta: f64) -> Self {
        Self { tau, eta, mu: 2.0 * tau }
    }

    /// Collects the tokens of surprise at most mu at inverse temperature `scale`, weighted.
    pub fn collect(
        &self,
        logits: &[f32],
        groups: &Groups,
        scale: f32,
        candidates: &mut Vec<Candidate>,
    ) {
        let max = groups.max();
        // -log2 p = (ln Z - (logit - max) scale) / ln 2 <= mu, solved for the logit.
        let log_sum = sum_exp(logits, max, scale).ln();
        let floor = f64::from(max) + (log_sum - self.mu * LN_2) / f64::from(scale);
        groups.collect_from(logits, (floor as f32).min(max), candidates);
        weigh(candidates, max, scale);
    }

    /// Learns from the drawn token, given its probability among the candidates.
    pub fn observe(&mut self, probability: f64) {
        self.mu -= self.eta * (-probability.log2() - self.tau);
    }
}
