//! Our kernels as operations of a graph: each is a record that the engine's threads come back to us with.
//!
//! What a kernel is called with follows from the shapes when the graph is built; where its tensors lie, only when it is
//! computed. A record is computed once, as a graph is.

mod attention;
mod gate;
mod lora;
mod loss;
mod norm;
mod product;
mod scratch;
#[cfg(test)]
mod tests;

use std::ffi::{c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use llama_cpp_sys_2 as sys;

pub(crate) use attention::Attended;
pub(crate) use lora::{PairBack, PairTensors};
pub(crate) use loss::LossTensors;
pub(super) use scratch::Kernels;

use scratch::Area;

use super::graph::Graph;
use super::operations::is_dense;
use super::workspace::Tensor;
use crate::error::{Result, bail};
use crate::kernels::{Crew, Level, Need, Scratch, Shared};

/// Inputs that a node of the engine can have, but for one.
const MOST_INPUTS: usize = 9;

/// The engine's word for all of its threads.
const ALL_THREADS: c_int = -1;

/// What a node shall compute: a kernel, with where its tensors lie.
type Run = Box<dyn Fn(&Site, Crew<'_>, Scratch)>;

/// One node that a kernel computes.
pub(super) struct Record {
    what: &'static str,
    run: Run,
    need: Need,
    shared: Shared,
    area: Arc<Area>,
}

// SAFETY: `run` holds shapes, scales and null pointers, as the methods that make it in this folder's files say.
unsafe impl Send for Record {}
// SAFETY: as above; the rest is atomic, or not changed.
unsafe impl Sync for Record {}

/// Where the tensors of a node lie while it is computed.
pub(super) struct Site(*mut sys::ggml_tensor);

impl Site {
    /// The result.
    fn out(&self) -> *mut f32 {
        // SAFETY: the engine's node, which lives for the call.
        unsafe { (*self.0).data.cast() }
    }

    /// The input that was given as number `i`; null if there is none.
    fn input<T>(&self, i: usize) -> *mut T {
        // SAFETY: as above; the inputs are tensors of the same graph, or null.
        unsafe {
            let input = (*self.0).src.get(i).copied().unwrap_or(std::ptr::null_mut());
            input.as_ref().map_or(std::ptr::null_mut(), |t| t.data.cast())
        }
    }
}

/// Where a kernel's result goes.
#[derive(Clone, Copy)]
enum Out {
    /// A new f32 tensor of these dims.
    New([i64; 3]),
    /// The first input, which becomes the result. Nobody else may read it afterwards.
    Over,
}

/// Fails if a kernel did: what it computed is worth nothing.
///
/// # Errors
/// `Internal`.
pub(super) fn check(records: &[Arc<Record>]) -> Result<()> {
    match records.iter().find(|record| record.shared.has_failed()) {
        Some(record) => bail!(Internal, "the kernel for {} failed", record.what),
        None => Ok(()),
    }
}

impl Graph<'_> {
    /// The level whose kernels this graph may use.
    pub(crate) fn level(&self) -> Level {
        self.kernels().level
    }

    /// A node that a kernel computes from contiguous inputs, at most 9. `run` keeps no pointers but to the inputs that
    /// the site names.
    fn custom(
        &self,
        what: &'static str,
        inputs: &[Tensor],
        out: Out,
        need: Need,
        run: impl Fn(&Site, Crew<'_>, Scratch) + 'static,
    ) -> Tensor {
        let area = self.kernels().area.clone();
        let record =
            Arc::new(Record { what, run: Box::new(run), need, shared: Shared::default(), area });
        let userdata = Arc::as_ptr(&record).cast_mut().cast::<c_void>();
        self.keep(record, need);
        let fits = |t: &[&sys::ggml_tensor]| {
            let first = t.first().is_some_and(|t| is_dense(t));
            (1..=MOST_INPUTS).contains(&t.len()) && (first || matches!(out, Out::New(_)))
        };
        let mut raw: Vec<_> = inputs.iter().map(|t| t.pointer.as_ptr()).collect();
        // SAFETY: the context has room, all inputs are ours, and fewer than the engine takes; the record lives as long
        // as the graph.
        self.op(what, inputs, fits, |context| unsafe {
            match out {
                Out::New(ne) => sys::ggml_custom_4d(
                    context,
                    sys::GGML_TYPE_F32,
                    ne[0],
                    ne[1],
                    ne[2],
                    1,
                    raw.as_mut_ptr(),
                    raw.len() as c_int,
                    Some(on_node),
                    ALL_THREADS,
                    userdata,
                ),
                Out::Over => sys::ggml_custom_inplace(
                    context,
                    raw[0],
                    raw.as_mut_ptr().add(1),
                    raw.len() as c_int - 1,
                    Some(on_node),
                    ALL_THREADS,
                    userdata,
                ),
            }
        })
    }

    /// A part of a tensor that holds several results, from one of its elements on.
    fn part(&self, all: Tensor, from: usize, dims: [usize; 3]) -> Tensor {
        let n: usize = dims.iter().product();
        self.reshape(self.slice(all, 0, from as i64, n as i64), dims.map(|n| n as i64))
    }

    /// The dims of a tensor of ours with contiguous f32 elements.
    fn dense(&self, tensor: Tensor) -> Option<[usize; 3]> {
        let raw = self.raw(tensor)?;
        let flat = is_dense(raw) && raw.ne[3] == 1;
        flat.then(|| [0, 1, 2].map(|i| raw.ne[i] as usize))
    }
}

/// What the engine's threads call for a node.
///
/// # Safety
/// The engine calls it for a node that [`Graph::custom`] made, whose record lives, from all threads of the node.
unsafe extern "C" fn on_node(
    node: *mut sys::ggml_tensor,
    index: c_int,
    count: c_int,
    record: *mut c_void,
) {
    // SAFETY: by the contract of this function; the area was made large enough before the graph was computed.
    let (record, scratch) = unsafe {
        let record = &*record.cast::<Record>();
        (record, record.area.scratch(record.need, index as usize))
    };
    let crew = Crew::new(index as usize, count as usize, &record.shared);
    // No panic may cross the engine.
    let done = catch_unwind(AssertUnwindSafe(|| (record.run)(&Site(node), crew, scratch)));
    if done.is_err() {
        record.shared.fail();
    }
}
