//! What the tests share: tiny random models of every family, made on the spot.
//!
//! ```ignore
//! mod support;
//! let bytes = support::Tiny::new(support::Family::Llama).bytes();
//! ```
#![allow(dead_code, unused_imports, reason = "each test program uses its own part of this module")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

pub mod blocks;
#[cfg(target_os = "linux")]
pub mod c;
pub mod chatglm;
pub mod encoders;
pub mod peft;
pub mod raw;
pub mod run;
pub mod tiny;
pub mod vocab;

use std::path::PathBuf;

pub use raw::Raw;
pub use tiny::{Family, Tiny};

/// The demo model: llama architecture, BPE vocabulary, chat template.
pub fn smollm2() -> PathBuf {
    fetched("SmolLM2-135M-Instruct.Q4_1.gguf")
}

/// A sliding-window model: gemma3 architecture, SentencePiece vocabulary.
pub fn gemma3() -> PathBuf {
    fetched("gemma-3-270m-Q4_K_M.gguf")
}

/// A file of the cache, by its target in `ci/assets`.
pub fn fetched(name: &str) -> PathBuf {
    let set = |name| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    let directory = set("NESTLING_CACHE").unwrap_or_else(|| {
        let cache = set("XDG_CACHE_HOME");
        cache.unwrap_or_else(|| set("HOME").expect("HOME is set").join(".cache")).join("nestling")
    });
    let path = directory.join(name);
    assert!(path.is_file(), "{} is missing: run make setup", path.display());
    path
}
