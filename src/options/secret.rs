//! A key among options: wiped from memory with its last owner, and never printed.

use std::fmt;
use std::sync::Arc;

use zeroize::Zeroizing;

use super::value::{Input, Kind, Value};
use crate::error::{Result, bail};

/// A key of 32 bytes, or none. Clones share the bytes, which are wiped with the last of them. Nothing prints them: neither
/// `Debug`, nor an error, nor the reference of options.
#[derive(Clone, Default)]
pub struct Secret(Option<Arc<Zeroizing<[u8; Secret::LENGTH]>>>);

impl Secret {
    /// Bytes of every key.
    pub const LENGTH: usize = 32;

    /// No key.
    pub const fn none() -> Self {
        Self(None)
    }

    /// A key.
    ///
    /// # Errors
    /// `SealKeyFormat` if these are not 32 bytes.
    pub fn new(bytes: &[u8]) -> Result<Self> {
        let Ok(()) = Self::check(bytes) else {
            bail!(
                SealKeyFormat,
                "a key has {} bytes, not {}; give the bytes of a whole key",
                Self::LENGTH,
                bytes.len()
            )
        };
        Ok(Self::filled(|key| key.copy_from_slice(bytes)))
    }

    /// A key whose bytes `fill` writes where they stay: no copy is left behind on the stack.
    pub(crate) fn filled(fill: impl FnOnce(&mut [u8; Self::LENGTH])) -> Self {
        let mut key = Arc::new(Zeroizing::new([0; Self::LENGTH]));
        if let Some(bytes) = Arc::get_mut(&mut key) {
            fill(bytes);
        }
        Self(Some(key))
    }

    /// Whether there is a key.
    pub fn is_set(&self) -> bool {
        self.0.is_some()
    }

    /// The bytes, if there is a key. Whoever copies them must wipe the copy.
    pub fn bytes(&self) -> Option<&[u8; Self::LENGTH]> {
        self.0.as_deref().map(|bytes| &**bytes)
    }

    fn check(bytes: &[u8]) -> Result<(), ()> {
        if bytes.len() == Self::LENGTH { Ok(()) } else { Err(()) }
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.bytes() == other.bytes()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_set() { "Secret(set)" } else { "Secret(none)" })
    }
}

impl Value for Secret {
    type Range = ();

    fn kind((): ()) -> Kind {
        Kind::Key
    }

    fn set(&mut self, input: Input<'_>, (): ()) -> Result<(), ()> {
        *self = match input {
            Input::Bytes([]) | Input::Str("") => Self::none(),
            Input::Bytes(bytes) => Self::new(bytes).map_err(|_| ())?,
            _ => return Err(()),
        };
        Ok(())
    }

    fn is_valid(&self, (): ()) -> bool {
        true
    }

    /// Only whether it is set.
    fn show(&self) -> String {
        if self.is_set() { "set".to_owned() } else { String::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;
    use crate::options::{ModelOptions, Options as _};

    #[test]
    fn a_key_has_32_bytes_and_is_never_shown() {
        let mut options = ModelOptions::default();
        options.set("key", Input::Bytes(&[0xAB; 32])).unwrap();
        assert_eq!(options.key.bytes(), Some(&[0xAB; 32]));
        let hex = "ab".repeat(32);
        for bad in [
            Input::Bytes(&[0xAB; 31]),
            Input::Bytes(&[0xAB; 33]),
            Input::Str(&hex),
            Input::Int(0xABAB),
        ] {
            let error = options.set("key", bad).unwrap_err();
            assert_eq!(error.code(), Code::InvalidOption);
            assert!(error.message().contains("32 bytes of a key"), "{error}");
            assert!(
                !error.message().contains("abab") && !error.message().contains("43947"),
                "{error}"
            );
        }
        assert_eq!(options.get("key").unwrap(), "set");
        let shown = format!("{options:?} {:?}", Input::Bytes(&[0xAB; 32]));
        assert!(
            shown.contains("Secret(set)") && !shown.contains("171") && !shown.contains("ab, "),
            "{shown}"
        );
        options.set("key", Input::Bytes(&[])).unwrap();
        assert!(!options.key.is_set());
        assert_eq!(Secret::new(&[1; 16]).unwrap_err().code(), Code::SealKeyFormat);
    }
}
