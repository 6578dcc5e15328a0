//! A dataset as what is to be measured: sequences of tokens, and for labelled examples where the label begins.

use crate::cancel::CancelToken;
use crate::dataset::{Dataset, Encoder, EncodingReport, Sequence};
use crate::error::{Result, bail};
use crate::model::Model;
use crate::options::{EvaluationOptions, TooLong};
use crate::tokenizer::Tokenizer;

/// Tokens of an example that `n_ctx=auto` does not exceed.
const AUTO_MAX: usize = 8192;

/// What is measured, whatever the adapters.
pub(super) struct Prepared {
    pub examples: Vec<Prompted>,
    pub encoding: EncodingReport,
    /// The labels to choose from, if there are labelled examples and something to choose.
    pub labels: Option<Labels>,
    /// Labelled examples that are not classified because not every label has room behind them.
    pub unscored: u64,
    /// Tokens that the context must hold.
    pub n_ctx: usize,
}

/// One example.
pub(super) struct Prompted {
    /// Its index in the dataset.
    pub index: usize,
    pub sequence: Sequence,
    /// For an example that is classified.
    pub question: Option<Question>,
}

/// What is asked of an example that is classified.
#[derive(Clone, Copy)]
pub(super) struct Question {
    /// How many tokens stand before the label.
    pub n_prompt: usize,
    /// Which of the labels is the right one.
    pub truth: usize,
}

/// The labels to choose from, each with its tokens.
pub(super) struct Labels(Vec<(String, Vec<i32>)>);

impl Prepared {
    pub(super) fn new(
        model: &Model,
        data: &Dataset,
        options: &EvaluationOptions,
        cancel: &CancelToken,
    ) -> Result<Self> {
        let trained = model.info().n_ctx_train.max(8) as usize;
        let given = options.n_ctx.value().and_then(|n| usize::try_from(n).ok());
        let limit = given.unwrap_or(trained.min(AUTO_MAX));
        let encoder = Encoder::new(&Tokenizer::new(model), limit, &options.encoding)?;
        let labels = Labels::new(&encoder, data, &options.labels)?;
        let encoded = encoder.encode_all(data, None, cancel)?;
        let mut prepared = Self {
            examples: Vec::with_capacity(encoded.sequences.len()),
            encoding: encoded.report,
            labels,
            unscored: 0,
            n_ctx: 8,
        };
        for (sequence, index) in encoded.sequences.into_iter().zip(encoded.examples) {
            let question = match (&prepared.labels, data.get(index).and_then(|e| e.label())) {
                (Some(labels), Some(label)) => labels.question(&sequence, label, limit),
                _ => None,
            };
            let longest = prepared.labels.as_ref().map_or(0, Labels::longest);
            let needed = question.map_or(0, |q| q.n_prompt + longest).max(sequence.tokens.len());
            prepared.n_ctx = prepared.n_ctx.max(needed);
            prepared.examples.push(Prompted { index, sequence, question });
        }
        if prepared.labels.is_some() {
            prepared.count_unscored(data, options, limit)?;
        }
        Ok(prepared)
    }

    fn count_unscored(
        &mut self,
        data: &Dataset,
        options: &EvaluationOptions,
        limit: usize,
    ) -> Result<()> {
        let labelled = data.examples().filter(|e| e.label().is_some()).count();
        let scored = self.examples.iter().filter(|e| e.question.is_some()).count();
        self.unscored = labelled.saturating_sub(scored) as u64;
        if self.unscored > 0 && options.encoding.too_long == TooLong::Error {
            bail!(
                DatasetTooLong,
                "{} labelled examples leave no room for every label in n_ctx={limit} tokens; raise n_ctx, shorten \
                 them, or set too_long=drop",
                self.unscored
            )
        }
        Ok(())
    }

    /// Tokens that go through the model in one pass.
    pub(super) fn work(&self) -> usize {
        self.examples.iter().map(|e| self.work_of(e)).sum()
    }

    /// Those of one example.
    pub(super) fn work_of(&self, example: &Prompted) -> usize {
        let labels =
            self.labels.as_ref().map_or(0, |labels| labels.0.iter().map(|l| l.1.len()).sum());
        example.question.map_or(example.sequence.tokens.len(), |q| q.n_prompt + labels)
    }
}

impl Labels {
    /// The given labels, or those of the dataset. `None` where nothing is labelled, or all alike.
    fn new(encoder: &Encoder, data: &Dataset, given: &[String]) -> Result<Option<Self>> {
        let found = data.labels();
        if !given.is_empty() {
            check(given, &found)?;
            name_unknown(data, given)?;
        }
        let names = if given.is_empty() { found } else { given.to_vec() };
        if names.len() < 2 {
            return Ok(None);
        }
        let tokens = |name: String| Ok((encoder.label_tokens(&name)?, name));
        let labels = names.into_iter().map(tokens).collect::<Result<Vec<_>>>()?;
        Ok(Some(Self(labels.into_iter().map(|(tokens, name)| (name, tokens)).collect())))
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.0.iter().map(|(name, _)| name.clone()).collect()
    }

    /// The tokens of each label, in their order.
    pub(super) fn tokens(&self) -> impl ExactSizeIterator<Item = &[i32]> {
        self.0.iter().map(|(_, tokens)| tokens.as_slice())
    }

    fn longest(&self) -> usize {
        self.0.iter().map(|(_, tokens)| tokens.len()).max().unwrap_or(0)
    }

    /// Where an example's label begins. `None` if the example was cut off, or a label has no room behind its prompt.
    fn question(&self, sequence: &Sequence, label: &str, limit: usize) -> Option<Question> {
        let truth = self.0.iter().position(|(name, _)| name == label)?;
        let (_, own) = self.0.get(truth)?;
        let prompt = sequence.tokens.strip_suffix(own.as_slice())?;
        let fits = !prompt.is_empty() && prompt.len() + self.longest() <= limit;
        fits.then_some(Question { n_prompt: prompt.len(), truth })
    }
}

/// Whether labels can be chosen from at all.
fn check(given: &[String], found: &[String]) -> Result<()> {
    let twice =
        given.iter().enumerate().find(|(i, l)| given.iter().take(*i).any(|other| other == *l));
    if let Some((_, label)) = twice {
        bail!(
            InvalidOption,
            "evaluation option labels: {label:?} is given twice; give each label once"
        )
    }
    if given.len() < 2 || given.iter().any(|label| label.trim().is_empty()) {
        bail!(
            InvalidOption,
            "evaluation option labels: {given:?} leaves nothing to choose; give two or more labels, none of them empty"
        )
    }
    if found.is_empty() {
        bail!(
            InvalidArgument,
            "labels are given, but no example of the dataset has one; give examples with \"text\" and \"label\", or \
             leave the labels out"
        )
    }
    Ok(())
}

/// The error for the first example whose label cannot be chosen.
fn name_unknown(data: &Dataset, given: &[String]) -> Result<()> {
    let known = |label: &str| given.iter().any(|other| other == label);
    let unknown = data.examples().map(|e| e.label()).enumerate();
    let unknown = unknown.filter_map(|(i, label)| label.map(|label| (i, label)));
    if let Some((index, label)) = unknown.into_iter().find(|(_, label)| !known(label)) {
        bail!(
            DatasetLabel,
            "{}: the label {label:?} is not among those to choose from: {}; add it to them, correct the example, or \
             leave the labels out to choose from all that the dataset has",
            data.place(index)?,
            given.join(", ")
        )
    }
    Ok(())
}
