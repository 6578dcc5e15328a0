//! Computing a graph: nodes that a kernel takes become nodes with a function of ours for the time of the computation, so
//! that they run in the engine's order, on its threads, with its check for a cancel.

use std::ffi::{c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::null_mut;

use llama_cpp_sys_2 as sys;

use super::layout::CustomParams;
use super::link::State;
use super::room::Room;
use super::table::Kernel;
use crate::ggml::shim;
use crate::kernels::{Crew, Level, Need, Shared};

#[cfg(test)]
#[path = "compute_tests.rs"]
mod tests;

/// A node that a kernel computes in this run.
pub(super) struct Record {
    node: *mut sys::ggml_tensor,
    /// What the node is otherwise.
    op: sys::ggml_op,
    op_params: [i32; 16],
    /// The node that is computed with it, or null, and what that is otherwise.
    next: *mut sys::ggml_tensor,
    next_op: sys::ggml_op,
    kernel: Kernel,
    level: Level,
    /// Where the threads work; their number is the room's.
    room: *const Room,
    shared: Shared,
}

/// What the kernels of a graph need at most.
///
/// # Safety
/// The graph is valid.
pub(super) unsafe fn need(graph: *mut sys::ggml_cgraph, level: Level) -> Need {
    // SAFETY: by the contract of this function.
    unsafe { kernels(graph, level) }.fold(Need::default(), |all, (.., need)| all.max(need))
}

/// Gives nodes of the graph to our kernels, until [`give_back`]. Without memory for that: none.
///
/// # Safety
/// The graph is valid and has its memory. The records, and the state, stay where they are until then.
pub(super) unsafe fn take(
    graph: *mut sys::ggml_cgraph,
    level: Level,
    state: &mut State,
    records: &mut Vec<Record>,
) {
    records.clear();
    let room = &raw const state.room;
    // SAFETY: by the contract of this function.
    for (node, next, kernel, need) in unsafe { kernels(graph, level) } {
        state.need = state.need.max(need);
        // SAFETY: nodes of a valid graph.
        let (op, op_params) = unsafe { ((*node).op, (*node).op_params) };
        let next = if kernel.takes_next() { next } else { null_mut() };
        // SAFETY: as above, if there is one.
        let next_op = unsafe { next.as_ref() }.map_or(sys::GGML_OP_NONE, |next| next.op);
        let shared = Shared::default();
        records.push(Record { node, op, op_params, next, next_op, kernel, level, room, shared });
    }
    if !state.room.provide(state.need, state.threads) {
        records.clear();
    }
    for record in records.iter() {
        let userdata = std::ptr::from_ref(record).cast_mut().cast();
        let params = CustomParams { function: compute_node, n_tasks: -1, userdata };
        // SAFETY: the node is valid, and its parameters are longer than these, though less aligned.
        unsafe {
            (*record.node).op = sys::GGML_OP_CUSTOM;
            (&raw mut (*record.node).op_params).cast::<CustomParams>().write_unaligned(params);
            if let Some(next) = record.next.as_mut() {
                next.op = sys::GGML_OP_NONE;
            }
        }
    }
}

/// Computes a graph with the engine's own back end. What it throws becomes a status.
///
/// # Safety
/// Both are valid.
pub(super) unsafe fn run(
    backend: sys::ggml_backend_t,
    graph: *mut sys::ggml_cgraph,
) -> sys::ggml_status {
    let mut status = sys::GGML_STATUS_FAILED;
    let ran = shim::call("computing", |why| {
        // SAFETY: by the contract of this function.
        unsafe { shim::nestling_shim_graph_compute(backend, graph, &mut status, why) }
    });
    if ran.is_ok() { status } else { sys::GGML_STATUS_FAILED }
}

/// Makes the nodes what they were. Gives the status, or that a kernel failed.
///
/// # Safety
/// As [`take`], of the same records; nothing computes any more.
pub(super) unsafe fn give_back(
    records: &mut Vec<Record>,
    status: sys::ggml_status,
) -> sys::ggml_status {
    let failed = records.iter().any(|record| record.shared.has_failed());
    for record in records.drain(..) {
        // SAFETY: the node is valid: by the contract of this function.
        unsafe {
            (*record.node).op = record.op;
            (*record.node).op_params = record.op_params;
            if let Some(next) = record.next.as_mut() {
                next.op = record.next_op;
            }
        }
    }
    if failed { sys::GGML_STATUS_FAILED } else { status }
}

/// The nodes that kernels take, each with the one that follows or null, and what the kernels need.
///
/// # Safety
/// The graph is valid as long as the iterator.
unsafe fn kernels(
    graph: *mut sys::ggml_cgraph,
    level: Level,
) -> impl Iterator<Item = (*mut sys::ggml_tensor, *mut sys::ggml_tensor, Kernel, Need)> {
    // SAFETY: by the contract of this function.
    let (nodes, count) =
        unsafe { (sys::ggml_graph_nodes(graph), sys::ggml_graph_n_nodes(graph).max(0) as usize) };
    (0..count).filter_map(move |i| {
        // SAFETY: the index is below the number of nodes, and all of them are valid.
        unsafe {
            let node = *nodes.add(i);
            let next = if i + 1 < count { *nodes.add(i + 1) } else { null_mut() };
            let kernel = Kernel::of(&*node, next.as_ref())?;
            Some((node, next, kernel, kernel.need(level)?))
        }
    })
}

/// The engine calls this on each of its threads, for a node that [`take`] took.
unsafe extern "C" fn compute_node(
    _: *mut sys::ggml_tensor,
    thread: c_int,
    threads: c_int,
    userdata: *mut c_void,
) {
    // SAFETY: the record and its room stay where they are while the graph is computed.
    let (record, room) = unsafe {
        let record = &*userdata.cast_const().cast::<Record>();
        (record, &*record.room)
    };
    // Threads beyond those that there is memory for do nothing; all others agree on how many they are.
    let (thread, count) = (thread as usize, (threads as usize).min(room.threads()));
    if thread >= count {
        return;
    }
    let crew = Crew::new(thread, count, &record.shared);
    // SAFETY: `need` was `Some` for this level, the room has as much, and the tensors of a graph that is being computed
    // have their memory.
    let run = || unsafe { record.kernel.run(record.level, crew, room.scratch(thread)) };
    if catch_unwind(AssertUnwindSafe(run)).is_err() {
        record.shared.fail();
    }
}
