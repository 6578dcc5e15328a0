//! The nodes of a graph as kernels look at them: one, those that follow, and who reads what they give.

use std::ops::Range;

use llama_cpp_sys_2 as sys;

use super::layout::{Graph, HashSet};

/// Where a tensor lies.
///
/// # Safety
/// The tensor is valid.
pub(super) unsafe fn memory(tensor: &sys::ggml_tensor) -> Range<usize> {
    let start = tensor.data.addr();
    // SAFETY: by the contract of this function.
    start..start + unsafe { sys::ggml_nbytes(tensor) }
}

/// Whether a node is computed in this run.
pub(super) fn is_computed(node: &sys::ggml_tensor) -> bool {
    node.flags & sys::GGML_TENSOR_FLAG_COMPUTE as i32 != 0
}

/// Whether nothing is computed for a node: it is another one's memory.
pub(super) fn is_view(node: &sys::ggml_tensor) -> bool {
    matches!(
        node.op,
        sys::GGML_OP_NONE
            | sys::GGML_OP_VIEW
            | sys::GGML_OP_RESHAPE
            | sys::GGML_OP_PERMUTE
            | sys::GGML_OP_TRANSPOSE
    )
}

/// Nodes of a valid graph from one on, of which there is at least that one.
#[derive(Clone, Copy)]
pub(super) struct Nodes<'a> {
    graph: &'a Graph,
    first: usize,
}

impl<'a> Nodes<'a> {
    /// Those from number `first` on, if there is one.
    ///
    /// # Safety
    /// The graph is valid, and stays so; nobody changes its nodes meanwhile.
    pub(super) unsafe fn of(graph: *mut sys::ggml_cgraph, first: usize) -> Option<Self> {
        // SAFETY: a graph begins so (`layout_tests.rs`).
        let graph = unsafe { &*graph.cast::<Graph>() };
        (first < graph.n_nodes.max(0) as usize).then_some(Self { graph, first })
    }

    /// The same from the `i`th on.
    pub(super) fn from(&self, i: usize) -> Option<Self> {
        (i < self.count()).then_some(Self { first: self.first + i, ..*self })
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.graph.n_nodes as usize - self.first
    }

    /// The `i`th of them.
    pub(super) fn at(&self, i: usize) -> Option<*mut sys::ggml_tensor> {
        // SAFETY: the index is below the number of nodes (type invariant).
        (i < self.count()).then(|| unsafe { *self.graph.nodes.add(self.first + i) })
    }

    /// The first.
    pub(super) fn node(&self) -> &'a sys::ggml_tensor {
        // SAFETY: there is one, and it is valid (type invariant).
        unsafe { &**self.graph.nodes.add(self.first) }
    }

    /// The `i`th of them.
    pub(super) fn after(&self, i: usize) -> Option<&'a sys::ggml_tensor> {
        // SAFETY: nodes of a valid graph are valid (type invariant).
        self.at(i).map(|node| unsafe { &*node })
    }

    /// How many nodes of the whole graph read the result of the `i`th; `None`: others may read it, too.
    pub(super) fn reads(&self, i: usize) -> Option<usize> {
        self.uses(i).filter(|_| self.after(i).is_some_and(|node| node.view_src.is_null()))
    }

    /// As [`reads`](Self::reads), also of a view, whose memory others may read as well.
    pub(super) fn uses(&self, i: usize) -> Option<usize> {
        self.uses_of(self.after(i)?)
    }

    /// The same of any node of the graph.
    pub(super) fn uses_of(&self, node: &sys::ggml_tensor) -> Option<usize> {
        if node.flags & sys::GGML_TENSOR_FLAG_OUTPUT as i32 != 0 {
            return None;
        }
        let place = self.graph.visited.place(node)?;
        // SAFETY: there is a count for each place.
        usize::try_from(unsafe { *self.graph.use_counts.add(place) }).ok()
    }
}

impl HashSet {
    /// Where a tensor is, if it is in the set.
    fn place(&self, tensor: *const sys::ggml_tensor) -> Option<usize> {
        // The engine's function of an address, whose last bits are 0.
        let first = tensor.addr() >> 4;
        let mut places = (0..self.size).map(|i| (first + i) % self.size);
        // SAFETY: the places are inside the set.
        let is_used = |i: usize| unsafe { *self.used.add(i / 32) & 1 << (i % 32) != 0 };
        // SAFETY: as above.
        places
            .find(|&i| !is_used(i) || unsafe { *self.keys.add(i) == tensor })
            .filter(|&i| is_used(i))
    }
}

#[cfg(test)]
mod tests {
    use std::ptr::null_mut;

    use super::*;

    #[test]
    fn readers_are_counted() {
        let params =
            sys::ggml_init_params { mem_size: 1 << 20, mem_buffer: null_mut(), no_alloc: true };
        // SAFETY: the engine makes the tensors and the graph, which are not computed, in a context that outlives them.
        unsafe {
            let context = sys::ggml_init(params);
            let leaf = sys::ggml_new_tensor_1d(context, sys::GGML_TYPE_F32, 4);
            let once = sys::ggml_sqr(context, leaf);
            let twice = sys::ggml_sqrt(context, once);
            let output = sys::ggml_neg(context, twice);
            sys::ggml_set_output(output);
            let viewed = sys::ggml_sqr(context, output);
            let view = sys::ggml_view_1d(context, viewed, 2, 0);
            let short = sys::ggml_view_1d(context, twice, 2, 0);
            let last = sys::ggml_add(context, view, short);
            let graph = sys::ggml_new_graph(context);
            sys::ggml_build_forward_expand(graph, last);
            let count = sys::ggml_graph_n_nodes(graph) as usize;
            let of = |tensor: *mut sys::ggml_tensor| {
                let found = (0..count).map(|i| Nodes::of(graph, i).unwrap());
                found.into_iter().find(|nodes| nodes.at(0) == Some(tensor)).unwrap()
            };
            assert!(Nodes::of(graph, count).is_none());
            assert_eq!(of(last).count(), 1);
            assert!(of(last).after(1).is_none() && of(last).reads(1) != Some(1));
            assert!(of(once).reads(0) == Some(1));
            assert_eq!(of(twice).reads(0), Some(2));
            assert!(of(output).reads(0) != Some(1), "and by who has the graph");
            assert!(of(viewed).reads(0) == Some(1));
            assert!(of(view).reads(0) != Some(1), "its memory is another's");
            assert_eq!(of(last).reads(0), Some(0));
            // A part of a graph has the counts of the whole.
            let mut part = Graph {
                n_nodes: 1,
                nodes: (*graph.cast::<Graph>()).nodes,
                ..std::ptr::read(graph.cast())
            };
            let part = Nodes::of((&raw mut part).cast(), 0).unwrap();
            assert!(part.at(0) == Some(once) && part.reads(0) == Some(1) && part.count() == 1);
            sys::ggml_free(context);
        }
    }
}
