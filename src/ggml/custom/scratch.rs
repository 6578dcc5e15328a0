//! The memory that kernels work with: one room for all of a workspace's operations, which follow each other.

use std::ptr::null_mut;
use std::sync::Arc;
use std::sync::atomic::{AtomicPtr, Ordering};

use crate::error::{Result, bail};
use crate::ggml::accel::Room;
use crate::kernels::{Level, Need, Scratch};

/// Where the room begins, for whoever computes.
pub(super) struct Area(AtomicPtr<u8>);

impl Area {
    /// A thread's part of what an operation needs.
    pub(super) fn scratch(&self, need: Need, thread: usize) -> Scratch {
        Room::part(self.0.load(Ordering::Acquire), need, thread)
    }
}

/// The kernels of a workspace: which may be used, and what they work with.
pub(in crate::ggml) struct Kernels {
    pub level: Level,
    need: Need,
    room: Room,
    pub(super) area: Arc<Area>,
}

impl Kernels {
    pub(in crate::ggml) fn new(level: Level) -> Self {
        let area = Arc::new(Area(AtomicPtr::new(null_mut())));
        Self { level, need: Need::default(), room: Room::empty(), area }
    }

    /// What all operations so far and these need together, in bytes.
    pub(in crate::ggml) fn count(&mut self, need: Need, threads: usize) -> u64 {
        self.need = self.need.max(need);
        Room::bytes(self.need, threads).map_or(u64::MAX, |bytes| bytes as u64)
    }

    /// Makes room for what was counted. Nobody may be computing.
    pub(in crate::ggml) fn provide(&mut self, threads: usize) -> Result<()> {
        if !self.room.provide(self.need, threads) {
            bail!(OutOfMemory, "kernels want {:?} for {threads} threads: no memory", self.need)
        }
        self.area.0.store(self.room.scratch(0).shared, Ordering::Release);
        Ok(())
    }
}
