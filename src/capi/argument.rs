//! What comes in: text, lists and flags, checked before anything is done with them.

use std::ffi::{CStr, c_char};
use std::path::PathBuf;

use crate::error::{Result, bail, err};

/// NUL-terminated text.
///
/// # Safety
/// `pointer` is NULL or NUL-terminated, and stays as it is for the time of the call.
pub(super) unsafe fn text<'a>(pointer: *const c_char, name: &str) -> Result<&'a str> {
    // SAFETY: passed on.
    unsafe { text_of(pointer, -1, name) }
}

/// The path of a file, as UTF-8.
///
/// # Safety
/// As [`text`].
pub(super) unsafe fn path(pointer: *const c_char, name: &str) -> Result<PathBuf> {
    // SAFETY: passed on.
    unsafe { text(pointer, name) }.map(PathBuf::from)
}

/// Text of `length` bytes, or NUL-terminated when `length` is -1.
///
/// # Safety
/// `pointer` is NULL or has as many bytes, and stays as it is for the time of the call.
pub(super) unsafe fn text_of<'a>(
    pointer: *const c_char,
    length: i64,
    name: &str,
) -> Result<&'a str> {
    if length < -1 {
        bail!(
            InvalidArgument,
            "the length of `{name}` is {length}; give its bytes, or -1 if it ends with NUL"
        )
    }
    let bytes = if length == -1 {
        if pointer.is_null() {
            bail!(NullPointer, "the argument `{name}` is NULL; give text that ends with NUL")
        }
        // SAFETY: not NULL, and NUL-terminated by the caller's promise.
        unsafe { CStr::from_ptr(pointer) }.to_bytes()
    } else {
        // SAFETY: passed on.
        unsafe { list(pointer.cast::<u8>(), length.unsigned_abs(), name) }?
    };
    std::str::from_utf8(bytes).map_err(|e| {
        let at = e.valid_up_to();
        err!(
            InvalidUtf8,
            "the argument `{name}` is not UTF-8 from byte {at} on; convert it to UTF-8"
        )
    })
}

/// `length` items. NULL is an empty list if `length` is 0.
///
/// # Safety
/// `pointer` is NULL or has as many items, and they stay as they are for the time of the call.
pub(super) unsafe fn list<'a, T: Copy>(
    pointer: *const T,
    length: u64,
    name: &str,
) -> Result<&'a [T]> {
    if length == 0 {
        return Ok(&[]);
    }
    if pointer.is_null() {
        bail!(
            NullPointer,
            "the argument `{name}` is NULL with the length {length}; give {length} items"
        )
    }
    if !pointer.is_aligned() {
        bail!(
            InvalidArgument,
            "the argument `{name}` is not aligned for its type; copy the items first"
        )
    }
    let most = isize::MAX as usize / size_of::<T>();
    match usize::try_from(length) {
        // SAFETY: not NULL, aligned, not longer than memory, and that many items by the caller's promise.
        Ok(n) if n <= most => Ok(unsafe { std::slice::from_raw_parts(pointer, n) }),
        _ => bail!(
            InvalidArgument,
            "the length of `{name}` is {length}, more than memory; check the length"
        ),
    }
}

/// A flag: 0 or 1.
pub(super) fn flag(value: i32, name: &str) -> Result<bool> {
    match value {
        0 => Ok(false),
        1 => Ok(true),
        _ => bail!(InvalidArgument, "the argument `{name}` is {value}; give 0 or 1"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;

    #[test]
    fn text_is_checked() {
        let bytes = c"a\xFFb".as_ptr();
        // SAFETY: literals that live for ever, with lengths inside them.
        unsafe {
            assert_eq!(text(c"a".as_ptr(), "x").unwrap(), "a");
            assert_eq!(text_of(c"a".as_ptr(), 2, "x").unwrap(), "a\0");
            assert_eq!(text_of(std::ptr::null(), 0, "x").unwrap(), "");
            assert_eq!(text(std::ptr::null(), "x").unwrap_err().code(), Code::NullPointer);
            assert_eq!(text_of(bytes, -2, "x").unwrap_err().code(), Code::InvalidArgument);
            let error = text(bytes, "key").unwrap_err();
            assert_eq!(error.code(), Code::InvalidUtf8);
            assert!(error.message().contains("`key`") && error.message().contains("byte 1"));
        }
    }

    #[test]
    fn lists_are_checked() {
        let items = [1i32, 2];
        // SAFETY: inside `items`; the refused ones are never read.
        unsafe {
            assert_eq!(list(items.as_ptr(), 2, "x").unwrap(), [1, 2]);
            assert!(list::<i32>(std::ptr::null(), 0, "x").unwrap().is_empty());
            let code = |r: Result<&[i32]>| r.unwrap_err().code();
            assert_eq!(code(list(std::ptr::null(), 1, "x")), Code::NullPointer);
            assert_eq!(code(list(items.as_ptr(), u64::MAX, "x")), Code::InvalidArgument);
            let odd = items.as_ptr().cast::<u8>().add(1).cast::<i32>();
            assert_eq!(code(list(odd, 1, "x")), Code::InvalidArgument);
        }
    }

    #[test]
    fn flags_are_zero_or_one() {
        assert!(!flag(0, "x").unwrap() && flag(1, "x").unwrap());
        assert_eq!(flag(-1, "x").unwrap_err().code(), Code::InvalidArgument);
    }
}
