//! Running a workspace's graphs, and reading and writing its tensors.

use std::sync::atomic::Ordering;

use llama_cpp_sys_2 as sys;

use super::running::Running;
use super::workspace::{Tensor, Workspace, WorkspaceBytes};
use crate::cancel::CancelToken;
use crate::error::{Result, bail};
use crate::kernels::Need;

impl Workspace {
    /// What all of it takes so far.
    pub(crate) fn bytes(&self) -> WorkspaceBytes {
        self.bytes
    }

    /// Makes room for what kernels work with, or counts it.
    pub(super) fn reserve(&mut self, need: Need) -> Result<()> {
        let threads = usize::try_from(self.n_threads).unwrap_or(1).max(1);
        self.bytes.kernels = self.kernels.count(need, threads);
        if self.planning { Ok(()) } else { self.kernels.provide(threads) }
    }

    /// Computes a graph, or counts what it would take.
    ///
    /// # Safety
    /// The graph is complete; its nodes and their context live for the call and use tensors of this
    /// workspace only.
    pub(super) unsafe fn run(
        &mut self,
        graph: *mut sys::ggml_cgraph,
        cancel: &CancelToken,
    ) -> Result<()> {
        cancel.check("computing")?;
        // SAFETY: by the contract of this function.
        unsafe {
            self.check_support(graph)?;
            if self.planning {
                let size = self.count(graph);
                self.bytes.compute = self.bytes.compute.max(size);
                return Ok(());
            }
            self.bytes.compute = self.bytes.compute.max(place(self.allocator, graph)?);
            self.compute(graph, cancel)
        }
    }

    /// Computes the nodes of a graph whose tensors have their places.
    ///
    /// # Safety
    /// As [`run`](Self::run); every tensor has memory.
    pub(super) unsafe fn compute(
        &mut self,
        graph: *mut sys::ggml_cgraph,
        cancel: &CancelToken,
    ) -> Result<()> {
        let _running = Running::new(&self.cancel, cancel);
        // SAFETY: by the contract of this function.
        match unsafe { sys::ggml_backend_graph_compute(self.backend, graph) } {
            sys::GGML_STATUS_SUCCESS => Ok(()),
            sys::GGML_STATUS_ABORTED => bail!(Cancelled, "the computation was cancelled"),
            sys::GGML_STATUS_ALLOC_FAILED => bail!(OutOfMemory, "computing ran out of memory"),
            other => bail!(Engine, "the engine failed while computing (status {other})"),
        }
    }

    /// # Safety
    /// As [`run`](Self::run).
    pub(super) unsafe fn check_support(&self, graph: *mut sys::ggml_cgraph) -> Result<()> {
        // SAFETY: by the contract of this function.
        unsafe {
            for i in 0..sys::ggml_graph_n_nodes(graph) {
                let node = sys::ggml_graph_node(graph, i);
                if !sys::ggml_backend_dev_supports_op(self.device.0, node) {
                    let operation = super::device::text(sys::ggml_op_desc(node));
                    bail!(Unsupported, "{} cannot compute {operation}", self.device.name())
                }
            }
        }
        Ok(())
    }

    /// The bytes that a graph's intermediate results take.
    ///
    /// # Safety
    /// As [`run`](Self::run).
    pub(super) unsafe fn count(&mut self, graph: *mut sys::ggml_cgraph) -> u64 {
        let none = std::ptr::null();
        let mut size = 0usize;
        // SAFETY: by the contract of this function; the counter allocates nothing.
        unsafe {
            let plan = sys::ggml_graph_plan(graph, self.n_threads, self.pool);
            self.bytes.scratch = self.bytes.scratch.max(plan.work_size as u64);
            let counter = sys::ggml_gallocr_new(self.buffer_type);
            sys::ggml_gallocr_reserve_n_size(counter, graph, none, none, &mut size);
            sys::ggml_gallocr_free(counter);
        }
        size as u64
    }

    /// The first `values.len()` elements of an f32 tensor that stays.
    pub(crate) fn read(&mut self, tensor: Tensor, values: &mut [f32]) -> Result<()> {
        let bytes = self.check(tensor, Some(sys::GGML_TYPE_F32), size_of_val(values))?;
        // SAFETY: the tensor is ours, f32, contiguous and at least as long.
        unsafe {
            let to = values.as_mut_ptr().cast();
            sys::ggml_backend_tensor_get(tensor.pointer.as_ptr(), to, 0, bytes);
        }
        Ok(())
    }

    /// The first `values.len()` elements of an i32 tensor that stays.
    pub(crate) fn read_i32(&mut self, tensor: Tensor, values: &mut [i32]) -> Result<()> {
        let bytes = self.check(tensor, Some(sys::GGML_TYPE_I32), size_of_val(values))?;
        // SAFETY: as in `read`.
        unsafe {
            let to = values.as_mut_ptr().cast();
            sys::ggml_backend_tensor_get(tensor.pointer.as_ptr(), to, 0, bytes);
        }
        Ok(())
    }

