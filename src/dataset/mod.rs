//! Data to learn from: files and examples in memory, cleaned, split, and made into rows of tokens.
//!
//! ```text
//! JSONL, CSV, text, memory -> Dataset -> split, folds -> Encoder -> [Sequence] -> order -> pack -> [Row]
//!                                |                          |
//!                          DatasetReport             EncodingReport
//! ```
//!
//! A row of JSONL or CSV has one of these shapes; other keys are ignored, and of several shapes the first counts:
//!
//! | keys | what is learned |
//! |---|---|
//! | `messages`, optionally `tools` | the assistant's turns, through the model's chat template; in CSV the columns hold JSON |
//! | `prompt`, `completion` | the completion: raw text that follows the prompt as it stands |
//! | `text` | all of it |
//! | `text`, `label` | the label, put behind the text by a pattern |
//!
//! A plain text file holds one example a paragraph; empty lines are between them. Files are UTF-8, with or without a
//! byte order mark, and lines end in LF or CRLF. They are read as a stream: only the cleaned examples are kept.

mod augment;
mod clean;
mod conversation;
mod csv;
mod encode;
mod example;
mod label;
mod lines;
mod pack;
mod read;
mod report;
mod row;
mod sequence;
mod split;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use crate::error::{Result, err};
use crate::format::Source;
use crate::options::{DatasetOptions, Options};

pub use encode::Encoder;
pub use example::Example;
pub use label::LabelPattern;
pub use pack::{Row, order, pack};
pub use report::{BadLine, CleaningReport, DatasetReport};
pub use sequence::{Encoded, EncodingReport, Sequence};

use read::Sink;

/// Where an example came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    /// Which of the files.
    file: usize,
    /// The line on which it begins, from 1; in memory its number.
    line: u64,
}

/// Examples that were read and cleaned once. Parts of a dataset share its examples, so splitting and cloning are
/// cheap.
#[derive(Clone)]
pub struct Dataset {
    all: Arc<[(Example, Place)]>,
    report: Arc<DatasetReport>,
    /// Which of `all` belong to this part, in order.
    chosen: Vec<usize>,
}

impl Dataset {
    /// Reads files one after the other, and cleans what they hold.
    ///
    /// # Errors
    /// `InvalidOption`; `NotFound`, `PermissionDenied`, `NotAFile`, `Io`; `DatasetLine` names file, line and reason of
    /// a bad line, unless `bad_lines=skip`; `DatasetFormat` for a file that is a JSON list, or a CSV header without
    /// usable columns; `DatasetEmpty` if no example is left, with what became of them.
    pub fn open<S: Into<Source>>(
        sources: impl IntoIterator<Item = S>,
        options: &DatasetOptions,
    ) -> Result<Self> {
        options.validate()?;
        let mut sink = Sink::new(options);
        for source in sources {
            read::read(&source.into(), options, &mut sink)?;
        }
        Self::finish(sink)
    }

    /// Cleans examples that are in memory already.
    ///
    /// # Errors
    /// `InvalidOption`; `DatasetEmpty` if no example is left.
    pub fn from_examples(
        examples: impl IntoIterator<Item = Example>,
        options: &DatasetOptions,
    ) -> Result<Self> {
        options.validate()?;
        let mut sink = Sink::new(options);
        for (number, example) in (1..).zip(examples) {
            sink.row(number, Ok(example))?;
        }
        Self::finish(sink)
    }

    fn finish(mut sink: Sink) -> Result<Self> {
        if sink.examples.is_empty() {
            return Err(sink.report.empty());
        }
        sink.report.examples = sink.examples.len() as u64;
        Ok(Self {
            chosen: (0..sink.examples.len()).collect(),
            all: sink.examples.into(),
            report: Arc::new(sink.report),
        })
    }

    /// The number of examples.
    pub fn len(&self) -> usize {
        self.chosen.len()
    }

    /// Whether there are none: so only for a part that was asked to be empty.
    pub fn is_empty(&self) -> bool {
        self.chosen.is_empty()
    }

    /// The examples, in order.
    pub fn examples(&self) -> impl ExactSizeIterator<Item = &Example> + Clone {
        // `chosen` only ever holds indices of `all`.
        self.chosen.iter().map(|&i| &self.all[i].0)
    }

    /// One example, counted from 0.
    pub fn get(&self, index: usize) -> Option<&Example> {
        self.chosen.get(index).and_then(|&i| self.all.get(i)).map(|(example, _)| example)
    }

    /// Where an example came from, for messages: `data.jsonl, line 7`, or `example 7` of those given in memory.
    ///
    /// # Errors
    /// `InvalidArgument` for an index that is not below [`len`](Self::len).
    pub fn place(&self, index: usize) -> Result<String> {
        let found = self.chosen.get(index).and_then(|&i| self.all.get(i));
        let (_, place) = found.ok_or_else(|| {
            err!(InvalidArgument, "there is no example {index}; the dataset has {}", self.len())
        })?;
        Ok(match self.report.files.get(place.file) {
            Some(file) => format!("{file}, line {}", place.line),
            None => format!("example {}", place.line),
        })
    }

    /// What reading and cleaning did. Parts of a dataset have the report of the whole.
    pub fn report(&self) -> &DatasetReport {
        &self.report
    }

    /// The distinct labels, sorted. Empty when nothing is labelled.
    pub fn labels(&self) -> Vec<String> {
        let labels: BTreeSet<_> = self.examples().filter_map(Example::label).collect();
        labels.into_iter().map(str::to_owned).collect()
    }

    /// The SHA-256 of the cleaned examples in their order, as hexadecimal text: the same on every machine, whatever
    /// file and format they came from.
    pub fn digest(&self) -> String {
        example::digest(self.examples())
    }

    /// The examples at these indices of `all`.
    fn part(&self, mut chosen: Vec<usize>) -> Self {
        chosen.sort_unstable();
        Self { all: Arc::clone(&self.all), report: Arc::clone(&self.report), chosen }
    }
}

impl fmt::Debug for Dataset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dataset").field("len", &self.len()).field("report", &self.report).finish()
    }
}
