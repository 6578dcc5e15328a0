//! Starting the engine once per process: its log goes to the log ring, its abort reason is kept there too.

use std::ffi::{CStr, c_char, c_void};
use std::sync::Once;

use llama_cpp_sys_2 as sys;

use super::accel;
use crate::log::{self, Level};

/// Starts the engine; every entry of this folder that needs it calls this first.
pub(crate) fn init() {
    static STARTED: Once = Once::new();
    STARTED.call_once(|| {
        // SAFETY: called once, before any other engine call; the callbacks are plain functions that
        // live as long as the process and do not unwind.
        unsafe {
            sys::llama_log_set(Some(on_log), std::ptr::null_mut());
            sys::ggml_set_abort_callback(Some(on_abort));
            sys::llama_backend_init();
        }
        accel::start();
    });
}

/// The engine's name and version.
pub(crate) fn version() -> String {
    // SAFETY: returns a NUL-terminated string that lives as long as the process.
    let version = unsafe { CStr::from_ptr(sys::llama_version()) };
    version.to_string_lossy().into_owned()
}

/// The instruction sets and libraries that the engine's back ends were built with or found.
pub(crate) fn system_info() -> String {
    init();
    // SAFETY: returns a NUL-terminated string in static storage; only this process-wide call writes it,
    // and it always writes the same text.
    let info = unsafe { CStr::from_ptr(sys::llama_print_system_info()) };
    info.to_string_lossy().trim().to_owned()
}

extern "C" fn on_log(level: sys::ggml_log_level, text: *const c_char, _: *mut c_void) {
    let level = match level {
        sys::GGML_LOG_LEVEL_ERROR => Level::Error,
        sys::GGML_LOG_LEVEL_WARN => Level::Warning,
        sys::GGML_LOG_LEVEL_INFO => Level::Info,
        // Continuations are progress dots.
        sys::GGML_LOG_LEVEL_CONT => return,
        _ => Level::Debug,
    };
    if text.is_null() {
        return;
    }
    // SAFETY: not null, and the engine gives a NUL-terminated string for the time of the call.
    let text = unsafe { CStr::from_ptr(text) };
    log::push(level, &text.to_string_lossy());
}

/// The process is about to abort inside the engine: leave the reason for the host's crash report.
extern "C" fn on_abort(text: *const c_char) {
    if text.is_null() {
        return;
    }
    // SAFETY: as in `on_log`.
    let text = unsafe { CStr::from_ptr(text) };
    log::push(Level::Error, &text.to_string_lossy());
    eprintln!("nestling: the engine aborts: {}", text.to_string_lossy());
}
