//! Files to examples: which format, and how JSONL and plain text are read.

use std::io::BufRead;
use std::path::Path;

use super::clean::Cleaner;
use super::example::Example;
use super::lines::{Line, Lines, MAX_LINE, stream, too_long, utf8};
use super::report::{BadLine, DatasetReport};
use super::{Place, csv, row};
use crate::error::{Context, Error, Result, bail};
use crate::format::Source;
use crate::options::{BadData, DatasetFormat, DatasetOptions};

/// Takes rows one by one: refuses or counts bad ones, cleans the others and keeps what is left.
pub(super) struct Sink {
    bad_lines: BadData,
    cleaner: Cleaner,
    pub report: DatasetReport,
    pub examples: Vec<(Example, Place)>,
}

impl Sink {
    pub fn new(options: &DatasetOptions) -> Self {
        Self {
            bad_lines: options.bad_lines,
            cleaner: Cleaner::new(options),
            report: DatasetReport::default(),
            examples: Vec::new(),
        }
    }

    /// Takes the row that begins on this line of the file opened last.
    pub fn row(&mut self, line: u64, row: Result<Example, String>) -> Result<()> {
        self.report.rows += 1;
        let example = match row {
            Ok(example) => example,
            Err(reason) => {
                let file = self.report.files.last().cloned().unwrap_or_default();
                let bad = BadLine { file, line, reason };
                if self.bad_lines == BadData::Error {
                    return Err(bad.error());
                }
                self.report.add_bad(bad);
                return Ok(());
            }
        };
        if let Some(example) = self.cleaner.clean(example, &mut self.report.cleaning) {
            let file = self.report.files.len().saturating_sub(1);
            self.examples.push((example, Place { file, line }));
        }
        Ok(())
    }
}

/// Reads one source to its end.
pub(super) fn read(source: &Source, options: &DatasetOptions, sink: &mut Sink) -> Result<()> {
    let path = source.as_path();
    let name = match path {
        Some(path) => path.display().to_string(),
        None => format!("source {}", sink.report.files.len() + 1),
    };
    sink.report.files.push(name.clone());
    let mut reader = stream(source.open()?).with_path(&name)?;
    let first = first_sign(&mut reader).with_path(&name)?;
    match detect(options.format, path, first) {
        DatasetFormat::Csv => csv::read(reader, MAX_LINE, sink),
        DatasetFormat::Text => text(Lines::new(reader, MAX_LINE), sink),
        DatasetFormat::Jsonl | DatasetFormat::Auto => {
            if first == Some(b'[') {
                bail!(
                    DatasetFormat,
                    "{name}: the file begins with a JSON list; write one object a line (jq -c '.[]' does it)"
                )
            }
            jsonl(Lines::new(reader, MAX_LINE), sink)
        }
    }
    // Errors of rows name the file already; those of the disk do not.
    .map_err(|e| if e.message().starts_with(&name) { e } else { e.with_path(&name) })
}

/// The first byte that is no white space, of what is buffered at the start.
fn first_sign(reader: &mut impl BufRead) -> Result<Option<u8>> {
    let head = reader.fill_buf().map_err(|e| Error::io(&e, "reading the file"))?;
    Ok(head.iter().copied().find(|byte| !byte.is_ascii_whitespace()))
}

fn detect(asked: DatasetFormat, path: Option<&Path>, first: Option<u8>) -> DatasetFormat {
    if asked != DatasetFormat::Auto {
        return asked;
    }
    let extension = path.and_then(Path::extension).and_then(|e| e.to_str()).unwrap_or_default();
    match extension.to_ascii_lowercase().as_str() {
        "jsonl" | "ndjson" | "json" => DatasetFormat::Jsonl,
        "csv" => DatasetFormat::Csv,
        "txt" | "text" | "md" => DatasetFormat::Text,
        _ if first == Some(b'{') => DatasetFormat::Jsonl,
        _ => DatasetFormat::Text,
    }
}

fn jsonl(mut lines: Lines<impl BufRead>, sink: &mut Sink) -> Result<()> {
    while let Some((number, line)) = lines.next()? {
        let row = match &line {
            Line::TooLong => Err(too_long()),
            Line::Bytes(bytes) if bytes.trim_ascii().is_empty() => continue,
            Line::Bytes(bytes) => utf8(bytes).and_then(row::from_json),
        };
        sink.row(number, row)?;
    }
    Ok(())
}

/// One example a paragraph: lines up to an empty one, joined by line feeds.
fn text(mut lines: Lines<impl BufRead>, sink: &mut Sink) -> Result<()> {
    let mut paragraph = Paragraph::default();
    while let Some((number, line)) = lines.next()? {
        match line {
            Line::Bytes(bytes) if bytes.trim_ascii().is_empty() => paragraph.end(sink)?,
            line => paragraph.add(number, line),
        }
    }
    paragraph.end(sink)
}

/// The lines read since the last empty one.
#[derive(Default)]
struct Paragraph {
    text: String,
    first: u64,
    lines: usize,
    /// The first bad line of it: the whole paragraph is bad then.
    bad: Option<(u64, String)>,
}

impl Paragraph {
    fn add(&mut self, number: u64, line: Line) {
        if self.lines == 0 {
            self.first = number;
        }
        self.lines += 1;
        if self.bad.is_some() {
            return;
        }
        let line = match &line {
            Line::TooLong => Err(too_long()),
            Line::Bytes(bytes) if self.text.len() + bytes.len() > MAX_LINE => Err(too_long()),
            Line::Bytes(bytes) => utf8(bytes),
        };
        match line {
            Ok(line) => {
                if self.lines > 1 {
                    self.text.push('\n');
                }
                self.text.push_str(line);
            }
            Err(reason) => {
                self.text = String::new();
                self.bad = Some((number, reason));
            }
        }
    }

    fn end(&mut self, sink: &mut Sink) -> Result<()> {
        let done = std::mem::take(self);
        match done.bad {
            _ if done.lines == 0 => Ok(()),
            Some((number, reason)) => sink.row(number, Err(reason)),
            None => sink.row(done.first, Ok(Example::Text(done.text))),
        }
    }
}
