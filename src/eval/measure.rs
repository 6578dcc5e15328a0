//! One pass over the prepared examples.

use super::prepare::{Labels, Prepared, Prompted, Question};
use super::scorer::Scorer;
use crate::cancel::CancelToken;
use crate::dataset::Dataset;
use crate::error::{Context, Result};

/// Sums over tokens that were to be predicted.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Tally {
    /// Of -ln p.
    pub sum: f64,
    pub correct: u64,
    pub tokens: u64,
}

/// What a pass found.
pub(super) struct Measured {
    pub tally: Tally,
    /// For each example that was classified the right label and the chosen one, as indices.
    pub guesses: Vec<(usize, usize)>,
}

impl Tally {
    fn add(&mut self, (log_p, is_best): (f64, bool)) {
        self.sum -= log_p;
        self.correct += u64::from(is_best);
        self.tokens += 1;
    }

    /// Mean of -ln p.
    pub(super) fn mean(&self) -> f64 {
        self.sum / self.tokens.max(1) as f64
    }

    /// Share of the tokens that were the most likely ones.
    pub(super) fn accuracy(&self) -> f64 {
        self.correct as f64 / self.tokens.max(1) as f64
    }
}

/// Measures all examples; `report` gets the part that is done.
pub(super) fn measure(
    scorer: &mut Scorer,
    prepared: &Prepared,
    data: &Dataset,
    cancel: &CancelToken,
    mut report: impl FnMut(f32),
) -> Result<Measured> {
    let mut measured = Measured { tally: Tally::default(), guesses: Vec::new() };
    let (mut done, work) = (0, prepared.work().max(1));
    for example in &prepared.examples {
        let tally = &mut measured.tally;
        let result = match (&prepared.labels, example.question) {
            (Some(labels), Some(question)) => {
                classify(scorer, example, question, labels, tally, cancel)
                    .map(|guess| measured.guesses.push((question.truth, guess)))
            }
            _ => predict(scorer, example, tally, cancel),
        };
        if let Err(error) = result {
            cancel.check("evaluating the dataset")?;
            return Err(error).context(data.place(example.index)?);
        }
        done += prepared.work_of(example);
        report(done as f32 / work as f32);
    }
    Ok(measured)
}

/// The tokens of one sequence.
fn predict(
    scorer: &mut Scorer,
    example: &Prompted,
    tally: &mut Tally,
    cancel: &CancelToken,
) -> Result<()> {
    let tokens = example.sequence.tokens.as_slice();
    // What follows the last token is not asked.
    let Some((_, read)) = tokens.split_last() else { return Ok(()) };
    scorer.clear();
    scorer.feed(
        read,
        |i| is_learned(example, i + 1),
        cancel,
        |i, next| tokens.get(i + 1).into_iter().for_each(|&token| tally.add(next.of(token))),
    )
}

/// The label with the largest log-probability of all its tokens, the first among equals. The tokens of the right
/// label count for the tally.
fn classify(
    scorer: &mut Scorer,
    example: &Prompted,
    question: Question,
    labels: &Labels,
    tally: &mut Tally,
    cancel: &CancelToken,
) -> Result<usize> {
    let tokens = example.sequence.tokens.as_slice();
    let prompt = tokens.get(..question.n_prompt).unwrap_or(tokens);
    let last = prompt.len().saturating_sub(1);
    let mut scores = vec![0.0; labels.tokens().len()];
    scorer.clear();
    scorer.feed(
        prompt,
        |i| i == last || is_learned(example, i + 1),
        cancel,
        |i, next| {
            if is_learned(example, i + 1) {
                tokens.get(i + 1).into_iter().for_each(|&token| tally.add(next.of(token)));
            }
            if i == last {
                for (score, label) in scores.iter_mut().zip(labels.tokens()) {
                    *score += label.first().map_or(0.0, |&token| next.of(token).0);
                }
            }
        },
    )?;
    for (index, (score, label)) in scores.iter_mut().zip(labels.tokens()).enumerate() {
        let Some((_, read)) = label.split_last().filter(|(_, read)| !read.is_empty()) else {
            continue;
        };
        if !scorer.rewind(prompt.len())? {
            scorer.feed(prompt, |_| false, cancel, |_, _| {})?;
        }
        let mut add = |i: usize, found: (f64, bool)| {
            *score += found.0;
            if index == question.truth && is_learned(example, prompt.len() + i + 1) {
                tally.add(found);
            }
        };
        scorer.feed(
            read,
            |_| true,
            cancel,
            |i, next| label.get(i + 1).into_iter().for_each(|&token| add(i, next.of(token))),
        )?;
    }
    Ok(best(&scores))
}

/// Whether the token at this index is to be predicted.
fn is_learned(example: &Prompted, index: usize) -> bool {
    example.sequence.loss.get(index).is_some_and(|&learned| learned)
}

/// The index of the largest score, the first among equals.
fn best(scores: &[f64]) -> usize {
    let mut best = (0, f64::NEG_INFINITY);
    for (index, &score) in scores.iter().enumerate() {
        if score > best.1 {
            best = (index, score);
        }
    }
    best.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn among_equals_the_first_is_chosen() {
        assert_eq!(best(&[-3.0, -1.0, -1.0]), 1);
        assert_eq!(best(&[f64::NEG_INFINITY, f64::NEG_INFINITY]), 0);
        assert_eq!(best(&[f64::NEG_INFINITY, -900.0]), 1);
    }

    #[test]
    fn a_tally_is_a_mean_and_a_share() {
        let mut tally = Tally::default();
        assert_eq!((tally.mean(), tally.accuracy()), (0.0, 0.0));
        for found in [(-1.0, true), (-2.0, false), (-3.0, false), (-4.0, false)] {
            tally.add(found);
        }
        assert_eq!((tally.mean(), tally.accuracy(), tally.tokens), (2.5, 0.25, 4));
    }
}
