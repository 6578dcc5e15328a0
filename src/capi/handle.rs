//! What a handle is: a counted box, so that a call in flight keeps what another thread frees.
//!
//! A shared handle (`const T *`) is the object itself. An exclusive one (`T *`) holds its state in [`Exclusive`], an
//! object that is set up first and then read by many (options, messages) in [`Editable`].

use std::sync::{Arc, Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard, TryLockError};

use crate::cancel::CancelToken;
use crate::error::{Error, Result, err};

/// Every type behind a handle.
pub(super) trait Handle: Send + Sync + Sized {
    /// What its functions call it, for error messages.
    const NAME: &'static str;

    /// Called when the host frees the handle, before its memory goes: stops the call in flight, if there is one.
    fn close(&self) {}
}

/// The object of a handle, kept alive for the time of a call.
///
/// # Safety
/// `pointer` is NULL, or came from [`give`] and its `free` has not returned.
pub(super) unsafe fn handle<T: Handle>(pointer: *const T, name: &str) -> Result<Arc<T>> {
    if pointer.is_null() {
        let free = T::NAME;
        return Err(err!(
            NullPointer,
            "the argument `{name}` is NULL; give a {free} that is not freed"
        ));
    }
    // SAFETY: not NULL, so by the caller's promise it came from `Arc::into_raw`, and that count is still held.
    unsafe {
        Arc::increment_strong_count(pointer);
        Ok(Arc::from_raw(pointer))
    }
}

/// As [`handle`], for a handle that may be NULL.
///
/// # Safety
/// As [`handle`].
pub(super) unsafe fn optional<T: Handle>(pointer: *const T) -> Option<Arc<T>> {
    // SAFETY: passed on.
    unsafe { handle(pointer, "").ok() }
}

/// A new handle, owned by the caller.
pub(super) fn give<T: Handle>(value: T) -> *mut T {
    Arc::into_raw(Arc::new(value)).cast_mut()
}

/// Takes a handle back.
///
/// # Safety
/// As [`handle`]; the pointer is not used again.
pub(super) unsafe fn free<T: Handle>(pointer: *mut T) {
    if pointer.is_null() {
        return;
    }
    // SAFETY: not NULL, so by the caller's promise it came from `Arc::into_raw`, and this is its count.
    let object = unsafe { Arc::from_raw(pointer) };
    object.close();
}

/// State that one thread uses at a time.
pub(super) struct Exclusive<T> {
    state: Mutex<T>,
    /// Stops the call in flight when the handle is freed.
    closing: CancelToken,
}

impl<T> Exclusive<T> {
    pub(super) fn new(state: T) -> Self {
        Self::stopped_by(state, CancelToken::new())
    }

    /// State whose work listens to `closing` itself.
    pub(super) fn stopped_by(state: T, closing: CancelToken) -> Self {
        Self { state: Mutex::new(state), closing }
    }

    /// The state; the error `Busy` if another thread uses it, `Poisoned` if a call panicked with it.
    pub(super) fn lock(&self, name: &str) -> Result<MutexGuard<'_, T>> {
        self.state.try_lock().map_err(|e| refuse(&e, name))
    }

    /// The token for a call: triggered by the host's, and by freeing the handle.
    pub(super) fn token(&self, host: &CancelToken) -> CancelToken {
        let token = CancelToken::new();
        host.link(&token);
        self.closing.link(&token);
        token
    }

    pub(super) fn close(&self) {
        self.closing.trigger();
    }
}

/// State that many threads read at a time, or one changes.
pub(super) struct Editable<T>(RwLock<T>);

impl<T> Editable<T> {
    pub(super) fn new(state: T) -> Self {
        Self(RwLock::new(state))
    }

    pub(super) fn read(&self, name: &str) -> Result<RwLockReadGuard<'_, T>> {
        self.0.try_read().map_err(|e| refuse(&e, name))
    }

    pub(super) fn write(&self, name: &str) -> Result<RwLockWriteGuard<'_, T>> {
        self.0.try_write().map_err(|e| refuse(&e, name))
    }
}

fn refuse<G>(error: &TryLockError<G>, name: &str) -> Error {
    match error {
        TryLockError::WouldBlock => err!(
            Busy,
            "the argument `{name}` is in use by another thread; use it from one thread at a time, or make one \
             for each"
        ),
        TryLockError::Poisoned(_) => err!(
            Poisoned,
            "the argument `{name}` was left unusable by an earlier internal failure; free it and make a new one"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capi::guard::guard_or;
    use crate::error::Code;

    struct Thing(Exclusive<u32>);

    impl Handle for Thing {
        const NAME: &'static str = "thing";

        fn close(&self) {
            self.0.close();
        }
    }

    #[test]
    fn a_second_use_is_busy_and_a_panic_poisons() {
        let thing = Exclusive::new(1);
        let used = thing.lock("thing").unwrap();
        assert_eq!(thing.lock("thing").unwrap_err().code(), Code::Busy);
        drop(used);
        assert_eq!(*thing.lock("thing").unwrap(), 1);
        guard_or((), || {
            let _used = thing.lock("thing").unwrap();
            panic!("while in use")
        });
        assert_eq!(thing.lock("thing").unwrap_err().code(), Code::Poisoned);
    }

    #[test]
    fn readers_share_and_a_writer_excludes() {
        let text = Editable::new(1);
        let (first, second) = (text.read("text").unwrap(), text.read("text").unwrap());
        assert_eq!(text.write("text").unwrap_err().code(), Code::Busy);
        drop((first, second));
        let changing = text.write("text").unwrap();
        assert_eq!(text.read("text").unwrap_err().code(), Code::Busy);
        drop(changing);
    }

    #[test]
    fn freeing_during_a_call_cancels_it_and_keeps_the_object() {
        let pointer = give(Thing(Exclusive::new(5)));
        // SAFETY: `pointer` is a live handle, freed once below.
        let in_flight = unsafe { handle(pointer, "thing") }.unwrap();
        let token = in_flight.0.token(&CancelToken::new());
        // SAFETY: as above.
        unsafe { free(pointer) };
        assert!(token.is_triggered());
        assert_eq!(*in_flight.0.lock("thing").unwrap(), 5);
        assert_eq!(Arc::strong_count(&in_flight), 1);
    }
}
