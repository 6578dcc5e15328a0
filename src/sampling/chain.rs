//! One row of logits in, one token out: the order of the samplers.

use serde::{Deserialize, Serialize};

use super::VocabularyView;
use super::candidates::{Candidate, Groups};
use super::dry::DryScratch;
use super::logprobs::{self, Probabilities};
use super::math::sum_exp;
use super::parameters::Parameters;
use super::penalties::{Occurrences, add_bias};
use super::truncate::{Keyed, mass, max_logit, min_p, min_p_floor, top_p, typical, weigh};
use crate::error::{Result, bail};
use crate::options::SamplingOptions;
use crate::rng::{Rng, random_seed};

/// How many candidates top-p looks at before it looks at all of them.
const TOP_P_FIRST: usize = 256;

/// Turns logits into tokens. It has its own random numbers, and reuses its memory: no allocation per token.
///
/// A clone continues with the same random numbers. Equal options, seed, logits and histories give equal tokens.
#[derive(Debug, Clone)]
pub struct Sampler {
    parameters: Parameters,
    seed: u64,
    rng: Rng,
    adjuster: Adjuster,
    groups: Groups,
    candidates: Vec<Candidate>,
    scratch: Vec<Keyed>,
}

/// What a sampler must remember between tokens, to be saved with a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SamplerState {
    rng: Rng,
    /// Mirostat's mu as its bits: no text format may round it.
    mirostat_mu: Option<u64>,
}

impl Sampler {
    /// A sampler for one vocabulary. Without a `seed` in the options, the system's randomness chooses one.
    ///
    /// # Errors
    /// `InvalidOption` if an option is out of range; `InvalidToken` if `logit_bias` names a token that does not
    /// exist; what the tokenizer reports about `dry_sequence_breakers`.
    pub fn new(options: &SamplingOptions, vocabulary: &dyn VocabularyView) -> Result<Self> {
        let seed = options.seed.value().map_or_else(random_seed, |seed| seed as u64);
        Ok(Self {
            parameters: Parameters::new(options, vocabulary)?,
            seed,
            rng: Rng::new(seed),
            adjuster: Adjuster::default(),
            groups: Groups::default(),
            candidates: Vec::new(),
            scratch: Vec::new(),
        })
    }

    /// The seed in use, also when the options had none.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Draws the next token from one row of logits. `history` is the session's whole token log, with the prompt.
    ///
    /// # Errors
    /// `InvalidArgument` if the row has another length than the vocabulary; `Engine` if a logit is NaN or +inf, or
    /// all are -inf. The sampler's state is then as before.
    pub fn sample(&mut self, logits: &[f32], history: &[i32]) -> Result<i32> {
        self.collect(logits, history)?;
        let drawn = match self.candidates.as_slice() {
            [only] => Some(*only),
            several => draw(several, &mut self.rng),
        };
        let Some(drawn) = drawn else {
            bail!(Internal, "sampling: no candidate has a positive weight; please report it");
        };
        if let Some(mirostat) = &mut self.parameters.mirostat {
            mirostat.observe(f64::from(drawn.weight) / mass(&self.candidates));
        }
        Ok(drawn.id)
    }

    /// The probabilities from which [`Sampler::sample`] would draw, as (token, p), without drawing. The tokens that
    /// the samplers dropped are not listed; the order has no meaning. Does not change the sampler's state.
    ///
    /// # Errors
    /// As [`Sampler::sample`].
    pub fn distribution(&mut self, logits: &[f32], history: &[i32]) -> Result<Vec<(i32, f32)>> {
        let rng = self.rng.clone();
        let collected = self.collect(logits, history);
        self.rng = rng;
        collected?;
        let total = mass(&self.candidates);
        Ok(self.candidates.iter().map(|c| (c.id, (f64::from(c.weight) / total) as f32)).collect())
    }

    /// The model's own log-probability of `token`, and of the `top_k` best: before bias, penalties and temperature.
    ///
    /// # Errors
    /// `InvalidToken` if `token` is outside the vocabulary; `Engine` as [`Sampler::sample`].
    pub fn probabilities(
        &mut self,
        logits: &[f32],
        token: i32,
        top_k: usize,
    ) -> Result<Probabilities> {
        logprobs::probabilities(logits, token, top_k, &mut self.groups, &mut self.candidates)
    }

    /// What must be saved so that a restored sampler continues with the same tokens.
    pub fn state(&self) -> SamplerState {
        let mirostat_mu = self.parameters.mirostat.as_ref().map(|m| m.mu.to_bits());
        SamplerState { rng: self.rng.clone(), mirostat_mu }
    }

