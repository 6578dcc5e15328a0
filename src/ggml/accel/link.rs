//! What a context and the back end that the engine makes for it share.

use std::cell::RefCell;
use std::ptr::null_mut;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use llama_cpp_sys_2 as sys;

use super::pages::Results;
use super::room::Room;
use crate::kernels::{Level, Need};

/// The engine makes the back end, and gives a context no way to reach it: both hold this.
pub(crate) struct Link {
    pub(super) level: Level,
    state: Mutex<State>,
}

pub(super) struct State {
    /// The context's threads; null before they are set.
    pub pool: *mut sys::ggml_threadpool,
    pub threads: usize,
    /// What the largest graph so far needs.
    pub need: Need,
    pub room: Room,
    pub results: Results,
}

// SAFETY: the pool may be used from any thread, by one at a time: whoever holds the lock.
unsafe impl Send for State {}

thread_local! {
    /// The link of the context that this thread is making.
    static MAKING: RefCell<Option<Arc<Link>>> = const { RefCell::new(None) };
}

impl Link {
    /// For a context whose kernels are of this level; [`Level::None`]: the engine's own alone.
    pub(crate) fn new(level: Level) -> Arc<Self> {
        let need = Need::default();
        let (room, results) = (Room::empty(), Results::none());
        let state = State { pool: null_mut(), threads: 1, need, room, results };
        Arc::new(Self { level, state: Mutex::new(state) })
    }

    /// Runs `make`, and gives this link to the back end that is made meanwhile.
    pub(crate) fn making<T>(self: &Arc<Self>, make: impl FnOnce() -> T) -> T {
        struct Ended;
        impl Drop for Ended {
            fn drop(&mut self) {
                MAKING.with(|slot| slot.replace(None));
            }
        }
        MAKING.with(|slot| slot.replace(Some(self.clone())));
        let _ended = Ended;
        make()
    }

    /// The link of the context that this thread is making.
    pub(super) fn made_now() -> Option<Arc<Self>> {
        MAKING.with(|slot| slot.borrow().clone())
    }

    /// Computes with these threads from now on. False: there is not enough memory for so many.
    pub(crate) fn set_threads(&self, pool: *mut sys::ggml_threadpool, threads: usize) -> bool {
        let mut state = self.state();
        (state.pool, state.threads) = (pool, threads);
        let need = state.need;
        state.room.provide(need, threads)
    }

    /// The bytes that the kernels work in, with so many threads.
    pub(crate) fn scratch_bytes(&self, threads: usize) -> u64 {
        Room::bytes(self.state().need, threads).map_or(u64::MAX, |bytes| bytes as u64)
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
