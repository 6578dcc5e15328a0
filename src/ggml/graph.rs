//! Building a graph of tensor operations, safely: each checks what the engine would assert.
//!
//! The first operation that does not fit is remembered, later ones do nothing, and [`Graph::run`]
//! reports it: so formulas read as formulas. Dims are in the engine's order, the contiguous one first.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use llama_cpp_sys_2 as sys;

use super::custom::{self, Kernels, Record};
use super::kept::Kept;
use super::workspace::{Context, Tensor, Workspace, next_owner};
use crate::cancel::CancelToken;
use crate::error::{Error, Result, bail, err};
use crate::kernels::Need;

#[cfg(test)]
#[path = "autodiff.rs"]
mod autodiff;

/// A graph that is being built.
pub(crate) struct Graph<'w> {
    workspace: &'w mut Workspace,
    /// The owner of the tensors that operations give.
    id: u64,
    context: Context,
    graph: *mut sys::ggml_cgraph,
    /// How many more operations the context has room for.
    room: Cell<usize>,
    error: RefCell<Option<Error>>,
    /// The nodes that kernels compute, and what they work with.
    records: RefCell<Vec<Arc<Record>>>,
    need: Cell<Need>,
    /// What failed operations give.
    nothing: Tensor,
}

impl<'w> Graph<'w> {
    pub(super) fn new(
        workspace: &'w mut Workspace,
        context: Context,
        nodes: usize,
    ) -> Result<Self> {
        // SAFETY: the context was made with room for this graph, and one more tensor.
        let (graph, nothing) = unsafe {
            (
                sys::ggml_new_graph_custom(context.as_ptr(), 2 * nodes + 16, false),
                sys::ggml_new_tensor_1d(context.as_ptr(), sys::GGML_TYPE_F32, 1),
            )
        };
        let id = next_owner();
        let Some(nothing) = Tensor::new(nothing, id) else {
            bail!(OutOfMemory, "a graph cannot be described: no memory")
        };
        let (room, error) = (Cell::new(nodes), RefCell::new(None));
        let (records, need) = (RefCell::default(), Cell::default());
        Ok(Self { workspace, id, context, graph, room, error, records, need, nothing })
    }

    /// The four dims of a tensor.
    pub(crate) fn dims(&self, tensor: Tensor) -> [i64; 4] {
        self.raw(tensor).map_or([0; 4], |raw| raw.ne)
    }

    /// The description of a tensor of ours.
    pub(super) fn raw(&self, tensor: Tensor) -> Option<&sys::ggml_tensor> {
        // SAFETY: the tensor is ours, and nobody changes its description.
        if self.owns(tensor) { Some(unsafe { tensor.pointer.as_ref() }) } else { None }
    }

    /// Computes these results in this order, each with all it needs; in a planning workspace, counts what
    /// that would take. A triggered token stops it within one operation.
    ///
    /// # Errors
    /// The first operation that did not fit; `Unsupported` for one that the device cannot compute;
    /// `Cancelled`, `OutOfMemory`, `Engine`.
    pub(crate) fn run(self, results: &[Tensor], cancel: &CancelToken) -> Result<()> {
        self.expand(results)?;
        self.workspace.reserve(self.need.get())?;
        // SAFETY: the graph is complete, and its tensors, records and context live for the call.
        unsafe { self.workspace.run(self.graph, cancel) }?;
        custom::check(&self.records.borrow())
    }

    /// Computes the results `now`, and keeps what the results `later` need of it for [`Workspace::finish`].
    /// Other graphs can be run in between. The next graph in two parts makes this one void.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub(crate) fn begin(
        self,
        now: &[Tensor],
        later: &[Tensor],
        cancel: &CancelToken,
    ) -> Result<Kept> {
        self.expand(now)?;
        // SAFETY: the graph is valid.
        let n_now = unsafe { sys::ggml_graph_n_nodes(self.graph) };
        self.expand(later)?;
        let Self { workspace, id, context, graph, records, need, .. } = self;
        workspace.reserve(need.get())?;
        // SAFETY: the graph is complete; `context` and `records`, which go with it, hold its tensors and kernels.
        unsafe { workspace.begin(id, (context, records.into_inner()), graph, n_now, cancel) }
    }

    /// Adds results with all they need to the graph.
    fn expand(&self, results: &[Tensor]) -> Result<()> {
        if let Some(error) = self.error.take() {
            return Err(error);
        }
        for result in results {
            if !self.owns(*result) {
                bail!(Internal, "a graph's result is of another workspace")
            }
            // SAFETY: the graph has room for twice the operations that were made.
            unsafe { sys::ggml_build_forward_expand(self.graph, result.pointer.as_ptr()) };
        }
        Ok(())
    }

    /// One operation: `fits` says whether the engine takes these inputs, `make` calls it.
    pub(super) fn op(
        &self,
        what: &str,
        inputs: &[Tensor],
        fits: impl FnOnce(&[&sys::ggml_tensor]) -> bool,
        make: impl FnOnce(*mut sys::ggml_context) -> *mut sys::ggml_tensor,
    ) -> Tensor {
        if self.error.borrow().is_some() {
            return self.nothing;
        }
        if inputs.iter().any(|t| !self.owns(*t)) {
            return self.fail(err!(Internal, "{what} of a tensor of another workspace"));
        }
        // SAFETY: the tensors are ours, and nobody changes their description.
        let raw: Vec<_> = inputs.iter().map(|t| unsafe { t.pointer.as_ref() }).collect();
        if !fits(&raw) {
            let shapes: Vec<_> = raw.iter().map(|t| (t.ne, t.type_)).collect();
            return self.fail(err!(Internal, "{what} does not fit {shapes:?}"));
        }
        let Some(room) = self.room.get().checked_sub(1) else {
            return self.fail(err!(Internal, "a graph of more operations than it has room for"));
        };
        self.room.set(room);
        match Tensor::new(make(self.context.as_ptr()), self.id) {
            Some(tensor) => tensor,
            None => self.fail(err!(OutOfMemory, "{what} cannot be described: no memory")),
        }
    }

    /// The kernels that may be used.
    pub(super) fn kernels(&self) -> &Kernels {
        &self.workspace.kernels
    }

    /// Keeps a node's record until the graph is computed.
    pub(super) fn keep(&self, record: Arc<Record>, need: Need) {
        self.need.set(self.need.get().max(need));
        self.records.borrow_mut().push(record);
    }

    /// Whether it is a tensor of this graph, or one of the workspace that stays.
    pub(super) fn owns(&self, tensor: Tensor) -> bool {
        tensor.owner() == self.id || self.workspace.owns(tensor)
    }

    fn fail(&self, error: Error) -> Tensor {
        *self.error.borrow_mut() = Some(error);
        self.nothing
    }
}
