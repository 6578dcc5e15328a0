//! The one guard that every exported function runs in: a panic becomes an error and never leaves Rust.

use std::cell::{Cell, RefCell};
use std::panic::{self, AssertUnwindSafe, PanicHookInfo};
use std::sync::Once;

use super::error::{nest_error, raise};
use crate::error::{Error, Result, err};

thread_local! {
    static INSIDE: Cell<u32> = const { Cell::new(0) };
    static PLACE: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Runs the body of a fallible function.
pub(super) fn guard(body: impl FnOnce() -> Result<()>) -> *mut nest_error {
    match catch(body) {
        Some(Ok(())) => std::ptr::null_mut(),
        Some(Err(error)) => raise(error),
        None => raise(broken()),
    }
}

/// Runs the body of a function that cannot return an error; `otherwise` is what it returns after a panic.
pub(super) fn guard_or<T>(otherwise: T, body: impl FnOnce() -> T) -> T {
    catch(body).unwrap_or(otherwise)
}

fn catch<T>(body: impl FnOnce() -> T) -> Option<T> {
    install_hook();
    INSIDE.set(INSIDE.get() + 1);
    // What a panic leaves half done is behind a lock, which is then poisoned.
    let result = panic::catch_unwind(AssertUnwindSafe(body));
    INSIDE.set(INSIDE.get() - 1);
    result.ok()
}

/// Panics of our functions and workers print nothing; all others go to the hook that was there before.
fn install_hook() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(
            move |info| if is_ours() { remember(info) } else { before(info) },
        ));
    });
}

fn is_ours() -> bool {
    let worker = || std::thread::current().name() == Some(crate::job::THREAD);
    INSIDE.try_with(|inside| inside.get() > 0).unwrap_or(false) || worker()
}

/// Keeps where it happened. Not the panic's message: that may quote the text that was being worked on.
fn remember(info: &PanicHookInfo<'_>) {
    let place = info.location().map(|l| format!(" at {}:{}", l.file(), l.line()));
    PLACE.with_borrow_mut(|kept| *kept = place.unwrap_or_default());
}

fn broken() -> Error {
    let place = PLACE.take();
    err!(
        Panic,
        "a mistake inside the library was caught{place}; free the handles of this call and report it"
    )
}

#[cfg(test)]
mod tests {
    use super::super::error::{nest_error_code, nest_error_free, nest_error_message};
    use super::*;
    use crate::error::Code;
    use std::ffi::CStr;

    #[test]
    fn a_panic_becomes_an_error_with_its_place() {
        let error = guard(|| panic!("on purpose: the user's text"));
        // SAFETY: `error` is the error just made, freed once.
        unsafe {
            assert_eq!(nest_error_code(error), Code::Panic.number());
            let message = CStr::from_ptr(nest_error_message(error)).to_str().unwrap();
            assert!(message.contains("guard.rs:") && message.contains("report"), "{message}");
            assert!(!message.contains("the user's text"));
            nest_error_free(error);
        }
        assert_eq!(guard_or(7, || panic!("again")), 7);
    }

    /// The output of a test binary that runs only `name`.
    fn child(name: &str) -> String {
        let mut command = std::process::Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", name, "--ignored", "--nocapture", "--test-threads=1"]);
        let output = command.output().unwrap();
        assert!(output.status.success());
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    #[test]
    fn our_panics_are_silent_and_the_hosts_are_not() {
        assert_eq!(child("capi::guard::tests::child_panics_inside"), "");
        assert!(child("capi::guard::tests::child_panics_outside").contains("the host's"));
    }

    #[test]
    #[ignore = "run by our_panics_are_silent_and_the_hosts_are_not"]
    fn child_panics_inside() {
        guard_or((), || panic!("ours"));
        let work = |_: &crate::job::Monitor| -> Result<()> { panic!("ours, on a worker") };
        let mut job = crate::job::Job::spawn("testing", Default::default(), work).unwrap();
        assert_eq!(job.take().unwrap_err().code(), Code::Panic);
    }

    #[test]
    #[ignore = "run by our_panics_are_silent_and_the_hosts_are_not"]
    fn child_panics_outside() {
        guard_or((), || ());
        assert!(panic::catch_unwind(|| panic!("the host's")).is_err());
    }
}
