//! The gate for a cache snapshot: its structure is checked before the engine reads it.
//!
//! The engine writes a tag and a sequence id, then one block for each cache (two for sliding-window
//! models): streams, cells (position, sequences), flags, then keys and values layer by layer.

use crate::error::{Error, Result};

/// Checks the structure of a snapshot whose cells hold positions below `n_tokens`.
///
/// # Errors
/// `StateDamaged`.
pub(super) fn check(bytes: &[u8], n_tokens: usize) -> Result<()> {
    let mut reader = Reader { rest: bytes };
    reader.u32()?; // the engine checks its tag
    reader.u32()?; // the sequence it was, which is ignored
    while !reader.rest.is_empty() {
        block(&mut reader, n_tokens)?;
    }
    Ok(())
}

fn block(reader: &mut Reader<'_>, n_tokens: usize) -> Result<()> {
    if reader.u32()? != 1 {
        return Err(damaged("more than one stream"));
    }
    let cells = reader.u32()? as usize;
    if cells == 0 {
        return Ok(());
    }
    if cells > n_tokens {
        return Err(damaged("more cells than tokens"));
    }
    let mut seen = vec![false; n_tokens];
    for _ in 0..cells {
        let position = reader.u32()? as usize;
        match seen.get_mut(position) {
            Some(seen) if !*seen => *seen = true,
            _ => return Err(damaged("a position that is out of range or occurs twice")),
        }
        if reader.u32()? != 1 {
            return Err(damaged("a cell of several sequences"));
        }
        reader.u32()?; // the sequence it was
    }
    let transposed = match reader.u32()? {
        0 => false,
        1 => true,
        _ => return Err(damaged("an unknown layout")),
    };
    let n_layer = reader.u32()?;
    reader.skip(8)?; // rotations of keys and values, which the engine compares
    for _ in 0..n_layer {
        reader.u32()?; // the type, which the engine compares
        let row = reader.u64()?;
        reader.rows(row, cells)?;
    }
    for _ in 0..n_layer {
        reader.u32()?;
        if transposed {
            let (element, width) = (reader.u32()?, reader.u32()?);
            reader.rows(u64::from(element) * u64::from(width), cells)?;
        } else {
            let row = reader.u64()?;
            reader.rows(row, cells)?;
        }
    }
    Ok(())
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (first, rest) = self.rest.split_first_chunk().ok_or_else(|| damaged("cut short"))?;
        self.rest = rest;
        Ok(*first)
    }

    fn u32(&mut self) -> Result<u32> {
        self.take().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64> {
        self.take().map(u64::from_le_bytes)
    }

    fn skip(&mut self, n: usize) -> Result<()> {
        self.rest = self.rest.get(n..).ok_or_else(|| damaged("cut short"))?;
        Ok(())
    }

    fn rows(&mut self, row: u64, n: usize) -> Result<()> {
        let bytes = usize::try_from(row).ok().and_then(|row| row.checked_mul(n));
        self.skip(bytes.ok_or_else(|| damaged("a size that overflows"))?)
    }
}

fn damaged(what: &str) -> Error {
    Error::new(
        crate::Code::StateDamaged,
        format!("the state's cache is damaged: {what}; evaluate the text again and save it"),
    )
}
