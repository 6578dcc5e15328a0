//! What this library is.

use std::ffi::{CStr, c_char};

use super::error::nest_error;
use super::guard::{guard, guard_or};
use super::out::out;
use super::string::nest_string;
use crate::{build_info, device};

/// The version of this ABI that the header describes. A program compiled against one works with every library of the
/// same number.
pub const NEST_ABI_VERSION: u32 = 0;

/// The library's NEST_ABI_VERSION: compare it with the header's. Any thread.
#[unsafe(no_mangle)]
pub extern "C" fn nest_abi_version() -> u32 {
    guard_or(NEST_ABI_VERSION, || NEST_ABI_VERSION)
}

/// The library's version, for example "0.1.0"; static. Any thread.
#[unsafe(no_mangle)]
pub extern "C" fn nest_version() -> *const c_char {
    const VERSION: &CStr =
        match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
            Ok(version) => version,
            Err(_) => c"",
        };
    guard_or(VERSION.as_ptr(), || VERSION.as_ptr())
}

/// What the library is, as a JSON object: version, engine, back ends, features, what the CPU has.
///
/// Gives `json`. Any thread. Errors: NULL_POINTER.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn nest_build_info(json: *mut *mut nest_string) -> *mut nest_error {
    // SAFETY: the caller keeps the conventions for every pointer.
    guard(|| unsafe {
        out(json, "json")?.set(nest_string::new(build_info::build_info()));
        Ok(())
    })
}

/// The largest resident memory of this process so far, in bytes; 0 where the system does not say. Any thread.
#[unsafe(no_mangle)]
pub extern "C" fn nest_peak_memory() -> u64 {
    guard_or(0, device::peak_memory)
}
