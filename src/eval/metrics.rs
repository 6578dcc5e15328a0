//! From right and chosen labels to the usual numbers of a classifier.

use serde::Serialize;

/// How well labels are found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Classification {
    /// Share of the examples whose label was found.
    pub accuracy: f64,
    /// Mean of the classes' precisions.
    pub macro_precision: f64,
    /// Mean of the classes' recalls.
    pub macro_recall: f64,
    /// Mean of the classes' F1.
    pub macro_f1: f64,
    /// The examples that were classified.
    pub examples: u64,
    /// Labelled examples that were not, because not every label has room behind them.
    pub skipped: u64,
    /// Each class, in the order of the labels.
    pub classes: Vec<ClassMetrics>,
    /// How many examples of class `i` were taken for class `j`: `confusion[i][j]`.
    pub confusion: Vec<Vec<u64>>,
}

/// How well one class is found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ClassMetrics {
    /// The label.
    pub label: String,
    /// Share of those taken for this class that are of it; 0 if none was.
    pub precision: f64,
    /// Share of the class that was found; 0 if there is none of it.
    pub recall: f64,
    /// Harmonic mean of precision and recall; 0 if both are.
    pub f1: f64,
    /// Examples of the class.
    pub support: u64,
}

impl Classification {
    /// The numbers of `guesses`, pairs of the right and the chosen label as indices of `labels`.
    pub(super) fn new(labels: Vec<String>, guesses: &[(usize, usize)], skipped: u64) -> Self {
        let mut confusion = vec![vec![0u64; labels.len()]; labels.len()];
        for &(truth, guess) in guesses {
            if let Some(cell) = confusion.get_mut(truth).and_then(|row| row.get_mut(guess)) {
                *cell += 1;
            }
        }
        let classes: Vec<_> = labels
            .into_iter()
            .enumerate()
            .map(|(class, label)| ClassMetrics::new(label, class, &confusion))
            .collect();
        let mean = |of: fn(&ClassMetrics) -> f64| {
            classes.iter().map(of).sum::<f64>() / classes.len().max(1) as f64
        };
        let right = guesses.iter().filter(|(truth, guess)| truth == guess).count() as u64;
        Self {
            accuracy: ratio(right, guesses.len() as u64),
            macro_precision: mean(|c| c.precision),
            macro_recall: mean(|c| c.recall),
            macro_f1: mean(|c| c.f1),
            examples: guesses.len() as u64,
            skipped,
            classes,
            confusion,
        }
    }
}

impl ClassMetrics {
    fn new(label: String, class: usize, confusion: &[Vec<u64>]) -> Self {
        let cell = |row: &Vec<u64>| row.get(class).copied().unwrap_or(0);
        let support: u64 = confusion.get(class).map_or(0, |row| row.iter().sum());
        let chosen: u64 = confusion.iter().map(cell).sum();
        let right = confusion.get(class).map_or(0, cell);
        Self {
            label,
            precision: ratio(right, chosen),
            recall: ratio(right, support),
            f1: ratio(2 * right, support + chosen),
            support,
        }
    }
}

/// A share; 0 of nothing.
fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value as Json;

    fn close(ours: f64, theirs: &Json) -> bool {
        (ours - theirs.as_f64().unwrap()).abs() < 1e-12
    }

    #[test]
    fn equal_to_scikit_learn() {
        let golden = include_str!("../../tests/golden/metrics.json");
        let golden: Json = serde_json::from_str(golden).unwrap();
        let cases = golden["cases"].as_array().unwrap();
        assert!(cases.len() >= 6);
        for case in cases {
            let of =
                |key: &str| -> Vec<usize> { serde_json::from_value(case[key].clone()).unwrap() };
            let labels: Vec<String> = serde_json::from_value(case["labels"].clone()).unwrap();
            let guesses: Vec<_> = of("truth").into_iter().zip(of("guess")).collect();
            let ours = Classification::new(labels, &guesses, 0);
            let confusion: Vec<Vec<u64>> =
                serde_json::from_value(case["confusion"].clone()).unwrap();
            assert_eq!(ours.confusion, confusion);
            assert!(close(ours.accuracy, &case["accuracy"]), "{ours:?}");
            assert!(close(ours.macro_precision, &case["macro_precision"]), "{ours:?}");
            assert!(close(ours.macro_recall, &case["macro_recall"]), "{ours:?}");
            assert!(close(ours.macro_f1, &case["macro_f1"]), "{ours:?}");
            for (i, class) in ours.classes.iter().enumerate() {
                assert!(close(class.precision, &case["precision"][i]), "{ours:?}");
                assert!(close(class.recall, &case["recall"][i]), "{ours:?}");
                assert!(close(class.f1, &case["f1"][i]), "{ours:?}");
                assert_eq!(class.support, case["support"][i].as_u64().unwrap());
            }
        }
    }

    #[test]
    fn of_nothing_all_is_zero() {
        let none = Classification::new(vec!["a".into(), "b".into()], &[], 3);
        assert_eq!((none.accuracy, none.macro_f1, none.examples, none.skipped), (0.0, 0.0, 0, 3));
    }
}
