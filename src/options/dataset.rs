//! The options of datasets, and of how they become tokens.

use super::MAX_INT;
use super::table::{choice, options};

choice! {
    /// What a dataset file holds.
    DatasetFormat {
        Auto = "auto" "By the name (.jsonl, .ndjson, .json, .csv, .txt), or else by the first sign: `{` is JSONL.",
        Jsonl = "jsonl" "One JSON object a line.",
        Csv = "csv" "Comma-separated values under a header.",
        Text = "text" "Plain text: one example a paragraph, between blank lines.",
    }
}

choice! {
    /// What happens with data that cannot be used.
    BadData {
        Error = "error" "An error that says where and why.",
        Skip = "skip" "It is left out and counted, with the reasons of the first ones.",
    }
}

choice! {
    /// What happens with an example of more tokens than a row.
    TooLong {
        Truncate = "truncate" "Its end is cut off; if nothing to learn is left, it is dropped. Both are counted.",
        Drop = "drop" "It is dropped and counted.",
        Error = "error" "An error that names it.",
    }
}

choice! {
    /// Which tokens are learned.
    LossOn {
        Completion = "completion" "The answers: assistant turns, completions and labels; of a text everything.",
        All = "all" "Every token but the first.",
    }
}

options! {
    /// How a dataset is read and cleaned. The cleaning steps run in the order of these rows; an example that is empty
    /// is always left out.
    DatasetOptions = "dataset" {
        format: DatasetFormat = DatasetFormat::Auto, (), "What the files hold.";
        bad_lines: BadData = BadData::Error, (), "What happens with a malformed line.";
        strip_control: bool = false, (), "Remove control characters other than tab and line feed.";
        unicode_nfc: bool = false, (), "Compose characters: Unicode normalization form C.";
        collapse_space: bool = false, (), "Make every run of white space one space.";
        trim: bool = false, (), "Remove white space around texts; between a prompt and its completion it stays.";
        lower_case: bool = false, (), "Make all letters small.";
        min_chars: i64 = 0, 0..=MAX_INT, "Leave out examples with fewer characters.";
        max_chars: i64 = 0, 0..=MAX_INT, "Leave out examples with more characters; 0 = no limit.";
        drop_duplicates: bool = false, (), "Leave out examples that equal an earlier one.";
    }
}

options! {
    /// How examples become tokens to learn from.
    EncodingOptions = "encoding" {
        too_long: TooLong = TooLong::Truncate, (), "What happens with an example of more tokens than a row.";
        bad_examples: BadData = BadData::Error, (), "What happens with a conversation that the template refuses or that has no assistant turn.";
        loss_on: LossOn = LossOn::Completion, (), "Which tokens are learned.";
        chat_template: String = String::new(), (), "A built-in template's name for messages; empty = the model's own.";
        label_pattern: String = "{text}\nLabel: {label}".into(), (), "How text and label make a prompt and its completion, which begins at the white space before {label}.";
        token_deletion: f64 = 0.0, 0.0..=1.0, "Chance per token of what is read to be left out, drawn anew each epoch.";
        token_noise: f64 = 0.0, 0.0..=1.0, "Chance per token of what is read to become a random one, drawn anew each epoch.";
        word_swap: f64 = 0.0, 0.0..=1.0, "Chance per word of what is read to change places with the next, drawn anew each epoch.";
        augment_seed: i64 = 0, 0..=i64::MAX, "Seed of these changes.";
    }
}
