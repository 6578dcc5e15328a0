//! The cleaning steps: what each does to a text, and which examples they leave out.

use std::collections::HashSet;

use sha2::{Digest, Sha256};
use unicode_normalization::{UnicodeNormalization, is_nfc};

use super::example::Example;
use super::report::CleaningReport;
use crate::options::DatasetOptions;

/// Applies the steps to examples as they come.
pub(super) struct Cleaner {
    options: DatasetOptions,
    seen: HashSet<[u8; 32]>,
}

/// A step that changes texts. `start` and `end` say whether the example begins and ends there: a border between a
/// prompt and its completion is neither, because white space there belongs to the text.
type Step = fn(text: &str, start: bool, end: bool) -> String;

impl Cleaner {
    pub fn new(options: &DatasetOptions) -> Self {
        Self { options: options.clone(), seen: HashSet::new() }
    }

    /// The cleaned example; `None` if it is left out.
    pub fn clean(&mut self, mut example: Example, report: &mut CleaningReport) -> Option<Example> {
        let o = &self.options;
        let steps: [(bool, Step, &mut u64); 5] = [
            (o.strip_control, strip_control, &mut report.strip_control),
            (o.unicode_nfc, unicode_nfc, &mut report.unicode_nfc),
            (o.collapse_space, collapse_space, &mut report.collapse_space),
            (o.trim, trim, &mut report.trim),
            (o.lower_case, lower_case, &mut report.lower_case),
        ];
        for (_, step, count) in steps.into_iter().filter(|(asked, ..)| *asked) {
            *count += u64::from(apply(&mut example, step));
        }
        let chars = example.chars() as i64;
        let removed = if example.is_empty() {
            &mut report.empty
        } else if chars < o.min_chars {
            &mut report.min_chars
        } else if o.max_chars > 0 && chars > o.max_chars {
            &mut report.max_chars
        } else if o.drop_duplicates && !self.seen.insert(digest(&example)) {
            &mut report.drop_duplicates
        } else {
            return Some(example);
        };
        *removed += 1;
        None
    }
}

fn digest(example: &Example) -> [u8; 32] {
    let mut hash = Sha256::new();
    example.hash_into(&mut hash);
    hash.finalize().into()
}

/// Applies a step to every text of an example, and says whether anything changed.
fn apply(example: &mut Example, step: Step) -> bool {
    let mut changed = false;
    let mut change = |text: &str, start: bool, end: bool| {
        let new = step(text, start, end);
        changed |= new != text;
        new
    };
    match example {
        Example::Messages { messages, .. } => {
            for message in messages.as_mut_slice() {
                message.map_text(|text| change(text, true, true));
            }
        }
        Example::Completion { prompt, completion } => {
            *prompt = change(prompt, true, false);
            *completion = change(completion, false, true);
        }
        Example::Text(text) => *text = change(text, true, true),
        Example::Labelled { text, label } => {
            *text = change(text, true, true);
            *label = change(label, true, true);
        }
    }
    changed
}

fn strip_control(text: &str, _: bool, _: bool) -> String {
    text.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')).collect()
}

fn unicode_nfc(text: &str, _: bool, _: bool) -> String {
    if is_nfc(text) { text.to_owned() } else { text.nfc().collect() }
}

fn collapse_space(text: &str, _: bool, _: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        let space = c.is_whitespace();
        if !space {
            out.push(c);
        } else if !out.ends_with(' ') {
            out.push(' ');
        }
    }
    out
}

fn trim(text: &str, start: bool, end: bool) -> String {
    let text = if start { text.trim_start() } else { text };
    if end { text.trim_end() } else { text }.to_owned()
}

fn lower_case(text: &str, _: bool, _: bool) -> String {
    text.to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::{Message, Messages};

    fn all_on() -> DatasetOptions {
        DatasetOptions {
            trim: true,
            unicode_nfc: true,
            lower_case: true,
            collapse_space: true,
            strip_control: true,
            drop_duplicates: true,
            min_chars: 3,
            max_chars: 20,
            ..DatasetOptions::default()
        }
    }

    #[test]
    fn each_step_is_counted_once_for_each_example_it_changes() {
        let mut cleaner = Cleaner::new(&all_on());
        let mut report = CleaningReport::default();
        let mut clean = |text: &str| cleaner.clean(Example::from(text), &mut report);
        assert_eq!(clean("  Cafe\u{301}\u{7}  au\n\tlait "), Some("café au lait".into()));
        assert_eq!(clean("café au lait"), None);
        assert_eq!(clean("ab"), None);
        assert_eq!(clean(" \n\u{0} "), None);
        assert_eq!(clean(&"x".repeat(21)), None);
        assert_eq!(clean("plain"), Some("plain".into()));
        let expected = CleaningReport {
            strip_control: 2,
            unicode_nfc: 1,
            collapse_space: 2,
            trim: 2,
            lower_case: 1,
            empty: 1,
            min_chars: 1,
            max_chars: 1,
            drop_duplicates: 1,
        };
        assert_eq!(report, expected);
        assert_eq!(report.removed(), 4);
    }

    #[test]
    fn white_space_between_prompt_and_completion_stays() {
        let mut cleaner = Cleaner::new(&DatasetOptions { trim: true, ..Default::default() });
        let mut report = CleaningReport::default();
        let cleaned = cleaner.clean(Example::completion(" Q: ", " A\n"), &mut report);
        assert_eq!(cleaned, Some(Example::completion("Q: ", " A")));
    }

    #[test]
    fn the_contents_of_messages_are_cleaned_and_nothing_else_of_them() {
        let call = serde_json::json!([{"name": " F "}]);
        let messages = Messages::from(vec![
            Message::new("user", " Hi "),
            Message::new("assistant", "YES").with_field("tool_calls", call.clone()),
        ]);
        let mut report = CleaningReport::default();
        let cleaned = Cleaner::new(&all_on()).clean(messages.into(), &mut report);
        let expected = Messages::from(vec![
            Message::new("user", "hi"),
            Message::new("assistant", "yes").with_field("tool_calls", call),
        ]);
        assert_eq!(cleaned, Some(expected.into()));
    }

    #[test]
    fn by_default_only_empty_examples_are_left_out() {
        let mut cleaner = Cleaner::new(&DatasetOptions::default());
        let mut report = CleaningReport::default();
        for text in [" A\u{7} ", " A\u{7} "] {
            assert_eq!(cleaner.clean(text.into(), &mut report), Some(text.into()));
        }
        assert_eq!(cleaner.clean(Example::completion("prompt", " "), &mut report), None);
        assert_eq!(report, CleaningReport { empty: 1, ..Default::default() });
    }
}
