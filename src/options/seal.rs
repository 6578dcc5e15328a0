//! The options of sealing.

use super::Secret;
use super::table::options;

options! {
    /// How a model is sealed: encrypted, signed, or both.
    SealOptions = "seal" {
        key: Secret = Secret::none(), (), "Encrypt with this key.";
        sign_key: Secret = Secret::none(), (), "Sign with this key, whose public part opens the file.";
        chunk_size: i64 = 262_144, 4_096..=16_777_216, "Bytes that are encrypted at a time; each chunk is checked alone.";
        force: bool = false, (), "Replace the output if it is there already.";
    }
}
