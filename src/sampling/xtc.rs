//! XTC, "exclude top choices": sometimes removes the most probable candidates, to make text less predictable.
//!
//! Proposed in oobabooga/text-generation-webui#6335 (p-e-w, 2024). With probability `probability`, every candidate
//! whose probability is at least `threshold` is removed, except the least probable of them: so an acceptable token
//! always remains, and nothing happens while fewer than two reach the threshold.

use super::candidates::{Candidate, by_rank};
use super::truncate::mass;
use crate::rng::Rng;

/// The sampler's settings; `None` in the chain when it can have no effect.
#[derive(Debug, Clone, Copy)]
pub(super) struct Xtc {
    /// The chance that a token is sampled with exclusion, in (0, 1].
    pub probability: f64,
    /// The probability at which a candidate is a top choice, in [0, 0.5]: above 0.5 there is only ever one.
    pub threshold: f64,
}

impl Xtc {
    /// Applies the sampler to weighted candidates. Draws one random number, if there are two candidates or more.
    pub fn apply(&self, candidates: &mut Vec<Candidate>, rng: &mut Rng) {
        if candidates.len() < 2 || rng.unit() >= self.probability {
            return;
        }
        let bar = self.threshold * mass(candidates);
        let is_top = |c: &Candidate| f64::from(c.weight) >= bar;
        let Some(keep) = candidates.iter().filter(|c| is_top(c)).max_by(|a, b| by_rank(a, b))
        else {
            return;
        };
        let keep = keep.id;
        candidates.retain(|c| c.id == keep || !is_top(c));
    }
}
