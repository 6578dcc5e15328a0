//! The real models that the benches run on, as `ci/fetch.py test` leaves them.
#![allow(dead_code, reason = "not every bench uses everything")]

use std::env;
use std::path::PathBuf;

pub const SMOLLM2: &str = "SmolLM2-135M-Instruct.Q4_1.gguf";
pub const GEMMA3: &str = "gemma-3-270m-Q4_K_M.gguf";
pub const ALL: [&str; 2] = [SMOLLM2, GEMMA3];

/// Ends the program with the remedy when the file is not there: a bench of nothing is no result.
pub fn path(name: &str) -> PathBuf {
    let base = env::var_os("NESTLING_CACHE").map(PathBuf::from).or_else(|| {
        let cache = env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
        let cache = cache.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cache")))?;
        Some(cache.join("nestling"))
    });
    let path = base.unwrap_or_default().join(name);
    if !path.is_file() {
        eprintln!("{} is missing: run ci/fetch.py test", path.display());
        std::process::exit(1);
    }
    path
}
