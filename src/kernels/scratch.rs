//! Working memory for kernels: they say how much, whoever runs them provides it.

/// Bytes that an operation works with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Need {
    /// For all threads together.
    pub shared: usize,
    /// For each thread.
    pub own: usize,
}

impl Need {
    /// What serves either of two.
    pub(crate) fn max(self, other: Self) -> Self {
        Self { shared: self.shared.max(other.shared), own: self.own.max(other.own) }
    }
}

/// One thread's view of it. Both begin at multiples of 64 bytes, hold what [`Need`] says, and anything at first.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scratch {
    /// The same for all threads.
    pub shared: *mut u8,
    /// This thread's alone.
    pub own: *mut u8,
}
