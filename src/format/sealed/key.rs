//! Keys: made, read from files and written to them.

use std::io::{Read as _, Write as _};
use std::path::Path;

use ed25519_dalek::SigningKey;
use rand_core::{OsRng, TryRngCore as _};
use zeroize::Zeroizing;

use super::manifest::hex;
use crate::error::{Context, Error, Result, bail, err};
use crate::format::{check_output, replace_file};
use crate::options::Secret;

/// A new random key, to encrypt or to sign with.
///
/// # Errors
/// `Io` if the system gives no random numbers.
pub fn random_key() -> Result<Secret> {
    let mut made = Ok(());
    let key = Secret::filled(|bytes| made = random(bytes));
    made.map(|()| key)
}

pub(super) fn random(bytes: &mut [u8]) -> Result<()> {
    OsRng.try_fill_bytes(bytes).map_err(|e| {
        err!(Io, "asking the system for random numbers: {e}; try again when the system is up")
    })
}

/// The public part of a signing key: whoever has it can check signatures, but make none.
///
/// # Errors
/// `SealKeyFormat` if there is no key.
pub fn public_key(sign_key: &Secret) -> Result<[u8; 32]> {
    Ok(signing(sign_key)?.verifying_key().to_bytes())
}

/// The signing key; it is wiped when it is dropped.
pub(super) fn signing(sign_key: &Secret) -> Result<SigningKey> {
    let bytes = sign_key.bytes();
    bytes.map(SigningKey::from_bytes).ok_or_else(|| {
        err!(SealKeyFormat, "there is no key to sign with; make one with `nestling keygen --sign`")
    })
}

/// Reads a key file: 32 bytes, or 64 hexadecimal digits with white space around them.
///
/// # Errors
/// `SealKeyFormat`, and those of files.
pub fn read_key(path: &Path) -> Result<Secret> {
    let io = |e: std::io::Error| Error::io(&e, "reading the key file").with_path(path);
    // Longer than any key file, so that nothing else is read whole.
    let mut bytes = Zeroizing::new(Vec::with_capacity(256));
    std::fs::File::open(path).map_err(io)?.take(256).read_to_end(&mut bytes).map_err(io)?;
    if bytes.len() == Secret::LENGTH {
        return Secret::new(&bytes);
    }
    let text = bytes.trim_ascii();
    let mut digits = text.iter().map(|c| char::from(*c).to_digit(16));
    if text.len() != 2 * Secret::LENGTH || digits.clone().any(|digit| digit.is_none()) {
        let text = "this file holds no key; give one with 32 bytes or 64 hexadecimal digits, as `nestling keygen` makes";
        return Err(err!(SealKeyFormat, "{text}").with_path(path));
    }
    Ok(Secret::filled(|key| {
        for byte in key {
            let mut digit = || digits.next().flatten().unwrap_or(0);
            *byte = (digit() << 4 | digit()) as u8;
        }
    }))
}

/// Writes a key file, in hexadecimal digits; on Unix only the user can read it. A file that is there is never replaced: a
/// model encrypted with the old key would be lost.
///
/// # Errors
/// `OutputExists`, `SealKeyFormat` if there is no key, and those of files.
pub fn write_key(path: &Path, key: &Secret) -> Result<()> {
    let Some(bytes) = key.bytes() else { bail!(SealKeyFormat, "there is no key to write") };
    check_output(path, false, &[])?;
    let text = Zeroizing::new(hex(bytes) + "\n");
    replace_file(path, "writing the key file", |out| {
        // Not through the buffer, which would not be wiped.
        let written = out.flush().and_then(|()| out.get_mut().write_all(text.as_bytes()));
        written.map_err(|e| Error::io(&e, "writing the key file"))
    })
    .context("the key was not kept")
}
