//! The log: recent lines, read by polling. Nothing is printed; no line holds the text of a prompt or an answer.

use super::error::nest_error;
use super::guard::guard;
use super::out::{fill, first_version, out, struct_size};
use super::string::nest_string;
use crate::log::{Level, poll};

/// Details for the developers of the library.
pub const NEST_LOG_DEBUG: i32 = 0;
/// What happens.
pub const NEST_LOG_INFO: i32 = 1;
/// Something unexpected that was dealt with.
pub const NEST_LOG_WARNING: i32 = 2;
/// Something failed; the failing call returns an error too.
pub const NEST_LOG_ERROR: i32 = 3;

const _: () = {
    assert!(NEST_LOG_DEBUG == Level::Debug as i32);
    assert!(NEST_LOG_INFO == Level::Info as i32);
    assert!(NEST_LOG_WARNING == Level::Warning as i32);
    assert!(NEST_LOG_ERROR == Level::Error as i32);
};

/// One line of the log.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct nest_log_line {
    /// sizeof(nest_log_line), set by the caller.
    pub struct_size: u32,
    /// One of NEST_LOG_....
    pub level: i32,
    /// Counts lines since the start of the process, from 0: a gap shows that lines were dropped.
    pub number: u64,
}
first_version!(nest_log_line, number: u64);

/// Takes the oldest unread line of the process. `text` stays NULL when there is none; `line` is then as it was.
///
/// Fills `line`, gives `text`. Any thread. Errors: NULL_POINTER, STRUCT_SIZE.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn nest_log_poll(
    line: *mut nest_log_line,
    text: *mut *mut nest_string,
) -> *mut nest_error {
    // SAFETY: the caller keeps the conventions for every pointer.
    guard(|| unsafe {
        let out = out(text, "text")?;
        struct_size(line, "line")?;
        let Some(found) = poll() else { return Ok(()) };
        let (level, number) = (found.level as i32, found.number);
        fill(line, nest_log_line { struct_size: 0, level, number }, "line")?;
        out.set(nest_string::new(found.text));
        Ok(())
    })
}