    /// Overwrites the first elements of an f32 tensor that stays.
    pub(crate) fn write(&mut self, tensor: Tensor, values: &[f32]) -> Result<()> {
        let bytes = self.check(tensor, Some(sys::GGML_TYPE_F32), size_of_val(values))?;
        // SAFETY: as in `read`.
        unsafe {
            let from = values.as_ptr().cast();
            sys::ggml_backend_tensor_set(tensor.pointer.as_ptr(), from, 0, bytes);
        }
        Ok(())
    }

    /// Overwrites the first elements of an i32 tensor that stays.
    pub(crate) fn write_i32(&mut self, tensor: Tensor, values: &[i32]) -> Result<()> {
        let bytes = self.check(tensor, Some(sys::GGML_TYPE_I32), size_of_val(values))?;
        // SAFETY: as in `read`.
        unsafe {
            let from = values.as_ptr().cast();
            sys::ggml_backend_tensor_set(tensor.pointer.as_ptr(), from, 0, bytes);
        }
        Ok(())
    }

    /// Overwrites a tensor of any type with its bytes as a file holds them.
    pub(crate) fn write_bytes(&mut self, tensor: Tensor, bytes: &[u8]) -> Result<()> {
        let length = self.check(tensor, None, bytes.len())?;
        // SAFETY: as in `read`.
        unsafe {
            let from = bytes.as_ptr().cast();
            sys::ggml_backend_tensor_set(tensor.pointer.as_ptr(), from, 0, length);
        }
        Ok(())
    }

    /// Whether `bytes` of a tensor can be read or written as this type, or as its own; gives them back.
    fn check(
        &self,
        tensor: Tensor,
        ggml_type: Option<sys::ggml_type>,
        bytes: usize,
    ) -> Result<usize> {
        if self.planning {
            bail!(WrongState, "this workspace only plans")
        }
        if !self.owns(tensor) {
            bail!(Internal, "a tensor of another workspace")
        }
        // SAFETY: the tensor is ours.
        unsafe {
            let raw = tensor.pointer.as_ref();
            let fits = ggml_type.is_none_or(|t| raw.type_ == t) && bytes <= sys::ggml_nbytes(raw);
            if !fits || raw.buffer.is_null() || !sys::ggml_is_contiguous(raw) {
                bail!(Internal, "{bytes} bytes are not part of a tensor of {:?}", raw.ne)
            }
        }
        Ok(bytes)
    }

    /// Uses a pool of threads that sleeps between calls.
    pub(crate) fn start_threads(&mut self) -> Result<()> {
        if !self.pool.is_null() || self.planning {
            return Ok(());
        }
        // SAFETY: the pool is owned by this object and freed after the back end.
        unsafe {
            let mut params = sys::ggml_threadpool_params_default(self.n_threads);
            self.pool = sys::ggml_threadpool_new(&mut params);
            if self.pool.is_null() {
                bail!(OutOfMemory, "{} threads could not be started; use fewer", self.n_threads)
            }
            sys::ggml_backend_cpu_set_threadpool(self.backend, self.pool);
        }
        Ok(())
    }
}

/// Gives a graph's tensors their places in an allocator's buffer, and says how large it is.
///
/// # Safety
/// The allocator is valid; the graph is complete, and its tensors live for the call.
pub(super) unsafe fn place(
    allocator: sys::ggml_gallocr_t,
    graph: *mut sys::ggml_cgraph,
) -> Result<u64> {
    // SAFETY: by the contract of this function.
    unsafe {
        if !sys::ggml_gallocr_alloc_graph(allocator, graph) {
            bail!(OutOfMemory, "the intermediate results of a layer do not fit in memory")
        }
        Ok(sys::ggml_gallocr_get_buffer_size(allocator, 0) as u64)
    }
}

impl Drop for Workspace {
    fn drop(&mut self) {
        self.cancel.store(std::ptr::null_mut(), Ordering::Release);
        // SAFETY: all owned by this object; the pool goes after the back end that runs on it.
        unsafe {
            sys::ggml_gallocr_free(self.allocator);
            if !self.kept_allocator.is_null() {
                sys::ggml_gallocr_free(self.kept_allocator);
            }
            for set in &self.sets {
                sys::ggml_backend_buffer_free(set.buffer);
                sys::ggml_free(set.context.as_ptr());
            }
            sys::ggml_backend_free(self.backend);
            if !self.pool.is_null() {
                sys::ggml_threadpool_free(self.pool);
            }
        }
    }
}
