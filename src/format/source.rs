//! Where a file's bytes come from: a path, an open file, or memory.

use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use super::image::{Image, Wipe};
use super::mmap;
use super::sealed::{self, Keys};
use crate::error::{Context, Error, Result, bail};
use crate::job::Monitor;
use crate::options::Secret;

/// The input of the gate. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Source {
    kind: Kind,
    keys: Keys,
}

#[derive(Debug, Clone)]
enum Kind {
    Path(PathBuf),
    File {
        file: Arc<File>,
        offset: u64,
        length: Option<u64>,
    },
    Memory(Arc<[u8]>),
    /// Open, and verified and decrypted if it was sealed.
    Opened {
        path: Option<PathBuf>,
        opened: Opened,
    },
}

/// How a file is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Access {
    /// Mapped into memory. If another program shortens the file while it is mapped, the system kills
    /// this process when it touches the lost pages; use [`Access::Read`] where that can happen.
    #[default]
    Map,
    /// Read with ordinary reads; the file is never mapped.
    Read,
}

impl Source {
    /// A file on disk.
    pub fn path(path: impl Into<PathBuf>) -> Self {
        Self::of(Kind::Path(path.into()))
    }

    /// A part of an open file: `length` bytes from `offset`, or up to its end. The file's own position
    /// is neither used nor moved.
    pub fn file(file: File, offset: u64, length: Option<u64>) -> Self {
        Self::of(Kind::File { file: Arc::new(file), offset, length })
    }

    /// A whole file in memory.
    pub fn memory(bytes: impl Into<Arc<[u8]>>) -> Self {
        Self::of(Kind::Memory(bytes.into()))
    }

    fn of(kind: Kind) -> Self {
        Self { kind, keys: Keys::default() }
    }

    /// Opens a sealed file with these keys, of which each may be missing. With a key, a file that is not encrypted is
    /// refused; with a public key, one that is not signed by its owner.
    #[must_use]
    pub fn with_keys(mut self, key: &Secret, public_key: &Secret) -> Self {
        for (ours, theirs) in [(&mut self.keys.key, key), (&mut self.keys.public_key, public_key)] {
            if theirs.is_set() {
                ours.clone_from(theirs);
            }
        }
        self
    }

    /// Whether it is a sealed file.
    ///
    /// # Errors
    /// Those of files.
    pub fn is_sealed(&self) -> Result<bool> {
        sealed::is_sealed(&self.open_as_it_is()?)
    }

    /// The path, if the source is one.
    pub(crate) fn as_path(&self) -> Option<&Path> {
        match &self.kind {
            Kind::Path(path) => Some(path),
            Kind::Opened { path, .. } => path.as_deref(),
            _ => None,
        }
    }

    /// Opens the source once, and verifies and decrypts a sealed one; everything afterwards uses the same descriptor or
    /// memory.
    pub(crate) fn open(&self) -> Result<Opened> {
        match self.unseal(&Monitor::default(), |_| Ok(()))?.kind {
            Kind::Opened { opened, .. } => Ok(opened),
            _ => bail!(Internal, "a source was not opened; please report it"),
        }
    }

    /// An open source: of a sealed file what it holds, in memory. The keys are not kept. `fits` is asked whether there is
    /// memory for that many bytes.
    pub(crate) fn unseal(
        &self,
        monitor: &Monitor,
        fits: impl FnOnce(u64) -> Result<()>,
    ) -> Result<Self> {
        if let Kind::Opened { .. } = self.kind {
            return Ok(self.clone());
        }
        let path = self.as_path().map(Path::to_owned);
        let opened = sealed::open(self.open_as_it_is()?, &self.keys, monitor, fits);
        let opened = match &path {
            Some(path) => opened.with_path(path)?,
            None => opened?,
        };
        Ok(Self::of(Kind::Opened { path, opened }))
    }

    /// Opens the source; a sealed file stays sealed.
    pub(crate) fn open_as_it_is(&self) -> Result<Opened> {
        match &self.kind {
            Kind::Path(path) => Self::open_path(path).with_path(path),
            Kind::File { file, offset, length } => {
                let whole = regular_length(file)?;
                let rest = whole.checked_sub(*offset);
                let length = length.or(rest).unwrap_or(0);
                if rest.is_none_or(|rest| length > rest) {
                    bail!(
                        InvalidArgument,
                        "bytes {offset}+{length} are outside the open file of {whole} bytes; \
                         check the offset and length"
                    );
                }
                let file = Arc::clone(file);
                Ok(Opened::File { path: None, file, offset: *offset, length, private: None })
            }
            Kind::Memory(bytes) => Ok(Opened::Memory(Image::Shared(Arc::clone(bytes)))),
            Kind::Opened { opened, .. } => Ok(opened.clone()),
        }
    }

