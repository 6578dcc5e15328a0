//! What a running call of the engine asks: whether it was cancelled.

use std::ffi::c_void;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};

use crate::cancel::CancelToken;

/// Shows a cancel token to the abort callback for the time of one call.
pub(super) struct Running<'a>(&'a AtomicPtr<AtomicBool>);

impl<'a> Running<'a> {
    pub(super) fn new(slot: &'a AtomicPtr<AtomicBool>, token: &'a CancelToken) -> Self {
        slot.store(std::ptr::from_ref(token.flag()).cast_mut(), Ordering::Release);
        Self(slot)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.store(null_mut(), Ordering::Release);
    }
}

pub(super) extern "C" fn on_check(data: *mut c_void) -> bool {
    // SAFETY: `data` is the boxed slot of a live context; the flag in it belongs to a token that is
    // borrowed for the whole running call (`Running`).
    unsafe {
        let flag = (*data.cast::<AtomicPtr<AtomicBool>>()).load(Ordering::Acquire);
        !flag.is_null() && (*flag).load(Ordering::Relaxed)
    }
}
