//! Examples as tokens, and the report of what became of them.

use serde::Serialize;

use crate::error::{Error, err};

/// How many bad examples are kept with their reasons.
const KEPT: usize = 20;

/// One example as tokens.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sequence {
    /// Token ids.
    pub tokens: Vec<i32>,
    /// Of the same length: whether token `i` is to be predicted from the tokens before it. Never for token 0.
    pub loss: Vec<bool>,
}

impl Sequence {
    /// The number of tokens that are to be predicted.
    pub fn loss_tokens(&self) -> usize {
        self.loss.iter().filter(|&&learned| learned).count()
    }

    pub(super) fn push(&mut self, token: i32, loss: bool) {
        self.loss.push(loss && !self.tokens.is_empty());
        self.tokens.push(token);
    }
}

/// What became of the examples of one encoding.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct EncodingReport {
    /// Examples that became sequences, truncated ones included.
    pub encoded: u64,
    /// Examples whose end was cut off.
    pub truncated: u64,
    /// Examples dropped because they are longer than a row.
    pub too_long: u64,
    /// Examples dropped because nothing to learn was left of them in the row.
    pub nothing_to_learn: u64,
    /// Examples dropped because they cannot be put into the model's chat format.
    pub bad: u64,
    /// The first 20 of these: where, and why.
    pub first_bad: Vec<String>,
    /// Tokens of all sequences.
    pub tokens: u64,
    /// Tokens that are to be predicted.
    pub loss_tokens: u64,
}

impl EncodingReport {
    /// How many examples were dropped.
    pub fn dropped(&self) -> u64 {
        self.too_long + self.nothing_to_learn + self.bad
    }

    pub(super) fn add_bad(&mut self, error: &Error) {
        self.bad += 1;
        if self.first_bad.len() < KEPT {
            self.first_bad.push(error.message().to_owned());
        }
    }

    /// The error when no example is left: says where they went.
    pub(super) fn empty(&self, n_ctx: usize) -> Error {
        let first = self.first_bad.first().map(|first| format!(" ({first})")).unwrap_or_default();
        err!(
            DatasetEmpty,
            "no example is left to learn from: {} were longer than n_ctx={n_ctx}, of {} nothing to learn was left \
             in n_ctx tokens, {} were bad{first}; raise n_ctx or change the data",
            self.too_long,
            self.nothing_to_learn,
            self.bad
        )
    }
}

/// A dataset as tokens.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Encoded {
    /// One for each example that was not dropped, in the dataset's order.
    pub sequences: Vec<Sequence>,
    /// For each sequence the index of its example in the dataset.
    pub examples: Vec<usize>,
    /// What became of the examples.
    pub report: EncodingReport,
}

impl Encoded {
    pub(super) fn push(&mut self, example: usize, sequence: Sequence) {
        self.report.encoded += 1;
        self.report.tokens += sequence.tokens.len() as u64;
        self.report.loss_tokens += sequence.loss_tokens() as u64;
        self.sequences.push(sequence);
        self.examples.push(example);
    }
}
