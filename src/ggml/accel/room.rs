//! Memory that a context's kernels work in: made once, grown when a graph needs more.

use std::alloc::{Layout, alloc, dealloc};
use std::ptr::null_mut;

use super::pages;
use crate::kernels::{Need, Scratch};

/// Both parts of a scratch begin at multiples of this.
const ALIGN: usize = 64;

/// One block for all threads: what they share, then each thread's own.
pub(in crate::ggml) struct Room {
    base: *mut u8,
    layout: Layout,
    need: Need,
    threads: usize,
}

// SAFETY: the block is owned by this object alone; who gets pointers into it says what they do with them.
unsafe impl Send for Room {}

impl Room {
    pub(in crate::ggml) const fn empty() -> Self {
        let none = Need { shared: 0, own: 0 };
        Self { base: null_mut(), layout: Layout::new::<()>(), need: none, threads: 0 }
    }

    /// The bytes that so many threads need; `None` if they cannot be counted.
    pub(in crate::ggml) fn bytes(need: Need, threads: usize) -> Option<usize> {
        let shared = need.shared.checked_next_multiple_of(ALIGN)?;
        let own = need.own.checked_next_multiple_of(ALIGN)?;
        own.checked_mul(threads)?.checked_add(shared)
    }

    /// Makes sure that so many threads have what they need. False: there is not enough memory, and the room is as before.
    pub(in crate::ggml) fn provide(&mut self, need: Need, threads: usize) -> bool {
        let (need, threads) = (self.need.max(need), self.threads.max(threads));
        if need == self.need && threads == self.threads {
            return true;
        }
        let bytes = Self::bytes(need, threads);
        let align = |bytes| if bytes < pages::LARGE { ALIGN } else { pages::LARGE };
        let Some(layout) = bytes.and_then(|b| Layout::from_size_align(b, align(b)).ok()) else {
            return false;
        };
        if layout.size() > 0 {
            // SAFETY: the size is not 0.
            let base = unsafe { alloc(layout) };
            if base.is_null() {
                return false;
            }
            // SAFETY: the block was just made.
            unsafe { pages::ask_for_large(base, layout.size()) };
            self.free();
            (self.base, self.layout) = (base, layout);
        }
        (self.need, self.threads) = (need, threads);
        true
    }

    /// The memory of one thread, below the number that was provided for.
    pub(in crate::ggml) fn scratch(&self, thread: usize) -> Scratch {
        Self::part(self.base, self.need, thread)
    }

    /// A thread's part of a block that was made for as much, or more.
    pub(in crate::ggml) fn part(base: *mut u8, need: Need, thread: usize) -> Scratch {
        let shared = need.shared.next_multiple_of(ALIGN);
        let own = need.own.next_multiple_of(ALIGN);
        // The sums were checked when the block was made; without a block they are 0.
        Scratch { shared: base, own: base.wrapping_add(shared + own * thread) }
    }

    /// How many threads have memory here.
    pub(super) fn threads(&self) -> usize {
        self.threads
    }

    fn free(&mut self) {
        if !self.base.is_null() {
            // SAFETY: the block was made with this layout, and nobody uses it any more: `&mut self`.
            unsafe { dealloc(self.base, self.layout) };
            self.base = null_mut();
        }
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.free();
    }
}
