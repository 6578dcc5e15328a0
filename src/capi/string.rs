//! Text that was computed for the caller.

use std::ffi::c_char;

use serde::Serialize;

use super::guard::guard_or;
use super::handle::{Handle, free, optional};
use crate::error::{Result, err};

/// Owned text: UTF-8, with a NUL after its last byte.
pub struct nest_string(Vec<u8>);

impl nest_string {
    pub(super) fn new(text: impl Into<String>) -> Self {
        let mut bytes = text.into().into_bytes();
        bytes.push(0);
        Self(bytes)
    }

    /// A value as JSON.
    pub(super) fn json(value: &impl Serialize) -> Result<Self> {
        let text = serde_json::to_string(value);
        text.map(Self::new).map_err(|e| err!(Internal, "writing JSON: {e}; please report it"))
    }
}

impl Handle for nest_string {
    const NAME: &'static str = "nest_string";
}

/// The text, lent by the string: `nest_string_length` bytes and a NUL. Empty for NULL. Any thread.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nest_string_data(string: *const nest_string) -> *const c_char {
    // SAFETY: NULL, or a string that is not freed.
    guard_or(c"".as_ptr(), || match unsafe { optional(string) } {
        Some(string) => string.0.as_ptr().cast(),
        None => c"".as_ptr(),
    })
}

/// The number of bytes, without the NUL at the end; 0 for NULL. Any thread.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nest_string_length(string: *const nest_string) -> u64 {
    // SAFETY: NULL, or a string that is not freed.
    guard_or(0, || unsafe { optional(string) }.map_or(0, |s| s.0.len() as u64 - 1))
}

/// Frees a string. NULL is fine.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nest_string_free(string: *mut nest_string) {
    // SAFETY: NULL, or the caller's own string, given back.
    guard_or((), || unsafe { free(string) });
}
