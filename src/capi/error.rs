//! Errors: a stable code, and a message that says what was wrong, where, and what to do.

use std::alloc::{Layout, alloc};
use std::ffi::c_char;

use super::guard::guard_or;
use crate::error::{Code, Error};

/// Why a call failed.
pub struct nest_error {
    code: i32,
    /// Ends with NUL.
    message: Text,
}

enum Text {
    Owned(Vec<u8>),
    Static(&'static [u8]),
}

static OUT_OF_MEMORY: nest_error = nest_error {
    code: Code::OutOfMemory.number(),
    message: Text::Static(
        b"memory could not be allocated, not even for this error; free some and try again\0",
    ),
};

/// The error for the caller; the static one when there is no memory for it.
pub(super) fn raise(error: Error) -> *mut nest_error {
    let code = error.code().number();
    // A NUL inside would end the message too early.
    let mut bytes = error.message().replace('\0', "\\0").into_bytes();
    if bytes.try_reserve_exact(1).is_err() {
        return (&raw const OUT_OF_MEMORY).cast_mut();
    }
    bytes.push(0);
    // SAFETY: the type has a size; the result is checked, then initialised.
    unsafe {
        let place = alloc(Layout::new::<nest_error>()).cast::<nest_error>();
        if place.is_null() {
            return (&raw const OUT_OF_MEMORY).cast_mut();
        }
        place.write(nest_error { code, message: Text::Owned(bytes) });
        place
    }
}

/// The error's code: one of `NEST_ERROR_...`; 0 for NULL. Any thread.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nest_error_code(error: *const nest_error) -> i32 {
    // SAFETY: NULL, or an error that is not freed.
    guard_or(0, || unsafe { error.as_ref() }.map_or(0, |e| e.code))
}

/// The error's message, lent by the error; empty for NULL. Any thread.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nest_error_message(error: *const nest_error) -> *const c_char {
    // SAFETY: NULL, or an error that is not freed.
    guard_or(c"".as_ptr(), || match unsafe { error.as_ref() }.map(|e| &e.message) {
        Some(Text::Owned(bytes)) => bytes.as_ptr().cast(),
        Some(Text::Static(bytes)) => bytes.as_ptr().cast(),
        None => c"".as_ptr(),
    })
}

/// Frees an error. NULL is fine.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nest_error_free(error: *mut nest_error) {
    guard_or((), || {
        if !error.is_null() && !std::ptr::eq(error, &raw const OUT_OF_MEMORY) {
            // SAFETY: `raise` allocated it with this layout, and the caller gives it back.
            drop(unsafe { Box::from_raw(error) });
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::CStr;

    #[test]
    fn the_static_error_can_be_freed_again_and_again() {
        let error = (&raw const OUT_OF_MEMORY).cast_mut();
        for _ in 0..3 {
            // SAFETY: a static.
            unsafe {
                assert_eq!(nest_error_code(error), 10);
                let message = CStr::from_ptr(nest_error_message(error));
                assert!(message.to_str().unwrap().contains("free some"));
                nest_error_free(error);
            }
        }
    }

    #[test]
    fn messages_survive_nul() {
        let error = raise(Error::new(Code::Io, "a\0b"));
        // SAFETY: the error just made.
        unsafe {
            assert_eq!(CStr::from_ptr(nest_error_message(error)).to_str().unwrap(), "a\\0b");
            nest_error_free(error);
        }
    }
}