    fn open_path(path: &Path) -> Result<Opened> {
        let io = |e: std::io::Error| Error::io(&e, "opening the file");
        // Asked before opening: opening a named pipe would wait for a writer.
        if !std::fs::metadata(path).map_err(io)?.is_file() {
            bail!(NotAFile, "this is not a regular file; give the path of a regular file");
        }
        let file = File::open(path).map_err(io)?;
        let length = regular_length(&file)?;
        let path = Some(path.to_owned());
        Ok(Opened::File { path, file: Arc::new(file), offset: 0, length, private: None })
    }
}

impl<P: Into<PathBuf>> From<P> for Source {
    fn from(path: P) -> Self {
        Self::path(path)
    }
}

fn regular_length(file: &File) -> Result<u64> {
    let metadata = file.metadata().map_err(|e| Error::io(&e, "asking for the file's length"))?;
    if !metadata.is_file() {
        bail!(NotAFile, "the open file is not a regular file; copy the data to one first");
    }
    Ok(metadata.len())
}

/// An open source.
#[derive(Debug, Clone)]
pub(crate) enum Opened {
    File {
        path: Option<PathBuf>,
        file: Arc<File>,
        offset: u64,
        length: u64,
        /// Of a file that is in this process's memory only: wipes it when nobody uses it any more.
        private: Option<Arc<Wipe>>,
    },
    Memory(Image),
}

impl Opened {
    /// Whether the bytes are in this process's memory only.
    pub(crate) fn in_memory(&self) -> bool {
        match self {
            Opened::File { private, .. } => private.is_some(),
            Opened::Memory(_) => true,
        }
    }

    /// The number of bytes.
    pub(crate) fn length(&self) -> u64 {
        match self {
            Opened::File { length, .. } => *length,
            Opened::Memory(bytes) => bytes.len() as u64,
        }
    }

    /// What changes when somebody writes to the file: its whole length and the time of the last change. Never for
    /// memory.
    pub(crate) fn stamp(&self) -> Result<Option<(u64, SystemTime)>> {
        let Opened::File { file, private: None, .. } = self else { return Ok(None) };
        let io = |e: std::io::Error| Error::io(&e, "asking for the file's time");
        let metadata = file.metadata().map_err(io)?;
        Ok(Some((metadata.len(), metadata.modified().map_err(io)?)))
    }

    /// All bytes: mapped, or the memory itself.
    pub(crate) fn map(&self) -> Result<Bytes> {
        match self {
            Opened::Memory(bytes) => Ok(Bytes::Memory(bytes.clone())),
            Opened::File { length: 0, .. } => Ok(Bytes::from(Vec::new())),
            Opened::File { file, offset, length, .. } => {
                let Ok(size) = usize::try_from(*length) else {
                    bail!(OutOfMemory, "{length} bytes cannot be mapped on this platform");
                };
                let map = mmap::map(file, *offset, size)
                    .map_err(|e| Error::io(&e, "mapping the file (use_mmap=false avoids this)"))?;
                Ok(Bytes::Map(map))
            }
        }
    }

    /// Reads `buffer.len()` bytes at `at`, counted from the source's start.
    pub(crate) fn read_exact_at(&self, buffer: &mut [u8], at: u64) -> Result<()> {
        match self {
            Opened::Memory(bytes) => {
                let start = usize::try_from(at).unwrap_or(usize::MAX);
                let end = start.saturating_add(buffer.len());
                match bytes.get(start..end) {
                    Some(found) => buffer.copy_from_slice(found),
                    None => bail!(Io, "reading beyond the end of the memory"),
                }
                Ok(())
            }
            Opened::File { file, offset, .. } => read_exact_at(file, buffer, offset + at)
                .map_err(|e| Error::io(&e, format_args!("reading {} bytes", buffer.len()))),
        }
    }
}

#[cfg(unix)]
fn read_exact_at(file: &File, buffer: &mut [u8], at: u64) -> std::io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, buffer, at)
}

#[cfg(windows)]
fn read_exact_at(file: &File, mut buffer: &mut [u8], mut at: u64) -> std::io::Result<()> {
    while !buffer.is_empty() {
        match std::os::windows::fs::FileExt::seek_read(file, buffer, at)? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            n => {
                buffer = buffer.get_mut(n..).unwrap_or_default();
                at += n as u64;
            }
        }
    }
    Ok(())
}

/// Bytes that stay where they are while somebody looks at them.
pub(crate) enum Bytes {
    Map(memmap2::Mmap),
    Memory(Image),
    Owned(Vec<u8>),
}

impl Bytes {
    pub(crate) fn as_slice(&self) -> &[u8] {
        match self {
            Bytes::Map(m) => m,
            Bytes::Memory(m) => m,
            Bytes::Owned(v) => v,
        }
    }

    /// A part of the bytes; `None` outside them.
    pub(crate) fn get(&self, range: Range<usize>) -> Option<&[u8]> {
        self.as_slice().get(range)
    }
}

impl AsRef<[u8]> for Bytes {
    fn as_ref(&self) -> &[u8] {
        self.as_slice()
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Self {
        Bytes::Owned(bytes)
    }
}
