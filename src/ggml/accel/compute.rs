//! Computing a graph: nodes that a kernel takes become nodes with a function of ours for the time of the computation, so
//! that they run in the engine's order, on its threads, with its check for a cancel.

use std::ffi::{c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};

use llama_cpp_sys_2 as sys;

use super::layout::{CustomParams, Graph};
use super::link::State;
use super::nodes::Nodes;
use super::packed::Packed;
use super::room::Room;
use super::table::{Kernel, Reading};
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
    /// Those that are computed with it, and what they are otherwise.
    others: [Option<(*mut sys::ggml_tensor, sys::ggml_op)>; MOST_OTHERS],
    kernel: Kernel,
    level: Level,
    /// Where the threads work; their number is the room's.
    room: *const Room,
    shared: Shared,
}

/// What kernels compute of a graph.
#[derive(Default)]
pub(super) struct Records {
    /// Which graph: [`Graph::uid`]; 0: none that comes again.
    uid: u64,
    all: Vec<Record>,
}

/// Nodes that are computed with another, at most: such as those of a norm, of three products with biases, of norms and
/// rotations of two, and two that put what they give into a cache.
pub(super) const MOST_OTHERS: usize = 15;

/// What the kernels of a graph need at most.
///
/// # Safety
/// The graph is valid.
pub(super) unsafe fn need(graph: *mut sys::ggml_cgraph, level: Level) -> Need {
    // SAFETY: by the contract of this function.
    let kernels = unsafe { kernels(graph, level) };
    kernels.filter_map(|(_, read)| read).fold(Need::default(), |all, (_, need)| all.max(need))
}

/// Gives nodes of the graph to our kernels, until [`give_back`]. Without memory for that: none. A graph that comes again is
/// not read again: with one token, that takes longer than some of its operations.
///
/// # Safety
/// The graph is valid and has its memory. The records, and the state, stay where they are until then.
pub(super) unsafe fn take(
    graph: *mut sys::ggml_cgraph,
    level: Level,
    state: &mut State,
    records: &mut Records,
) {
    // SAFETY: a graph begins so (`layout_tests.rs`).
    let uid = unsafe { (*graph.cast::<Graph>()).uid };
    if uid == 0 || uid != records.uid {
        records.uid = uid;
        // SAFETY: by the contract of this function.
        unsafe { read(graph, level, state, &mut records.all) };
    }
    if !state.room.provide(state.need, state.threads) {
        *records = Records::default();
    }
    for record in &mut records.all {
        record.shared = Shared::default();
        let userdata = std::ptr::from_ref(record).cast_mut().cast();
        let params = CustomParams { function: compute_node, n_tasks: -1, userdata };
        // SAFETY: the node is valid, and its parameters are longer than these, though less aligned.
        unsafe {
            (*record.node).op = sys::GGML_OP_CUSTOM;
            (&raw mut (*record.node).op_params).cast::<CustomParams>().write_unaligned(params);
            for (node, _) in record.others.into_iter().flatten() {
                (*node).op = sys::GGML_OP_NONE;
            }
        }
    }
}

/// Finds the kernels of a graph.
///
/// # Safety
/// As [`take`].
unsafe fn read(
    graph: *mut sys::ggml_cgraph,
    level: Level,
    state: &mut State,
    records: &mut Vec<Record>,
) {
    records.clear();
    let (room, mut packed) = (&raw const state.room, Packed::default());
    // SAFETY: by the contract of this function.
    for (nodes, read) in unsafe { kernels(graph, level) } {
        if let Some((mut reading, need)) = read {
            state.need = state.need.max(need);
            packed.meets(&mut reading.kernel, need, level);
            records.extend(Record::new(&nodes, reading, level, room));
        }
        // SAFETY: a node of the graph.
        unsafe {
            packed.passes(nodes.node());
            state.results.meet(nodes.node());
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
    records: &mut Records,
    status: sys::ggml_status,
) -> sys::ggml_status {
    let failed = records.all.iter().any(|record| record.shared.has_failed());
    for record in &records.all {
        // SAFETY: the node is valid: by the contract of this function.
        unsafe {
            (*record.node).op = record.op;
            (*record.node).op_params = record.op_params;
            for (node, op) in record.others.into_iter().flatten() {
                (*node).op = op;
            }
        }
    }
    if failed { sys::GGML_STATUS_FAILED } else { status }
}

impl Record {
    /// What a kernel computes of these nodes; `None`: there are fewer.
    fn new(nodes: &Nodes<'_>, reading: Reading, level: Level, room: *const Room) -> Option<Self> {
        let (node, found) = (nodes.at(reading.at)?, nodes.after(reading.at)?);
        let taken =
            (0..u32::BITS as usize).filter(|&i| reading.taken & 1 << i != 0 && i != reading.at);
        let mut others = [None; MOST_OTHERS];
        for (slot, i) in others.iter_mut().zip(taken) {
            *slot = Some((nodes.at(i)?, nodes.after(i)?.op));
        }
        let (op, op_params, shared) = (found.op, found.op_params, Shared::default());
        Some(Self { node, op, op_params, others, kernel: reading.kernel, level, room, shared })
    }
}

/// The nodes of a graph, each with the kernel that computes it and maybe some that follow, which have none then.
///
/// # Safety
/// The graph is valid as long as the iterator, and nobody changes it.
unsafe fn kernels<'a>(
    graph: *mut sys::ggml_cgraph,
    level: Level,
) -> impl Iterator<Item = (Nodes<'a>, Option<(Reading, Need)>)> {
    let (mut next, mut taken) = (0, 0u32);
    std::iter::from_fn(move || {
        // SAFETY: by the contract of this function.
        let nodes = unsafe { Nodes::of(graph, next)? };
        let is_taken = taken & 1 != 0;
        // SAFETY: nodes of a valid graph have valid sources.
        let read = if is_taken { None } else { unsafe { Kernel::of(&nodes, level) } };
        taken |= read.as_ref().map_or(0, |(reading, _)| reading.taken);
        (next, taken) = (next + 1, taken >> 1);
        Some((nodes, read))
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
