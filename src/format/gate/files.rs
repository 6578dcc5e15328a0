//! A model's files, opened once and checked whole.

use std::collections::HashMap;
use std::fs::File;
use std::path::Path;

use super::{Hparams, arch, encoder, hparams, layout, split, tensors, types, vocab};
use crate::error::{Context, Result};
use crate::format::gguf::{Gguf, TensorInfo};
use crate::format::source::{Access, Opened, Source};

/// A model that passed the gate: one file, or all parts of a split one, in order.
#[derive(Debug, Clone)]
pub struct ModelFiles {
    gguf: Gguf,
    parts: Vec<Part>,
    hparams: Hparams,
}

/// What a model is opened for.
#[derive(Clone, Copy, PartialEq)]
enum Wanted {
    All,
    Tokenizer,
}

/// One file of a model.
#[derive(Debug, Clone)]
pub struct Part {
    gguf: Gguf,
}

impl ModelFiles {
    /// Opens a model and checks every rule. The other parts of a split model are found beside the
    /// first. Errors: the `Gguf...` codes for a bad model, those of files for one that cannot be read.
    pub fn open(source: &Source, access: Access) -> Result<Self> {
        Self::open_for(Wanted::All, source, access)
    }

    /// As [`open`](Self::open), where only the tokenizer is wanted: the file may hold no tensors, as those that
    /// ship a vocabulary alone.
    pub fn open_tokenizer(source: &Source, access: Access) -> Result<Self> {
        Self::open_for(Wanted::Tokenizer, source, access)
    }

    fn open_for(wanted: Wanted, source: &Source, access: Access) -> Result<Self> {
        let first = Part { gguf: Gguf::from_opened(source.open()?, access).with_source(source)? };
        Self::check(wanted, first, access).with_source(source)
    }

    fn check(wanted: Wanted, first: Part, access: Access) -> Result<Self> {
        let gguf = first.gguf.clone();
        arch::check_kind(&gguf)?;
        // Before the architecture: a later part, given alone, has no metadata but its number.
        let parts = split::complete(first, access)?;
        let arch = arch::check(&gguf)?;
        for part in &parts {
            layout::check(part, access).with_part(part, parts.len())?;
        }
        let tensors = index(&parts);
        let mut hparams = hparams::read(&gguf, arch)?;
        hparams.n_vocab = vocab::check(&gguf, arch)?;
        if wanted == Wanted::All || !tensors.is_empty() {
            types::check(&tensors)?;
            encoder::check(&gguf, &hparams, &tensors)?;
            tensors::check(&gguf, &hparams, &tensors)?;
        }
        Ok(Self { parts, hparams, gguf: gguf.clone() })
    }

    /// The first file, which holds the metadata.
    pub fn gguf(&self) -> &Gguf {
        &self.gguf
    }

    /// All files in order; more than one for a split model.
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// The checked hyper-parameters.
    pub fn hparams(&self) -> &Hparams {
        &self.hparams
    }

    /// All tensors of all files.
    pub fn tensors(&self) -> impl Iterator<Item = &TensorInfo> {
        self.parts.iter().flat_map(|p| p.gguf.tensors())
    }

    /// The part that holds a tensor, and the tensor.
    pub fn tensor(&self, name: &str) -> Option<(&Part, &TensorInfo)> {
        self.parts.iter().find_map(|p| p.gguf.tensor(name).map(|t| (p, t)))
    }

    /// Bytes of all files.
    pub fn length(&self) -> u64 {
        self.parts.iter().map(|p| p.gguf.length()).sum()
    }
}

/// All tensors of a model by name.
pub(super) type Tensors<'a> = HashMap<&'a str, &'a TensorInfo>;

fn index(parts: &[Part]) -> Tensors<'_> {
    parts.iter().flat_map(|p| p.gguf.tensors()).map(|t| (t.name.as_str(), t)).collect()
}

impl Part {
    pub(super) fn new(gguf: Gguf) -> Self {
        Self { gguf }
    }

    /// What the file says.
    pub fn gguf(&self) -> &Gguf {
        &self.gguf
    }

    /// Where the file is, when it was given by path.
    pub fn path(&self) -> Option<&Path> {
        match self.gguf.opened() {
            Opened::File { path, .. } => path.as_deref(),
            Opened::Memory(_) => None,
        }
    }

    /// The descriptor that was read: load from a duplicate of it, so that what is loaded is what was
    /// checked.
    pub fn file(&self) -> Option<&File> {
        match self.gguf.opened() {
            Opened::File { file, .. } => Some(file),
            Opened::Memory(_) => None,
        }
    }

    /// Where the GGUF file begins inside [`file`](Self::file), in bytes.
    pub fn offset(&self) -> u64 {
        match self.gguf.opened() {
            Opened::File { offset, .. } => *offset,
            Opened::Memory(_) => 0,
        }
    }

    /// The length of the GGUF file in bytes.
    pub fn length(&self) -> u64 {
        self.gguf.length()
    }

    /// The bytes, when the source is memory.
    pub fn memory(&self) -> Option<&[u8]> {
        match self.gguf.opened() {
            Opened::File { .. } => None,
            Opened::Memory(bytes) => Some(bytes),
        }
    }

    /// Whether the bytes are in this process's memory only: given as memory, or decrypted to it.
    pub fn in_memory(&self) -> bool {
        self.gguf.opened().in_memory()
    }
}

/// Names the source in an error.
pub(super) trait WithSource<T> {
    fn with_source(self, source: &Source) -> Result<T>;
    fn with_part(self, part: &Part, n_parts: usize) -> Result<T>;
}

impl<T> WithSource<T> for Result<T> {
    fn with_source(self, source: &Source) -> Result<T> {
        match source.as_path() {
            // Opening already named the path.
            Some(path) => self.map_err(|e| {
                let named = e.message().starts_with(&path.display().to_string());
                if named { e } else { e.with_path(path) }
            }),
            None => self,
        }
    }

    fn with_part(self, part: &Part, n_parts: usize) -> Result<T> {
        match part.path() {
            Some(path) if n_parts > 1 => self.with_path(path),
            _ => self,
        }
    }
}
