//! Comma-separated values (RFC 4180): a header with the keys that JSON rows have, quoted fields with line breaks.

use std::cell::Cell;
use std::io::{self, BufRead, Read};
use std::rc::Rc;

use ::csv::{ByteRecord, ReaderBuilder};
use serde_json::{Map, Value as Json};

use super::example::Example;
use super::lines::{too_long, utf8};
use super::read::Sink;
use super::row::{SHAPES, from_fields};
use crate::error::{Error, Result, bail, err};

/// Columns that hold JSON.
const JSON_COLUMNS: [&str; 2] = ["messages", "tools"];

/// Reads all records under the header. One may have about `max` bytes.
pub(super) fn read(reader: impl BufRead, max: usize, sink: &mut Sink) -> Result<()> {
    let left = Rc::new(Cell::new(max));
    let input = Input { reader, left: Rc::clone(&left), held: false, last: b'\n' };
    let mut records = ReaderBuilder::new().has_headers(false).flexible(true).from_reader(input);
    let mut record = ByteRecord::new();
    let mut next = |record: &mut ByteRecord| {
        left.set(max);
        let begin = records.position().line();
        let found = records.read_byte_record(record).map_err(|e| match left.get() {
            0 => err!(
                DatasetFormat,
                "the record after line {}: {}; is a closing quote missing?",
                begin.saturating_sub(1),
                too_long()
            ),
            _ => err!(Io, "the record after line {}: {e}; check the disk", begin.saturating_sub(1)),
        })?;
        // Counted from the record's end: where the reader began, there may be empty lines.
        let breaks = record.iter().flatten().filter(|&&byte| byte == b'\n').count() as u64;
        let line = records.position().line().saturating_sub(breaks + 1);
        Ok::<_, Error>(found.then_some(line.max(1)))
    };
    if next(&mut record)?.is_none() {
        return Ok(());
    }
    let header = header(&record)?;
    while let Some(line) = next(&mut record)? {
        sink.row(line, example(&header, &record))?;
    }
    Ok(())
}

fn header(record: &ByteRecord) -> Result<Vec<String>> {
    let mut columns: Vec<String> = Vec::new();
    for field in record {
        match utf8(field) {
            Ok(name) if columns.iter().any(|known| known == name.trim()) => {
                bail!(
                    DatasetFormat,
                    "the CSV header names the column {:?} twice; rename one",
                    name.trim()
                )
            }
            Ok(name) => columns.push(name.trim().to_owned()),
            Err(reason) => bail!(DatasetFormat, "the CSV header: {reason}"),
        }
    }
    let has = |name: &str| columns.iter().any(|column| column == name);
    if !(has("messages") || has("text") || (has("prompt") && has("completion"))) {
        bail!(
            DatasetFormat,
            "the CSV header has the columns {}; {SHAPES}",
            columns.iter().map(|c| format!("{c:?}")).collect::<Vec<_>>().join(", ")
        )
    }
    Ok(columns)
}

fn example(header: &[String], record: &ByteRecord) -> Result<Example, String> {
    if record.len() != header.len() {
        return Err(format!(
            "it has {} fields, the header {}; quote fields that hold commas",
            record.len(),
            header.len()
        ));
    }
    let mut fields = Map::new();
    for (column, field) in header.iter().zip(record) {
        let text = utf8(field).map_err(|reason| format!("column {column:?}: {reason}"))?;
        let value = if !JSON_COLUMNS.contains(&column.as_str()) {
            Json::from(text)
        } else if text.trim().is_empty() {
            Json::Null
        } else {
            serde_json::from_str(text).map_err(|e| format!("column {column:?} is not JSON: {e}"))?
        };
        fields.insert(column.clone(), value);
    }
    from_fields(fields)
}

/// Passes bytes on with LF at the end of every line, the last one included, and fails when one record takes too many:
/// without an end to a quotation the rest of the file would be one field.
struct Input<R> {
    reader: R,
    left: Rc<Cell<usize>>,
    /// A carriage return that waits for what follows it.
    held: bool,
    /// The byte passed on last.
    last: u8,
}

impl<R: BufRead> Read for Input<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left.get() == 0 {
            return Err(io::Error::other("the record is too long"));
        }
        let mut n = 0;
        for slot in buffer {
            let Some(byte) = self.next()? else { break };
            *slot = byte;
            self.last = byte;
            n += 1;
        }
        self.left.set(self.left.get().saturating_sub(n));
        Ok(n)
    }
}

impl<R: BufRead> Input<R> {
    /// The next byte to pass on.
    fn next(&mut self) -> io::Result<Option<u8>> {
        loop {
            let byte = self.reader.fill_buf()?.first().copied();
            if std::mem::take(&mut self.held) && byte != Some(b'\n') {
                return Ok(Some(b'\r'));
            }
            let Some(byte) = byte else { return Ok((self.last != b'\n').then_some(b'\n')) };
            self.reader.consume(1);
            if byte != b'\r' {
                return Ok(Some(byte));
            }
            self.held = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;
    use crate::options::{BadData, DatasetOptions};

    fn sink() -> Sink {
        Sink::new(&DatasetOptions { bad_lines: BadData::Skip, ..Default::default() })
    }

    #[test]
    fn a_quotation_without_end_does_not_fill_the_memory() {
        let csv = format!("text\na\nb\n\"{}", "x\n".repeat(100_000));
        let error = read(csv.as_bytes(), 50_000, &mut sink()).unwrap_err();
        assert_eq!(error.code(), Code::DatasetFormat);
        assert!(error.message().starts_with("the record after line 3: "), "{error}");
        // Many short records are no long one.
        let csv = format!("text\n{}", "x\n".repeat(100_000));
        let mut all = sink();
        read(csv.as_bytes(), 50_000, &mut all).unwrap();
        assert_eq!((all.report.rows, all.examples.len()), (100_000, 100_000));
    }

    #[test]
    fn line_ends_become_line_feeds_and_single_returns_stay() {
        for capacity in [1, 2, 3, 64] {
            let reader = io::BufReader::with_capacity(capacity, &b"a\r\n\rb\r\r\nc\r"[..]);
            let left = Rc::new(Cell::new(100));
            let mut text = String::new();
            Input { reader, left, held: false, last: 0 }.read_to_string(&mut text).unwrap();
            assert_eq!(text, "a\n\rb\r\nc\r\n");
        }
    }
}
