//! Large pages for memory that is read and written in steps of whole rows: with small ones, the processor spends a twentieth
//! of a prompt on finding out where they are.

use llama_cpp_sys_2 as sys;

/// Bytes of a large page, as most processors have it.
pub(super) const LARGE: usize = 2 << 20;

/// Asks the system for large pages where nothing has been written yet. It may refuse.
///
/// # Safety
/// The memory is the caller's.
pub(super) unsafe fn ask_for_large(base: *mut u8, bytes: usize) {
    let before = base.align_offset(LARGE);
    let whole = bytes.saturating_sub(before) / LARGE * LARGE;
    #[cfg(any(target_os = "linux", target_os = "android"))]
    if whole > 0 {
        // SAFETY: whole pages of the caller's, whose contents this does not change.
        unsafe { libc::madvise(base.wrapping_add(before).cast(), whole, libc::MADV_HUGEPAGE) };
    }
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let _ = whole;
}

/// The memory that the results of a graph share, if it was asked for large pages before.
pub(super) struct Results {
    buffer: sys::ggml_backend_buffer_t,
    bytes: usize,
}

impl Results {
    pub(super) const fn none() -> Self {
        Self { buffer: std::ptr::null_mut(), bytes: 0 }
    }

    /// Asks for large pages for the results of a graph's node.
    ///
    /// # Safety
    /// The node is valid, and what it says of its memory.
    pub(super) unsafe fn meet(&mut self, node: *const sys::ggml_tensor) {
        // SAFETY: by the contract of this function.
        unsafe {
            let buffer = (*node).buffer;
            let usage = sys::GGML_BACKEND_BUFFER_USAGE_COMPUTE;
            if buffer.is_null() || sys::ggml_backend_buffer_get_usage(buffer) != usage {
                return;
            }
            let bytes = sys::ggml_backend_buffer_get_size(buffer);
            if (buffer, bytes) != (self.buffer, self.bytes) {
                (self.buffer, self.bytes) = (buffer, bytes);
                ask_for_large(sys::ggml_backend_buffer_get_base(buffer).cast(), bytes);
            }
        }
    }
}
