//! A sequence's KV state as bytes.

use super::context::RawContext;
use super::shim;
use crate::error::{Result, bail};

impl RawContext {
    /// The sequence's state: cells and their keys and values.
    pub(crate) fn state(&mut self) -> Result<Vec<u8>> {
        let mut size = 0;
        shim::call("measuring the session's state", |why| {
            // SAFETY: the context is valid, sequence 0 always exists.
            unsafe { shim::nestling_shim_state_size(self.as_ptr(), 0, &mut size, why) }
        })?;
        let mut bytes = vec![0u8; size];
        let mut written = 0;
        shim::call("copying the session's state", |why| {
            // SAFETY: as above; `bytes` has the size that the engine asked for.
            unsafe {
                shim::nestling_shim_state_get(
                    self.as_ptr(),
                    0,
                    bytes.as_mut_ptr(),
                    size,
                    &mut written,
                    why,
                )
            }
        })?;
        if written == 0 || written > size {
            bail!(Engine, "the engine could not copy the session's state; its log has the reason")
        }
        bytes.truncate(written);
        Ok(bytes)
    }

    /// Replaces the sequence by a state that [`state`](Self::state) gave for the same model and cache
    /// types. On error the sequence is empty.
    pub(crate) fn set_state(&mut self, bytes: &[u8]) -> Result<()> {
        self.clear(false);
        let mut read = 0;
        let set = shim::call("restoring the session's state", |why| {
            // SAFETY: the context is valid, `bytes` is live; the engine bounds-checks what it reads.
            unsafe {
                shim::nestling_shim_state_set(
                    self.as_ptr(),
                    0,
                    bytes.as_ptr(),
                    bytes.len(),
                    &mut read,
                    why,
                )
            }
        });
        if set.is_err() || read != bytes.len() {
            self.clear(false);
        }
        set?;
        if read != bytes.len() {
            bail!(
                StateDamaged,
                "the engine did not accept the session's state; evaluate the text again"
            )
        }
        Ok(())
    }
}
