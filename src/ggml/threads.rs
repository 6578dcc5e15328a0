//! The threads that a context computes with.

use llama_cpp_sys_2 as sys;

use crate::error::{Result, bail};

/// One pool for each number of threads that was asked for. All stay until the context is gone: the engine still looks at
/// the last one when it is given another.
#[derive(Default)]
pub(super) struct Threads(Vec<(i32, *mut sys::ggml_threadpool)>);

impl Threads {
    /// A pool of `n` threads, that sleep between calls.
    pub(super) fn pool(&mut self, n: i32) -> Result<*mut sys::ggml_threadpool> {
        if let Some((_, pool)) = self.0.iter().find(|(threads, _)| *threads == n) {
            return Ok(*pool);
        }
        // SAFETY: fills a plain struct, from which a pool is made that this object owns.
        let pool = unsafe {
            let mut params = sys::ggml_threadpool_params_default(n);
            sys::ggml_threadpool_new(&mut params)
        };
        if pool.is_null() {
            bail!(OutOfMemory, "{n} threads could not be started; use a smaller n_threads")
        }
        self.0.push((n, pool));
        Ok(pool)
    }

    /// Ends all threads.
    ///
    /// # Safety
    /// Whoever was given a pool is gone.
    pub(super) unsafe fn free(&mut self) {
        for (_, pool) in self.0.drain(..) {
            // SAFETY: owned by this object, and not used any more by the contract of this function.
            unsafe { sys::ggml_threadpool_free(pool) };
        }
    }
}
