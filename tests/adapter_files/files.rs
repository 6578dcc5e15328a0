//! A model, a folder, and what is looked at in it.
#![allow(dead_code, reason = "each test program uses its own part of this module")]

use std::fs;
use std::path::{Path, PathBuf};

use nestling::Code;
use nestling::adapter;
use nestling::job::Monitor;
use nestling::options::AdapterOptions;
use safetensors::tensor::Dtype;
use serde_json::Value;

use super::support::peft::Lora;
use super::support::{Family, Tiny};

/// A tiny llama, and a folder.
pub struct Files {
    pub folder: tempfile::TempDir,
    pub tiny: Tiny,
}

impl Files {
    pub fn new() -> Self {
        let (folder, tiny) = (tempfile::tempdir().unwrap(), Tiny::new(Family::Llama));
        fs::write(folder.path().join("model.gguf"), tiny.bytes()).unwrap();
        Self { folder, tiny }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn lora(&self, name: &str, lora: &Lora) -> PathBuf {
        lora.write(&self.path(name), &self.tiny)
    }

    pub fn options(&self) -> AdapterOptions {
        let base = self.path("model.gguf").to_str().unwrap().to_owned();
        AdapterOptions { base, ..AdapterOptions::default() }
    }

    pub fn convert(&self, from: &str, to: &str, o: &AdapterOptions) -> Result<(), nestling::Error> {
        adapter::convert(self.path(from), self.path(to), o, &Monitor::default()).map(drop)
    }

    /// That this is an error, with what its message must say, and that nothing was written.
    pub fn refused(&self, from: &str, to: &str, o: &AdapterOptions, code: Code, says: &str) {
        let error = self.convert(from, to, o).unwrap_err();
        assert_eq!(error.code(), code, "{error}");
        assert!(error.message().contains(says), "{says:?} is not in: {error}");
        assert!(!self.path(to).exists(), "{error}");
        self.no_left_overs();
    }

    pub fn no_left_overs(&self) {
        let names = fs::read_dir(&self.folder).unwrap();
        let names: Vec<_> = names.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        assert!(names.iter().all(|name| !name.starts_with('.')), "{names:?}");
    }
}

/// Every tensor of a file, with its type and shape.
pub fn tensors(directory: &Path) -> Vec<(String, Dtype, Vec<usize>, Vec<u8>)> {
    let bytes = fs::read(directory.join("adapter_model.safetensors")).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let mut found: Vec<_> = file
        .tensors()
        .into_iter()
        .map(|(name, t)| (name, t.dtype(), t.shape().to_vec(), t.data().to_vec()))
        .collect();
    found.sort_by(|a, b| a.0.cmp(&b.0));
    found
}

/// Tensors by name, with shape and bytes.
pub type Parts = Vec<(String, Vec<usize>, Vec<u8>)>;

pub fn config(directory: &Path) -> Value {
    serde_json::from_slice(&fs::read(directory.join("adapter_config.json")).unwrap()).unwrap()
}
