//! What a context's cache holds: positions, cutting, moving.

use llama_cpp_sys_2 as sys;

use super::context::RawContext;
use super::shim;
use crate::error::Result;

impl RawContext {
    /// The last position in the cache; -1 when it is empty.
    pub(crate) fn position_max(&self) -> i32 {
        // SAFETY: the context is valid; the call only reads.
        unsafe { sys::llama_memory_seq_pos_max(sys::llama_get_memory(self.as_ptr()), 0) }
    }

    /// The first position that every layer's cache still holds; -1 when it is empty.
    pub(crate) fn position_min(&self) -> i32 {
        // SAFETY: as in `position_max`.
        unsafe { sys::llama_memory_seq_pos_min(sys::llama_get_memory(self.as_ptr()), 0) }
    }

    /// Empties the cache; `wipe` overwrites the data too, so that no text of one session stays for the
    /// next.
    pub(crate) fn clear(&mut self, wipe: bool) {
        // SAFETY: the context is valid.
        unsafe { sys::llama_memory_clear(sys::llama_get_memory(self.as_ptr()), wipe) };
    }

    /// Removes the positions `from..` (to the end). False: the cache cannot be cut there.
    pub(crate) fn truncate(&mut self, from: i32) -> Result<bool> {
        self.remove(from, -1)
    }

    /// Removes the positions `from..to`; `to` -1 is the end.
    pub(crate) fn remove(&mut self, from: i32, to: i32) -> Result<bool> {
        let mut done = false;
        shim::call("removing tokens from the cache", |why| {
            // SAFETY: the context is valid, sequence 0 always exists.
            unsafe { shim::nestling_shim_seq_rm(self.as_ptr(), 0, from, to, &mut done, why) }
        })?;
        Ok(done)
    }

    /// Whether positions can be moved.
    pub(crate) fn can_shift(&self) -> bool {
        // SAFETY: the context is valid; the call only reads.
        self.model().has_rope()
            && unsafe { sys::llama_memory_can_shift(sys::llama_get_memory(self.as_ptr())) }
    }

    /// Moves the positions `from..` by `delta`. The caller has checked [`can_shift`](Self::can_shift).
    pub(crate) fn shift(&mut self, from: i32, delta: i32) {
        if self.can_shift() {
            // SAFETY: the context is valid and its memory can shift (the engine asserts it).
            unsafe {
                let memory = sys::llama_get_memory(self.as_ptr());
                sys::llama_memory_seq_add(memory, 0, from, -1, delta);
            }
        }
    }
}
