//! What reading and cleaning did.

use serde::Serialize;

use crate::error::{Code, Error};

/// How many bad lines are kept with their reasons.
const KEPT: usize = 20;

/// A line that is no example.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BadLine {
    /// The file's path, or `memory` or `open file`, with its number among the files.
    pub file: String,
    /// The line on which the row begins, from 1.
    pub line: u64,
    /// What is wrong and what to do.
    pub reason: String,
}

impl BadLine {
    /// The error for a caller who does not skip bad lines.
    pub(super) fn error(&self) -> Error {
        Error::new(
            Code::DatasetLine,
            format!(
                "{}, line {}: {}; or set bad_lines=skip to leave such lines out",
                self.file, self.line, self.reason
            ),
        )
    }
}

/// How many examples each cleaning step changed or left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct CleaningReport {
    /// Examples in which control characters were removed.
    pub strip_control: u64,
    /// Examples in which characters were composed.
    pub unicode_nfc: u64,
    /// Examples in which runs of white space were collapsed.
    pub collapse_space: u64,
    /// Examples in which white space was trimmed.
    pub trim: u64,
    /// Examples in which letters were made small.
    pub lower_case: u64,
    /// Examples left out because they are empty.
    pub empty: u64,
    /// Examples left out because they have fewer characters than `min_chars`.
    pub min_chars: u64,
    /// Examples left out because they have more characters than `max_chars`.
    pub max_chars: u64,
    /// Examples left out because they equal an earlier one.
    pub drop_duplicates: u64,
}

impl CleaningReport {
    /// How many examples were left out.
    pub fn removed(&self) -> u64 {
        self.empty + self.min_chars + self.max_chars + self.drop_duplicates
    }
}

/// What reading and cleaning did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct DatasetReport {
    /// The files, in the order read.
    pub files: Vec<String>,
    /// Rows read, bad ones included.
    pub rows: u64,
    /// Bad lines that were skipped.
    pub bad_lines: u64,
    /// The first 20 of them.
    pub first_bad: Vec<BadLine>,
    /// What each cleaning step did.
    pub cleaning: CleaningReport,
    /// Examples that remain.
    pub examples: u64,
}

impl DatasetReport {
    pub(super) fn add_bad(&mut self, bad: BadLine) {
        self.bad_lines += 1;
        if self.first_bad.len() < KEPT {
            self.first_bad.push(bad);
        }
    }

    /// The error for a dataset without examples: says where they went.
    pub(super) fn empty(&self) -> Error {
        let mut reasons = Vec::new();
        let mut reason = |count: u64, what: &str| {
            if count > 0 {
                reasons.push(format!("{count} {what}"));
            }
        };
        reason(self.bad_lines, "were bad lines");
        reason(self.cleaning.empty, "were empty");
        reason(self.cleaning.min_chars, "had fewer characters than min_chars");
        reason(self.cleaning.max_chars, "had more characters than max_chars");
        let mut message = format!("the dataset has no examples: {} rows were read", self.rows);
        if !reasons.is_empty() {
            message += &format!(", of which {}", reasons.join(", "));
        }
        if let Some(bad) = self.first_bad.first() {
            message += &format!(" (the first: {}, line {}: {})", bad.file, bad.line, bad.reason);
        }
        let what = if self.files.is_empty() { String::new() } else { self.files.join(", ") + ": " };
        Error::new(
            Code::DatasetEmpty,
            format!("{what}{message}; add examples, or relax what leaves them out"),
        )
    }
}
