//! How a text and its label become a prompt and a completion.

use crate::error::{Result, bail};

/// A parsed `label_pattern`: the prompt and the completion of a labelled text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelPattern {
    /// Before the text.
    head: String,
    /// Between text and completion.
    middle: String,
    /// The white space in front of the label.
    space: String,
    /// Behind the label.
    tail: String,
}

impl LabelPattern {
    /// Parses a pattern such as `{text}\nLabel: {label}`. The completion begins at the white space before `{label}`,
    /// because tokens of most vocabularies begin with their space.
    ///
    /// # Errors
    /// `InvalidOption` unless `{text}` and then `{label}` occur in it, each once.
    pub fn new(pattern: &str) -> Result<Self> {
        let parts = pattern.split_once("{text}").and_then(|(head, rest)| {
            let (middle, tail) = rest.split_once("{label}")?;
            let more = [head, middle, tail].concat();
            (!more.contains("{text}") && !more.contains("{label}")).then_some((head, middle, tail))
        });
        let Some((head, middle, tail)) = parts else {
            bail!(
                InvalidOption,
                "encoding option label_pattern: {pattern:?} does not hold {{text}} and then {{label}}, each once; \
                 give for example {:?}",
                "{text}\nLabel: {label}"
            )
        };
        let (middle, space) = middle.split_at(middle.trim_end().len());
        let [head, middle, space, tail] = [head, middle, space, tail].map(str::to_owned);
        Ok(Self { head, middle, space, tail })
    }

    /// What is read before the label.
    pub fn prompt(&self, text: &str) -> String {
        [&self.head, text, &self.middle].concat()
    }

    /// What is to be written for a label.
    pub fn completion(&self, label: &str) -> String {
        [&self.space, label, &self.tail].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::EncodingOptions;

    #[test]
    fn the_completion_begins_with_the_space_before_the_label() {
        let pattern = LabelPattern::new(&EncodingOptions::default().label_pattern).unwrap();
        assert_eq!(pattern.prompt("a {label} b"), "a {label} b\nLabel:");
        assert_eq!(pattern.completion("{text}"), " {text}");
        let pattern = LabelPattern::new("<{text}>{label}!").unwrap();
        assert_eq!((pattern.prompt("t"), pattern.completion("l")), ("<t>".into(), "l!".into()));
    }

    #[test]
    fn a_pattern_needs_both_places_once_and_in_order() {
        for bad in [
            "",
            "{text}",
            "{label}",
            "{label}{text}",
            "{text}{text}{label}",
            "{text}{label}{label}",
        ] {
            assert!(LabelPattern::new(bad).is_err(), "{bad}");
        }
    }
}
