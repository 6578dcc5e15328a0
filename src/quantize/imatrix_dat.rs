//! The older format of importance matrices: numbers and names one after the other, little-endian, without a mark that says
//! what they are. Only read.

use std::collections::BTreeMap;

use super::imatrix::{Entry, Imatrix};
use crate::error::{Result, bail, err};
use crate::format::source::Opened;

/// No weight's name is longer.
const MAX_NAME: usize = 1 << 10;

/// What is left of a file.
struct Rest<'a>(&'a [u8]);

/// # Errors
/// `ImatrixFormat`, those of files.
pub(super) fn read(opened: &Opened) -> Result<Imatrix> {
    let length = usize::try_from(opened.length())
        .map_err(|_| err!(OutOfMemory, "the file is too large for this platform"))?;
    let mut bytes = vec![0u8; length];
    opened.read_exact_at(&mut bytes, 0)?;
    parse(&bytes)
}

/// Little-endian floats.
pub(super) fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap_or_default())).collect()
}

fn parse(bytes: &[u8]) -> Result<Imatrix> {
    let mut rest = Rest(bytes);
    let n_entries = rest.count("the number of weights")?;
    let mut entries = BTreeMap::new();
    for _ in 0..n_entries {
        let name = rest.text("a weight's name", MAX_NAME)?;
        let n_calls = rest.count("a weight's number of calls")?;
        let n_values = rest.count("a weight's number of columns")?;
        let values = n_values.checked_mul(4).ok_or_else(|| rest.short("the columns"))?;
        let sums = floats(rest.take(values, "the columns")?);
        // The file holds the means times the number of calls.
        let entry = Entry::new(&name, sums, vec![n_calls as f32])?;
        if entries.insert(name.clone(), entry).is_some() {
            bail!(ImatrixFormat, "{name} occurs twice; compute the importance matrix again")
        }
    }
    // The oldest files end here.
    let (mut chunk_count, mut datasets) = (0, Vec::new());
    if !rest.0.is_empty() {
        chunk_count = rest.number("the number of chunks")?.max(0) as u32;
    }
    if !rest.0.is_empty() {
        let length = rest.number("the length of the text's name")?;
        let length = usize::try_from(length).map_err(|_| rest.short("the text's name"))?;
        let name = rest.take(length, "the text's name")?;
        if !name.is_empty() {
            datasets.push(String::from_utf8_lossy(name).into_owned());
        }
    }
    if !rest.0.is_empty() {
        bail!(
            ImatrixFormat,
            "{} bytes follow the end of the importance matrix; the file is damaged, or of another kind",
            rest.0.len()
        )
    }
    Imatrix::new(entries, datasets, chunk_count, 0)
}

impl<'a> Rest<'a> {
    fn take(&mut self, n: usize, what: &str) -> Result<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(n).ok_or_else(|| self.short(what))?;
        self.0 = rest;
        Ok(taken)
    }

    fn number(&mut self, what: &str) -> Result<i32> {
        let bytes = self.take(4, what)?;
        Ok(i32::from_le_bytes(bytes.try_into().unwrap_or_default()))
    }

    /// A number above 0.
    fn count(&mut self, what: &str) -> Result<usize> {
        match self.number(what)? {
            n @ 1.. => Ok(n as usize),
            n => bail!(
                ImatrixFormat,
                "{what} is {n}, not 1 or more; the file is no importance matrix, or damaged"
            ),
        }
    }

    fn text(&mut self, what: &str, most: usize) -> Result<String> {
        let length = self.count(what)?;
        if length > most {
            bail!(
                ImatrixFormat,
                "{what} has {length} bytes, more than {most}; the file is no importance matrix, or damaged"
            )
        }
        let bytes = self.take(length, what)?;
        String::from_utf8(bytes.to_vec()).map_err(|_| {
            err!(ImatrixFormat, "{what} is not UTF-8; the file is no importance matrix")
        })
    }

    fn short(&self, what: &str) -> crate::Error {
        err!(
            ImatrixFormat,
            "the file ends in the middle of {what}; it is no importance matrix, or damaged: compute it again"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;

    fn file(calls: i32, values: &[f32]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut put = |n: i32| bytes.extend(n.to_le_bytes());
        put(1);
        put(3);
        bytes.extend(b"w.x");
        let mut put = |n: i32| bytes.extend(n.to_le_bytes());
        put(calls);
        put(values.len() as i32);
        bytes.extend(values.iter().flat_map(|v| v.to_le_bytes()));
        bytes.extend(9i32.to_le_bytes());
        bytes.extend(5i32.to_le_bytes());
        bytes.extend(b"a.txt");
        bytes
    }

    #[test]
    fn an_older_file_gives_its_means() {
        let found = parse(&file(4, &[8.0, 2.0])).unwrap();
        assert_eq!(found.get("w.x").unwrap(), [2.0, 0.5]);
        assert_eq!((found.chunk_count(), found.chunk_size()), (9, 0));
        assert_eq!(found.datasets(), ["a.txt"]);
    }

    #[test]
    fn every_cut_is_refused_but_those_between_optional_parts() {
        let whole = file(4, &[8.0, 2.0]);
        let body = whole.len() - 13;
        for n in 0..whole.len() {
            let parsed = parse(&whole[..n]);
            match n == body || n == body + 4 {
                true => assert!(parsed.is_ok(), "{n}"),
                false => assert_eq!(parsed.unwrap_err().code(), Code::ImatrixFormat, "{n}"),
            }
        }
        assert!(parse(&[&whole[..], &[0]].concat()).is_err());
    }

    #[test]
    fn absurd_numbers_are_refused_before_anything_is_allocated() {
        let bad = |bytes: &[u8]| assert_eq!(parse(bytes).unwrap_err().code(), Code::ImatrixFormat);
        bad(&[0xff; 64]);
        bad(&[0; 64]);
        bad(&file(0, &[1.0]));
        bad(&file(-3, &[1.0]));
        bad(&file(1, &[f32::NAN]));
        bad(&file(1, &[-1.0]));
        bad(&file(1, &[]));
        let mut huge = file(1, &[1.0]);
        huge[15..19].copy_from_slice(&i32::MAX.to_le_bytes());
        bad(&huge);
        let mut long = file(1, &[1.0]);
        long[4..8].copy_from_slice(&i32::MAX.to_le_bytes());
        bad(&long);
    }
}
