//! A back end that is the engine's own for the CPU in all but one thing: it computes some nodes with our kernels.
//!
//! It is a byte copy of a genuine one, with the same identity, device and state, so that everything the engine asks or
//! sets (threads, the check for a cancel, which operations can be fused) has the answer of the CPU. Only the function
//! that computes a graph differs, and the one that frees.

use std::ffi::c_void;
use std::sync::Arc;

use llama_cpp_sys_2 as sys;

use super::compute::{self, Records};
use super::layout::Backend;
use super::link::Link;

/// The copy, and what it is a copy of.
#[repr(C)]
pub(super) struct Twin {
    /// The first field: the engine's pointer to a back end points here.
    backend: Backend,
    inner: sys::ggml_backend_t,
    link: Arc<Link>,
    /// The nodes of the last graph that kernels compute.
    records: Records,
}

impl Twin {
    /// A copy of a genuine back end, which it owns; the engine frees it.
    pub(super) fn of(inner: sys::ggml_backend_t, link: Arc<Link>) -> *mut Backend {
        // SAFETY: the caller gives a valid back end, which is laid out so (`layout_tests.rs`).
        let mut backend = unsafe { *inner.cast::<Backend>() };
        backend.iface.free = Some(free);
        backend.iface.graph_compute = Some(graph_compute);
        backend.iface.graph_optimize = Some(graph_optimize);
        Box::into_raw(Box::new(Self { backend, inner, link, records: Records::default() })).cast()
    }
}

unsafe extern "C" fn free(backend: *mut Backend) {
    // SAFETY: the engine frees each back end once, and this function is that of twins alone.
    unsafe {
        let twin = Box::from_raw(backend.cast::<Twin>());
        sys::ggml_backend_free(twin.inner);
    }
}

/// The engine shows each new graph before it is computed, and the largest ones when a context is made: note what they
/// will need.
unsafe extern "C" fn graph_optimize(
    backend: *mut Backend,
    graph: *mut sys::ggml_cgraph,
    _: *mut c_void,
) {
    // SAFETY: this function is that of twins alone; the engine uses a back end from one thread at a time, and gives a
    // valid graph.
    unsafe {
        let link = &(*backend.cast::<Twin>()).link;
        let need = compute::need(graph, link.level);
        let mut state = link.state();
        state.need = state.need.max(need);
    }
}

unsafe extern "C" fn graph_compute(
    backend: *mut Backend,
    graph: *mut sys::ggml_cgraph,
) -> sys::ggml_status {
    // SAFETY: as in `graph_optimize`.
    unsafe {
        let twin = &mut *backend.cast::<Twin>();
        let mut state = twin.link.state();
        // A context gives its threads to the back end that it knows, which is not this one.
        sys::ggml_backend_cpu_set_threadpool(twin.inner, state.pool);
        compute::take(graph, twin.link.level, &mut state, &mut twin.records);
        let status = compute::run(twin.inner, graph);
        compute::give_back(&mut twin.records, status)
    }
}
