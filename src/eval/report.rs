//! What an evaluation found, and how two of them differ.

use serde::Serialize;

use super::metrics::Classification;
use crate::dataset::EncodingReport;
use crate::error::{Result, bail};

/// How well a model predicts a dataset. As text it is a readable table.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Evaluation {
    /// Mean of -ln p over the tokens to predict, in nats.
    pub loss: f64,
    /// e to the power of the loss.
    pub perplexity: f64,
    /// Share of the tokens to predict that were the most likely ones.
    pub token_accuracy: f64,
    /// The number of tokens to predict.
    pub tokens: u64,
    /// The number of examples measured.
    pub examples: u64,
    /// What became of the dataset's examples: how many were cut off or left out.
    pub encoding: EncodingReport,
    /// How well labels are found, where the dataset has two or more.
    pub classification: Option<Classification>,
    /// Seconds that it took.
    pub seconds: f64,
}

/// A model without and with adapters, on the same examples. As text it is a readable table.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// Without adapters.
    pub base: Evaluation,
    /// With them.
    pub adapter: Evaluation,
    /// With them less without.
    pub difference: Difference,
}

/// How much larger the numbers of one evaluation are than those of another.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Difference {
    /// Of the losses, in nats: less than 0 is better.
    pub loss: f64,
    /// Of the perplexities: less than 0 is better.
    pub perplexity: f64,
    /// Of the shares of tokens that were the most likely ones: more than 0 is better.
    pub token_accuracy: f64,
    /// Of the classifications, if there are any.
    pub classification: Option<ClassificationDifference>,
}

/// How much larger the numbers of one classification are than those of another.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ClassificationDifference {
    /// Of the shares of labels found.
    pub accuracy: f64,
    /// Of the means of the classes' precisions.
    pub macro_precision: f64,
    /// Of the means of the classes' recalls.
    pub macro_recall: f64,
    /// Of the means of the classes' F1.
    pub macro_f1: f64,
}

impl Comparison {
    /// Puts two evaluations of the same examples side by side.
    ///
    /// # Errors
    /// `InvalidArgument` if they are not of the same tokens or labels.
    pub fn new(base: Evaluation, adapter: Evaluation) -> Result<Self> {
        let labels = |e: &Evaluation| -> Option<Vec<String>> {
            let classes = e.classification.as_ref().map(|c| c.classes.iter());
            classes.map(|classes| classes.map(|c| c.label.clone()).collect())
        };
        let same = base.encoding == adapter.encoding && labels(&base) == labels(&adapter);
        if !same {
            bail!(
                InvalidArgument,
                "the two evaluations are not of the same examples or labels ({} tokens and {}); evaluate both with \
                 the same data, options and model",
                base.tokens,
                adapter.tokens
            )
        }
        let classification = match (&base.classification, &adapter.classification) {
            (Some(base), Some(adapter)) => Some(ClassificationDifference {
                accuracy: adapter.accuracy - base.accuracy,
                macro_precision: adapter.macro_precision - base.macro_precision,
                macro_recall: adapter.macro_recall - base.macro_recall,
                macro_f1: adapter.macro_f1 - base.macro_f1,
            }),
            _ => None,
        };
        let difference = Difference {
            loss: adapter.loss - base.loss,
            perplexity: adapter.perplexity - base.perplexity,
            token_accuracy: adapter.token_accuracy - base.token_accuracy,
            classification,
        };
        Ok(Self { base, adapter, difference })
    }
}
