//! Evaluations as tables for people.

use std::fmt;

use super::metrics::Classification;
use super::report::{Comparison, Evaluation};

impl fmt::Display for Evaluation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows: Vec<_> = numbers(self)
            .into_iter()
            .map(|(name, value)| vec![name.to_owned(), four(value)])
            .collect();
        table(f, &rows)?;
        notes(f, self)?;
        self.classification.iter().try_for_each(|c| classes(f, c))
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rows = vec![["", "base", "adapter", "difference"].map(str::to_owned).to_vec()];
        for ((name, base), (_, adapter)) in
            numbers(&self.base).into_iter().zip(numbers(&self.adapter))
        {
            let difference = format!("{:+.4}", adapter - base);
            rows.push(vec![name.to_owned(), four(base), four(adapter), difference]);
        }
        table(f, &rows)?;
        notes(f, &self.adapter)?;
        for (name, evaluation) in [("base", &self.base), ("adapter", &self.adapter)] {
            if let Some(classification) = &evaluation.classification {
                write!(f, "\n{name}:")?;
                classes(f, classification)?;
            }
        }
        Ok(())
    }
}

/// The numbers that are compared.
fn numbers(evaluation: &Evaluation) -> Vec<(&'static str, f64)> {
    let mut rows = vec![
        ("loss", evaluation.loss),
        ("perplexity", evaluation.perplexity),
        ("token accuracy", evaluation.token_accuracy),
    ];
    if let Some(c) = &evaluation.classification {
        rows.extend([
            ("label accuracy", c.accuracy),
            ("macro precision", c.macro_precision),
            ("macro recall", c.macro_recall),
            ("macro F1", c.macro_f1),
        ]);
    }
    rows
}

/// What was measured, and what was not.
fn notes(f: &mut fmt::Formatter<'_>, e: &Evaluation) -> fmt::Result {
    writeln!(f, "\n{} examples, {} tokens to predict", e.examples, e.tokens)?;
    let skipped = e.classification.as_ref().map_or(0, |c| c.skipped);
    for (count, what) in [
        (e.encoding.truncated, "examples cut off at the end of n_ctx"),
        (e.encoding.too_long, "examples left out: longer than n_ctx"),
        (e.encoding.nothing_to_learn, "examples left out: nothing to predict in n_ctx tokens"),
        (e.encoding.bad, "examples left out: not for the model's chat format"),
        (skipped, "labelled examples not classified: no room for every label in n_ctx tokens"),
    ] {
        if count > 0 {
            writeln!(f, "{count} {what}")?;
        }
    }
    Ok(())
}

/// The classes, and the confusion matrix.
fn classes(f: &mut fmt::Formatter<'_>, c: &Classification) -> fmt::Result {
    let mut rows =
        vec![["label", "precision", "recall", "F1", "support"].map(str::to_owned).to_vec()];
    for class in &c.classes {
        let numbers = [class.precision, class.recall, class.f1].map(four);
        let mut row = vec![short(&class.label)];
        row.extend(numbers);
        row.push(class.support.to_string());
        rows.push(row);
    }
    writeln!(f)?;
    table(f, &rows)?;

    let mut heading = vec!["true \\ chosen".to_owned()];
    heading.extend(c.classes.iter().map(|class| short(&class.label)));
    let mut rows = vec![heading];
    for (class, counts) in c.classes.iter().zip(&c.confusion) {
        let mut row = vec![short(&class.label)];
        row.extend(counts.iter().map(u64::to_string));
        rows.push(row);
    }
    writeln!(f)?;
    table(f, &rows)
}

fn four(value: f64) -> String {
    format!("{value:.4}")
}

/// A label in one short line.
fn short(label: &str) -> String {
    const MOST: usize = 24;
    let clean = |c: char| if c.is_control() { ' ' } else { c };
    let mut text: String = label.chars().map(clean).take(MOST).collect();
    if label.chars().count() > MOST {
        text.push('…');
    }
    text
}

/// Columns as wide as their widest cell, the first to the left, numbers to the right.
pub(super) fn table(f: &mut fmt::Formatter<'_>, rows: &[Vec<String>]) -> fmt::Result {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max()
    };
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    for row in rows {
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            match column {
                0 => write!(f, "{cell:width$}")?,
                _ => write!(f, "  {cell:>width$}")?,
            }
        }
        writeln!(f)?;
    }
    Ok(())
}
