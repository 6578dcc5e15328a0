//! A source's bytes as a stream, and its lines, of which none can fill the memory.

use std::io::{self, BufRead, BufReader, Read};

use crate::error::{Error, Result};
use crate::format::source::Opened;

/// The longest line, paragraph or record, in bytes.
pub(super) const MAX_LINE: usize = 64 << 20;

/// Reads an open source from its start, and leaves a byte order mark out.
pub(super) fn stream(opened: Opened) -> Result<BufReader<Stream>> {
    let mut reader = BufReader::with_capacity(1 << 16, Stream { opened, at: 0 });
    let head = reader.fill_buf().map_err(|e| Error::io(&e, "reading the file"))?;
    let mark = if head.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
    reader.consume(mark);
    Ok(reader)
}

/// An open source, read from its start to its end.
pub(super) struct Stream {
    opened: Opened,
    at: u64,
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.opened.length().saturating_sub(self.at);
        let n = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        if let Some(part) = buffer.get_mut(..n) {
            self.opened.read_exact_at(part, self.at).map_err(io::Error::other)?;
        }
        self.at += n as u64;
        Ok(n)
    }
}

/// One line without its end.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// Its bytes.
    Bytes(Vec<u8>),
    /// It was longer than allowed, and was skipped.
    TooLong,
}

/// Lines that end in LF or CRLF, counted from 1.
pub(super) struct Lines<R> {
    reader: R,
    number: u64,
    max: usize,
}

impl<R: BufRead> Lines<R> {
    pub fn new(reader: R, max: usize) -> Self {
        Self { reader, number: 0, max }
    }

    /// The next line with its number; `None` at the end.
    pub fn next(&mut self) -> Result<Option<(u64, Line)>> {
        let (mut line, mut too_long, mut read) = (Vec::new(), false, false);
        loop {
            let bytes = match self.reader.fill_buf() {
                Ok(bytes) => bytes,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(Error::io(&e, "reading the file")),
            };
            if bytes.is_empty() {
                break;
            }
            read = true;
            let end = bytes.iter().position(|&byte| byte == b'\n');
            let part = bytes.get(..end.unwrap_or(bytes.len())).unwrap_or_default();
            too_long |= line.len() + part.len() > self.max;
            if too_long {
                line = Vec::new();
            } else {
                line.extend_from_slice(part);
            }
            let used = part.len() + usize::from(end.is_some());
            self.reader.consume(used);
            if end.is_some() {
                break;
            }
        }
        if !read {
            return Ok(None);
        }
        self.number += 1;
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        Ok(Some((self.number, if too_long { Line::TooLong } else { Line::Bytes(line) })))
    }
}

/// The reason that a line of [`Line::TooLong`] is refused.
pub(super) fn too_long() -> String {
    format!("it has more than {} MiB; split it into shorter ones", MAX_LINE >> 20)
}

/// The bytes as text, or the reason why they are none.
pub(super) fn utf8(bytes: &[u8]) -> Result<&str, String> {
    std::str::from_utf8(bytes)
        .map_err(|e| format!("byte {} is not UTF-8; save the file as UTF-8", e.valid_up_to() + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_numbered_and_too_long_ones_are_passed_over() {
        for capacity in [1, 2, 3, 100] {
            let bytes: &[u8] = b"ab\r\n\n12345\r\n123456\nend";
            let mut lines = Lines::new(BufReader::with_capacity(capacity, bytes), 6);
            let mut all = Vec::new();
            while let Some(line) = lines.next().unwrap() {
                all.push(line);
            }
            let bytes = |number, text: &[u8]| (number, Line::Bytes(text.to_vec()));
            assert_eq!(
                all,
                [
                    bytes(1, b"ab"),
                    bytes(2, b""),
                    bytes(3, b"12345"),
                    bytes(4, b"123456"),
                    bytes(5, b"end")
                ]
            );
            let mut lines = Lines::new(BufReader::with_capacity(capacity, &b"1234567\nx\n"[..]), 6);
            assert_eq!(lines.next().unwrap(), Some((1, Line::TooLong)));
            assert_eq!(lines.next().unwrap(), Some((2, Line::Bytes(b"x".to_vec()))));
            assert_eq!(lines.next().unwrap(), None);
        }
    }
}
