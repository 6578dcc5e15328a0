//! Walks the header of a file of which perhaps only the beginning was read.

use crate::error::{Error, Result, err};

/// Why reading stopped.
pub(super) enum Stop {
    /// The file is long enough, but this many bytes of it are needed here.
    More(u64),
    /// The file is bad.
    Bad(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Stop::Bad(error)
    }
}

pub(super) struct Cursor<'a> {
    data: &'a [u8],
    at: usize,
    total: u64,
}

impl<'a> Cursor<'a> {
    /// `data` is the beginning of a file of `total` bytes.
    pub(super) fn new(data: &'a [u8], total: u64) -> Self {
        Self { data, at: 0, total }
    }

    /// Bytes from the start of the file.
    pub(super) fn position(&self) -> usize {
        self.at
    }

    /// Bytes of the file that follow.
    pub(super) fn remaining(&self) -> u64 {
        self.total.saturating_sub(self.at as u64)
    }

    /// The next `n` bytes; `what` is the structure they belong to.
    pub(super) fn take(&mut self, n: u64, what: &str) -> Result<&'a [u8], Stop> {
        if n > self.remaining() {
            return Err(Stop::Bad(err!(
                GgufTruncated,
                "the file of {} bytes ends inside {what} at byte {}; it is cut short: fetch it again",
                self.total,
                self.at
            )));
        }
        let end = self.at as u64 + n;
        let slice = usize::try_from(end).ok().and_then(|end| self.data.get(self.at..end));
        let slice = slice.ok_or(Stop::More(end))?;
        self.at += slice.len();
        Ok(slice)
    }

    fn array<const N: usize>(&mut self, what: &str) -> Result<[u8; N], Stop> {
        let mut out = [0; N];
        out.copy_from_slice(self.take(N as u64, what)?);
        Ok(out)
    }

    pub(super) fn u32(&mut self, what: &str) -> Result<u32, Stop> {
        Ok(u32::from_le_bytes(self.array(what)?))
    }

    pub(super) fn u64(&mut self, what: &str) -> Result<u64, Stop> {
        Ok(u64::from_le_bytes(self.array(what)?))
    }

    /// A string: its 64-bit length, then its bytes.
    pub(super) fn string(&mut self, what: &str) -> Result<&'a [u8], Stop> {
        let length = self.u64(what)?;
        if length > self.remaining().min(super::MAX_STRING) {
            return Err(Stop::Bad(err!(
                GgufStringLength,
                "{what} claims {length} bytes at byte {}, but {} are left of the file (and {} is the \
                 most that is allowed); the file is damaged or cut short: fetch it again",
                self.at,
                self.remaining(),
                super::MAX_STRING
            )));
        }
        self.take(length, what)
    }
}

/// Text, or the rule's error.
pub(super) fn text<'a>(bytes: &'a [u8], what: &str) -> Result<&'a str> {
    std::str::from_utf8(bytes).map_err(|e| {
        err!(
            GgufStringUtf8,
            "{what} ({:?}) is not valid UTF-8 after {} bytes; convert the model again",
            String::from_utf8_lossy(bytes.get(..64).unwrap_or(bytes)),
            e.valid_up_to()
        )
    })
}
