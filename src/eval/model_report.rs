//! What comparing models found, as numbers and as a table.

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

use super::show::table;
use super::side_by_side::{Position, divergence};
use crate::model::Model;

/// Models side by side on the same text.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ModelComparison {
    /// In the order in which they were given; the first is the reference.
    pub models: Vec<ComparedModel>,
    /// Tokens of each window of the text at most.
    pub n_ctx: u64,
    /// Windows that were read.
    pub windows: u64,
    /// Seconds that it took.
    pub seconds: f64,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ComparedModel {
    /// Its file; `None` if it came from elsewhere.
    pub path: Option<PathBuf>,
    /// The model's name, if it has one.
    pub name: Option<String>,
    /// The type of most of its weights.
    pub r#type: String,
    /// Bytes of its files.
    pub file_bytes: u64,
    /// Bits of a weight, on average.
    pub bits_per_weight: f64,
    /// Positions at which the next token was predicted.
    pub tokens: u64,
    /// Mean of -ln p of the tokens that came, in nats.
    pub loss: f64,
    /// e to the power of the loss.
    pub perplexity: f64,
    /// How far the predictions are from the reference's: KL(reference || model) of each position, in nats.
    pub kl: Distribution,
    /// Share of the positions at which the reference and the model think the same token most likely.
    pub same_top: f64,
}

/// A number at every position.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Distribution {
    /// The mean.
    pub mean: f64,
    /// The standard error of the mean.
    pub error: f64,
    /// Half of the positions are below.
    pub median: f64,
    /// Nine tenths are below.
    pub p90: f64,
    /// 99 in a hundred are below.
    pub p99: f64,
    /// The largest.
    pub max: f64,
}

/// What is known of a model so far.
#[derive(Debug, Clone, Default)]
pub(super) struct Tally {
    loss: f64,
    same_top: u64,
    /// Of each position: four bytes are little beside what a position costs to compute.
    kl: Vec<f32>,
}

impl Tally {
    pub(super) fn add(&mut self, at: &Position<'_, '_>) {
        self.loss -= at.found.of(at.next).0;
        let (kl, same) =
            if at.model == 0 { (0.0, true) } else { divergence(at.expected, at.found) };
        self.kl.push(kl as f32);
        self.same_top += u64::from(same);
    }

    /// Sorts what it has.
    pub(super) fn compared(&mut self, model: &Model) -> ComparedModel {
        let (info, n) = (model.info(), self.kl.len().max(1) as f64);
        let path = model.files().parts().first().and_then(|part| part.path());
        let loss = self.loss / n;
        ComparedModel {
            path: path.map(Into::into),
            name: info.name.clone(),
            r#type: info.quantization.first().map_or_else(String::new, |q| q.r#type.clone()),
            file_bytes: info.file_bytes,
            bits_per_weight: info.bits_per_weight,
            tokens: self.kl.len() as u64,
            loss,
            perplexity: loss.exp(),
            kl: Distribution::of(&mut self.kl),
            same_top: self.same_top as f64 / n,
        }
    }
}

impl Distribution {
    /// Sorts the values.
    fn of(values: &mut [f32]) -> Self {
        values.sort_unstable_by(f32::total_cmp);
        let n = values.len().max(1) as f64;
        let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / n;
        let squares: f64 = values.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum();
        // The smallest value that so many are not above.
        let at = |share: f64| {
            let index = (share * n).ceil() as usize;
            values.get(index.saturating_sub(1)).copied().map_or(0.0, f64::from)
        };
        Self {
            mean,
            error: (squares / n / (n - 1.0).max(1.0)).sqrt(),
            median: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            max: at(1.0),
        }
    }
}

impl fmt::Display for ModelComparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let heading = ["", "type", "MiB", "bits", "perplexity", "KL", "KL 99 %", "same top"];
        let mut rows = vec![heading.map(str::to_owned).to_vec()];
        for (i, model) in self.models.iter().enumerate() {
            let mut row = vec![
                model.label(),
                model.r#type.clone(),
                format!("{:.1}", model.file_bytes as f64 / f64::from(1 << 20)),
                format!("{:.2}", model.bits_per_weight),
                format!("{:.3}", model.perplexity),
            ];
            row.extend(match i {
                0 => ["reference".to_owned(), String::new(), String::new()],
                _ => [
                    format!("{:.5}", model.kl.mean),
                    format!("{:.4}", model.kl.p99),
                    format!("{:.2} %", 100.0 * model.same_top),
                ],
            });
            rows.push(row);
        }
        table(f, &rows)?;
        let tokens = self.models.first().map_or(0, |model| model.tokens);
        writeln!(f, "\n{tokens} tokens predicted in {} windows of {}", self.windows, self.n_ctx)
    }
}

impl ComparedModel {
    /// What to call it in a table: the file's name, or else the model's.
    pub fn label(&self) -> String {
        let file = self.path.as_ref().and_then(|path| path.file_stem());
        let file = file.map(|stem| stem.to_string_lossy().into_owned());
        file.or_else(|| self.name.clone()).unwrap_or_else(|| "model".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_distribution_has_its_percentiles() {
        let mut values: Vec<f32> = (1..=100).rev().map(|v| v as f32).collect();
        let found = Distribution::of(&mut values);
        assert_eq!((found.mean, found.median, found.p90), (50.5, 50.0, 90.0));
        assert_eq!((found.p99, found.max), (99.0, 100.0));
        // The standard deviation of a sample, over the root of its size.
        assert!((found.error - 2.901149).abs() < 1e-5, "{}", found.error);
        assert_eq!(Distribution::of(&mut [2.0]), Distribution { error: 0.0, ..flat(2.0) });
        assert_eq!(Distribution::of(&mut []), Distribution::default());
    }

    fn flat(v: f64) -> Distribution {
        Distribution { mean: v, error: v, median: v, p90: v, p99: v, max: v }
    }
}
