//! A token that stops a long call from any thread.

use super::error::nest_error;
use super::guard::{guard, guard_or};
use super::handle::{Handle, free, optional};
use super::out::out;
use crate::cancel::CancelToken;

/// Stops everything it is given to, once triggered and for ever.
pub struct nest_cancel(CancelToken);

impl Handle for nest_cancel {
    const NAME: &'static str = "nest_cancel";
}

/// A token that is not triggered.
///
/// Gives `cancel`. Any thread. Errors: NULL_POINTER.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn nest_cancel_new(cancel: *mut *mut nest_cancel) -> *mut nest_error {
    // SAFETY: the caller keeps the conventions for every pointer.
    guard(|| unsafe {
        out(cancel, "cancel")?.set(nest_cancel(CancelToken::new()));
        Ok(())
    })
}

/// Stops what the token was given to; again and NULL are fine. Any thread.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nest_cancel_trigger(cancel: *const nest_cancel) {
    // SAFETY: NULL, or a token that is not freed.
    guard_or((), || unsafe { token(cancel) }.trigger());
}

/// Whether the token was triggered: 0 or 1; 0 for NULL. Any thread.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nest_cancel_is_triggered(cancel: *const nest_cancel) -> i32 {
    // SAFETY: NULL, or a token that is not freed.
    guard_or(0, || unsafe { token(cancel) }.is_triggered().into())
}

/// Frees a token; what it was given to goes on. NULL is fine.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nest_cancel_free(cancel: *mut nest_cancel) {
    // SAFETY: NULL, or the caller's own token, given back.
    guard_or((), || unsafe { free(cancel) });
}

/// The host's token; for NULL one that nobody can trigger.
///
/// # Safety
/// As [`super::handle::handle`].
pub(super) unsafe fn token(cancel: *const nest_cancel) -> CancelToken {
    // SAFETY: passed on.
    unsafe { optional(cancel) }.map_or_else(CancelToken::new, |c| c.0.clone())
}

/// A job's own token, which the host's triggers, too: freeing the job must not stop what else the host's token is given to.
///
/// # Safety
/// As [`token`].
pub(super) unsafe fn own_token(cancel: *const nest_cancel) -> CancelToken {
    let own = CancelToken::new();
    // SAFETY: passed on.
    unsafe { token(cancel) }.link(&own);
    own
}
