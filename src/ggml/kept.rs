//! Graphs that are computed in two parts, with other graphs in between: what the second part needs is kept.

use std::sync::Arc;

use llama_cpp_sys_2 as sys;

use super::compute::place;
use super::custom::{self, Record};
use super::workspace::{Context, Workspace};
use crate::cancel::CancelToken;
use crate::error::{Result, bail};

/// A graph whose first part was computed.
pub(crate) struct Kept {
    id: u64,
    rest: *mut sys::ggml_cgraph,
    /// What holds `rest`, and the tensors of both parts.
    _contexts: [Context; 2],
    /// What computes nodes of both parts.
    records: Vec<Arc<Record>>,
}

// SAFETY: `rest` lies in the contexts that are held here, and is used through the workspace alone.
unsafe impl Send for Kept {}

impl Workspace {
    /// Computes the first `n_now` nodes of a graph; in a planning workspace, counts what both parts take.
    ///
    /// # Safety
    /// The graph is complete, lies with its tensors in `context`, and uses tensors of this workspace only;
    /// `records` are those of its nodes.
    pub(super) unsafe fn begin(
        &mut self,
        id: u64,
        (context, records): (Context, Vec<Arc<Record>>),
        graph: *mut sys::ggml_cgraph,
        n_now: i32,
        cancel: &CancelToken,
    ) -> Result<Kept> {
        cancel.check("computing")?;
        self.kept = None;
        // SAFETY: by the contract of this function; the allocator is owned by this object.
        unsafe {
            self.check_support(graph)?;
            if self.planning {
                self.bytes.kept = self.bytes.kept.max(self.count(graph));
            } else {
                if self.kept_allocator.is_null() {
                    self.kept_allocator = sys::ggml_gallocr_new(self.buffer_type);
                }
                self.bytes.kept = self.bytes.kept.max(place(self.kept_allocator, graph)?);
            }
            let n = sys::ggml_graph_n_nodes(graph);
            let (first, now) = part(graph, 0, n_now)?;
            let (second, rest) = part(graph, n_now, n)?;
            if !self.planning {
                self.compute(now, cancel)?;
                custom::check(&records)?;
            }
            drop(first);
            self.kept = Some(id);
            Ok(Kept { id, rest, _contexts: [second, context], records })
        }
    }

    /// Computes what was left of a graph.
    ///
    /// # Errors
    /// `Cancelled`, `OutOfMemory`, `Engine`; `Internal` when another graph took the place of what was kept.
    pub(crate) fn finish(&mut self, kept: Kept, cancel: &CancelToken) -> Result<()> {
        cancel.check("computing")?;
        if self.kept.take() != Some(kept.id) {
            bail!(Internal, "what a graph kept is no longer there")
        }
        if self.planning {
            return Ok(());
        }
        // SAFETY: the first part was computed here last, so that its tensors are in place; `kept` holds them.
        unsafe { self.compute(kept.rest, cancel) }?;
        custom::check(&kept.records)
    }
}

/// The nodes from `from` to `to` as a graph of their own. It knows nothing of how often a node is used, so that the
/// engine does not merge nodes whose values the other part may want.
///
/// # Safety
/// The graph has these nodes.
unsafe fn part(
    graph: *mut sys::ggml_cgraph,
    from: i32,
    to: i32,
) -> Result<(Context, *mut sys::ggml_cgraph)> {
    let n = usize::try_from(to - from).unwrap_or(0).max(1);
    let context = Context::new(0, n)?;
    // SAFETY: the context was made with room for the graph, and the graph for the nodes.
    unsafe {
        let part = sys::ggml_new_graph_custom(context.as_ptr(), n, false);
        for i in from..to {
            sys::ggml_graph_add_node(part, sys::ggml_graph_node(graph, i));
        }
        Ok((context, part))
    }
}
