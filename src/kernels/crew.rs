//! The threads that run one operation together. They are the engine's: all of them call the same kernel, each with its
//! own index.

use std::hint::spin_loop;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// How many looks at the barrier a thread takes before it lets others have its core.
const PATIENCE: u32 = 2_000;

/// What the threads of one operation share. Made anew before each operation.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    arrived: AtomicUsize,
    tickets: [AtomicUsize; 4],
    failed: AtomicBool,
}

impl Shared {
    /// Lets nobody wait any more: a thread has failed.
    pub(crate) fn fail(&self) {
        self.failed.store(true, Ordering::Release);
    }

    /// Whether a thread has failed; the result is worth nothing then.
    pub(crate) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }
}

/// One thread's place among those that run an operation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Crew<'a> {
    /// From 0 on.
    pub index: usize,
    /// How many there are.
    pub count: usize,
    shared: &'a Shared,
}

impl<'a> Crew<'a> {
    /// Thread `index` of `count`; all of them have the same `shared`.
    pub(crate) fn new(index: usize, count: usize, shared: &'a Shared) -> Self {
        Self { index, count, shared }
    }

    /// Waits until all threads have come here; what they wrote before can be read after.
    pub(crate) fn wait(&self) {
        let before = self.shared.arrived.fetch_add(1, Ordering::AcqRel);
        let all = (before / self.count + 1) * self.count;
        self.wait_for(|| self.shared.arrived.load(Ordering::Acquire) >= all);
    }

    /// Waits until something is so that another thread brings about; false if a thread has failed, and it may never be.
    pub(crate) fn wait_for(&self, is_so: impl Fn() -> bool) -> bool {
        let mut looks = 0;
        while !is_so() {
            if self.shared.has_failed() {
                return false;
            }
            spin_loop();
            looks += 1;
            if looks > PATIENCE {
                std::thread::yield_now();
            }
        }
        true
    }

    /// Whether a thread has failed; the result is worth nothing then.
    pub(crate) fn has_failed(&self) -> bool {
        self.shared.has_failed()
    }

    /// The next number, from 0 on, of one of four queues of work: each is given to one thread.
    pub(crate) fn ticket(&self, queue: usize) -> usize {
        self.shared.tickets[queue % self.shared.tickets.len()].fetch_add(1, Ordering::Relaxed)
    }

    /// The numbers below `n` of one of the queues that this thread draws, until a thread has failed.
    pub(crate) fn tickets(self, queue: usize, n: usize) -> impl Iterator<Item = usize> {
        std::iter::from_fn(move || {
            Some(self.ticket(queue)).filter(|i| *i < n && !self.has_failed())
        })
    }

    /// This thread's share of `n` things: neighbours, as many as the other threads' up to one `step`, beginning and
    /// ending at multiples of it.
    pub(crate) fn share(&self, n: usize, step: usize) -> std::ops::Range<usize> {
        let steps = n.div_ceil(step);
        let at = |i: usize| (steps * i / self.count * step).min(n);
        at(self.index)..at(self.index + 1)
    }
}
