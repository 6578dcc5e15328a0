//! Standard output: text for people, JSON for programs.

use std::borrow::Cow;
use std::io::{self, IsTerminal, Write};

use anstyle::Style;
use nestling::Code;
use serde::Serialize;
use serde_json::Value as Json;

use crate::failure::{Failure, Outcome};

pub const BOLD: Style = Style::new().bold();
pub const DIM: Style = Style::new().dimmed();

/// Text as it goes out: unchanged to a file or pipe; to a terminal without control characters, which a
/// model or a model file could use to take the terminal over.
pub fn answer(text: &str) -> Cow<'_, str> {
    if io::stdout().is_terminal() { printable(text) } else { Cow::Borrowed(text) }
}

/// Text without control characters other than line ends and tabs.
pub fn printable(text: &str) -> Cow<'_, str> {
    let bad = |c: char| c.is_control() && !matches!(c, '\n' | '\t');
    if !text.contains(bad) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().map(|c| if bad(c) { char::REPLACEMENT_CHARACTER } else { c }).collect())
}

/// Writes text at once, without a line end.
pub fn stream(text: &str) -> Outcome {
    let mut out = io::stdout().lock();
    out.write_all(answer(text).as_bytes())?;
    Ok(out.flush()?)
}

/// Anything as a JSON value.
pub fn value(of: &impl Serialize) -> Outcome<Json> {
    serde_json::to_value(of)
        .map_err(|e| Failure::new(Code::Internal, format!("writing JSON: {e}; please report it")))
}

/// One JSON value on one line, at once.
pub fn json_line(value: &Json) -> Outcome {
    let mut out = io::stdout().lock();
    writeln!(out, "{value}")?;
    Ok(out.flush()?)
}

/// One JSON value over several lines.
pub fn json(value: &Json) -> Outcome {
    Ok(writeln!(io::stdout().lock(), "{value:#}")?)
}

/// Rows of name and value, the values in one column.
pub fn facts<V: AsRef<str>>(rows: &[(&str, V)]) -> Outcome {
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let mut out = anstream::stdout().lock();
    for (name, value) in rows {
        writeln!(out, "{BOLD}{name:width$}{BOLD:#}  {}", printable(value.as_ref()))?;
    }
    Ok(())
}

/// A table with a heading; every column but the last is as wide as its widest cell.
pub fn table<const N: usize>(heading: [&str; N], rows: &[[String; N]]) -> Outcome {
    let mut widths = heading.map(|cell| cell.chars().count());
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut out = anstream::stdout().lock();
    writeln!(out, "{BOLD}{}{BOLD:#}", line(&heading, &widths))?;
    for row in rows {
        writeln!(out, "{}", printable(&line(row, &widths)))?;
    }
    Ok(())
}

fn line(cells: &[impl AsRef<str>], widths: &[usize]) -> String {
    let padded = cells.iter().zip(widths).map(|(cell, &width)| format!("{:width$}", cell.as_ref()));
    padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
}

/// A number of bytes for people: `98.4 MiB`.
pub fn bytes(n: u64) -> String {
    const UNITS: &[&str] = &["KiB", "MiB", "GiB", "TiB"];
    let mut value = n as f64;
    let mut unit = "B";
    for larger in UNITS {
        if value < 1024.0 {
            break;
        }
        value /= 1024.0;
        unit = larger;
    }
    if unit == "B" { format!("{n} B") } else { format!("{value:.1} {unit}") }
}

/// A count for people: `134.5 M`.
pub fn count(n: u64) -> String {
    match n {
        0..1_000 => n.to_string(),
        1_000..1_000_000 => format!("{:.1} K", n as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} M", n as f64 / 1e6),
        _ => format!("{:.2} B", n as f64 / 1e9),
    }
}