    /// Continues from a saved state. The options stay this sampler's own; mu is only taken over if both use mirostat.
    ///
    /// # Errors
    /// `StateDamaged` if no sampler can have been in that state; the sampler is then as before.
    pub fn restore(&mut self, state: SamplerState) -> Result<()> {
        let mu = state.mirostat_mu.map(f64::from_bits);
        if !state.rng.is_sound() || mu.is_some_and(|mu| !mu.is_finite()) {
            bail!(
                StateDamaged,
                "sampler state: the random generator or mirostat's mu has an impossible value; \
                 the file is damaged, start a new session"
            );
        }
        self.rng = state.rng;
        if let (Some(mirostat), Some(mu)) = (&mut self.parameters.mirostat, mu) {
            mirostat.mu = mu;
        }
        Ok(())
    }

    /// Fills `candidates` with what remains to be drawn from, weighted at the temperature.
    fn collect(&mut self, logits: &[f32], history: &[i32]) -> Result<()> {
        let p = &self.parameters;
        if logits.len() != p.n_vocab {
            bail!(
                InvalidArgument,
                "sampling: {} logits for a vocabulary of {} tokens; pass one row of the model's output",
                logits.len(),
                p.n_vocab
            );
        }
        let logits = self.adjuster.adjust(p, logits, history);
        self.groups.scan(logits)?;

        let Some(scale) = p.inverse_temperature else {
            let id = self.groups.argmax(logits);
            self.candidates.clear();
            self.candidates.push(Candidate { id, logit: self.groups.max(), weight: 1.0 });
            return Ok(());
        };
        if let Some(mirostat) = &p.mirostat {
            mirostat.collect(logits, &self.groups, scale, &mut self.candidates);
            return Ok(());
        }
        let total = gather(p, logits, &mut self.groups, &mut self.candidates);
        truncate(p, self.groups.max(), total, &mut self.candidates, &mut self.scratch);
        if let Some(xtc) = &p.xtc {
            xtc.apply(&mut self.candidates, &mut self.rng);
        }
        let max = max_logit(&self.candidates);
        weigh(&mut self.candidates, max, scale);
        Ok(())
    }
}

/// Applies what changes single logits. Most settings change none: then the row is used as it is, without a copy.
#[derive(Debug, Clone, Default)]
struct Adjuster {
    logits: Vec<f32>,
    occurrences: Occurrences,
    dry: DryScratch,
}

impl Adjuster {
    fn adjust<'a>(&'a mut self, p: &Parameters, logits: &'a [f32], history: &[i32]) -> &'a [f32] {
        let idle = history.is_empty() || (p.penalties.is_none() && p.dry.is_none());
        if p.bias.is_empty() && idle {
            return logits;
        }
        self.logits.clear();
        self.logits.extend_from_slice(logits);
        add_bias(&mut self.logits, &p.bias);
        if let Some(penalties) = &p.penalties {
            penalties.apply(&mut self.logits, history, &mut self.occurrences);
        }
        if let Some(dry) = &p.dry {
            dry.apply(&mut self.logits, history, &mut self.dry);
        }
        &self.logits
    }
}

/// The first truncation is also the search: top-k, or without it as few candidates as the next sampler allows.
/// Weighs them if a later sampler needs weights; returns the mass of all tokens that were in play.
fn gather(p: &Parameters, logits: &[f32], groups: &mut Groups, out: &mut Vec<Candidate>) -> f64 {
    let max = groups.max();
    let weighted = p.typical_p.is_some() || p.top_p.is_some() || p.xtc.is_some();
    if let Some(k) = p.top_k {
        groups.collect_top(logits, k, out);
        return if weighted { weigh(out, max, 1.0) } else { 0.0 };
    }
    if let (None, Some(top_p)) = (p.typical_p, p.top_p) {
        let total = sum_exp(logits, max, 1.0);
        groups.collect_top(logits, TOP_P_FIRST, out);
        if weigh(out, max, 1.0) >= top_p * total {
            return total;
        }
    }
    let only_min_p = p.typical_p.is_none() && p.top_p.is_none();
    let floor = match p.min_p {
        Some(min_p) if only_min_p => min_p_floor(max, min_p),
        _ => f32::NEG_INFINITY,
    };
    groups.collect_from(logits, floor, out);
    if weighted { weigh(out, max, 1.0) } else { 0.0 }
}

/// Typical, top-p and min-p, in this order, on what top-k left.
fn truncate(
    p: &Parameters,
    max: f32,
    mut total: f64,
    candidates: &mut Vec<Candidate>,
    scratch: &mut Vec<Keyed>,
) {
    if let Some(share) = p.typical_p {
        typical(candidates, max, share, scratch);
        total = mass(candidates);
    }
    if let Some(share) = p.top_p {
        top_p(candidates, total, share, scratch);
    }
    if let Some(share) = p.min_p {
        min_p(candidates, share);
    }
}

/// Draws a candidate with a chance proportional to its weight, by inverting the cumulative sum.
fn draw(candidates: &[Candidate], rng: &mut Rng) -> Option<Candidate> {
    let target = rng.unit() * mass(candidates);
    let mut sum = 0.0;
    let mut last = None;
    for candidate in candidates.iter().filter(|c| c.weight > 0.0) {
        sum += f64::from(candidate.weight);
        last = Some(*candidate);
        if sum > target {
            break;
        }
    }
    last
}
