//! From options to what the samplers compute with: values checked, samplers that would do nothing left out.

use super::VocabularyView;
use super::breakers::Breakers;
use super::dry::Dry;
use super::mirostat::Mirostat;
use super::penalties::Penalties;
use super::xtc::Xtc;
use crate::error::{Result, bail};
use crate::options::{self, Options, SamplingOptions};

/// The chain's settings. `None` means that a sampler is off.
#[derive(Debug, Clone)]
pub(super) struct Parameters {
    /// Length of a row of logits.
    pub n_vocab: usize,
    /// What is added to single logits.
    pub bias: Vec<(i32, f32)>,
    pub penalties: Option<Penalties>,
    pub dry: Option<Dry>,
    /// Only below the vocabulary's size.
    pub top_k: Option<usize>,
    pub typical_p: Option<f64>,
    pub top_p: Option<f64>,
    pub min_p: Option<f32>,
    pub xtc: Option<Xtc>,
    pub mirostat: Option<Mirostat>,
    /// 1 / temperature; `None` = greedy.
    pub inverse_temperature: Option<f32>,
}

impl Parameters {
    /// # Errors
    /// `InvalidOption` names the option and its range; `InvalidToken` for a bias on a token that does not exist.
    pub fn new(options: &SamplingOptions, vocabulary: &dyn VocabularyView) -> Result<Self> {
        let o = options;
        o.validate()?;
        let n_vocab = vocabulary.n_vocab();
        if n_vocab == 0 || n_vocab > i32::MAX as usize {
            bail!(
                InvalidArgument,
                "sampling: a vocabulary of {n_vocab} tokens; load a valid model"
            );
        }
        // A tiny temperature has no finite inverse in f32; the largest one is just as greedy.
        let inverse = (1.0 / o.temperature).min(f64::from(f32::MAX)) as f32;
        let mirostat = o.mirostat == options::Mirostat::V2;
        let xtc = o.xtc_probability > 0.0 && o.xtc_threshold <= 0.5;
        Ok(Self {
            n_vocab,
            bias: o.logit_bias.iter().map(|b| parse_bias(b, n_vocab)).collect::<Result<_>>()?,
            penalties: penalties(o),
            dry: dry(o, vocabulary)?,
            top_k: usize::try_from(o.top_k).ok().filter(|&k| k > 0 && k < n_vocab),
            typical_p: Some(o.typical_p).filter(|&p| p < 1.0),
            top_p: Some(o.top_p).filter(|&p| p < 1.0),
            min_p: Some(o.min_p as f32).filter(|&p| p > 0.0),
            xtc: xtc.then_some(Xtc { probability: o.xtc_probability, threshold: o.xtc_threshold }),
            mirostat: mirostat.then(|| Mirostat::new(o.mirostat_tau, o.mirostat_eta)),
            inverse_temperature: (o.temperature > 0.0).then_some(inverse),
        })
    }
}

/// Reads one `TOKEN=BIAS`.
fn parse_bias(text: &str, n_vocab: usize) -> Result<(i32, f32)> {
    let parts = text.split_once('=').map(|(id, bias)| (id.trim().parse(), bias.trim().parse()));
    let Some((Ok(id), Ok(bias))) = parts else {
        bail!(
            InvalidOption,
            "logit_bias: {text:?} is not TOKEN=BIAS; give a token id and a number, as in 13=-2.5 or 13=-inf"
        );
    };
    let (id, bias): (i64, f32) = (id, bias);
    if usize::try_from(id).map_or(true, |id| id >= n_vocab) {
        bail!(
            InvalidToken,
            "logit_bias: token {id} is outside the vocabulary; give an id from 0 to {}",
            n_vocab - 1
        );
    }
    if bias.is_nan() || bias == f32::INFINITY {
        bail!(
            InvalidOption,
            "logit_bias: the bias {bias} of token {id} cannot be used; give a finite number or -inf"
        );
    }
    Ok((id as i32, bias))
}

fn penalties(o: &SamplingOptions) -> Option<Penalties> {
    let last_n = window(o.penalty_last_n);
    let off = o.repeat_penalty == 1.0 && o.frequency_penalty == 0.0 && o.presence_penalty == 0.0;
    (!off && last_n > 0).then_some(Penalties {
        last_n,
        repeat: o.repeat_penalty as f32,
        frequency: o.frequency_penalty as f32,
        presence: o.presence_penalty as f32,
    })
}

fn dry(o: &SamplingOptions, vocabulary: &dyn VocabularyView) -> Result<Option<Dry>> {
    let last_n = window(o.dry_penalty_last_n);
    if o.dry_multiplier == 0.0 || last_n == 0 {
        return Ok(None);
    }
    Ok(Some(Dry {
        multiplier: o.dry_multiplier,
        base: o.dry_base,
        allowed_length: window(o.dry_allowed_length),
        last_n,
        breakers: Breakers::new(&o.dry_sequence_breakers, vocabulary)?,
    }))
}

/// A number of tokens; a negative one means all.
fn window(n: i64) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}
