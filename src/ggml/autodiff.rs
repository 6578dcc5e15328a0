//! The engine's own differentiation of a whole graph, as an oracle for tests.
//!
//! It ends the process at an operation whose way back it does not have (NORM, GELU, TANH and every GLU but a split
//! SwiGLU among them), so operations are looked at first.

use std::ptr::null_mut;

use llama_cpp_sys_2 as sys;

use super::Graph;
use crate::cancel::CancelToken;
use crate::error::{Result, bail};
use crate::ggml::Tensor;

/// Room for a graph with its way back.
const NODES: usize = 8192;

/// What the graphs of the tests are made of, all of it with a way back.
const OPERATIONS: [sys::ggml_op; 14] = [
    sys::GGML_OP_NONE,
    sys::GGML_OP_ADD,
    sys::GGML_OP_MUL,
    sys::GGML_OP_SCALE,
    sys::GGML_OP_CONT,
    sys::GGML_OP_RESHAPE,
    sys::GGML_OP_PERMUTE,
    sys::GGML_OP_TRANSPOSE,
    sys::GGML_OP_GET_ROWS,
    sys::GGML_OP_MUL_MAT,
    sys::GGML_OP_RMS_NORM,
    sys::GGML_OP_ROPE,
    sys::GGML_OP_SOFT_MAX,
    sys::GGML_OP_CROSS_ENTROPY_LOSS,
];

impl Graph<'_> {
    /// The mean over rows of `-sum(labels * ln softmax(logits))`, one element.
    pub(crate) fn cross_entropy(&self, logits: Tensor, labels: Tensor) -> Tensor {
        let fits = |t: &[&sys::ggml_tensor]| {
            // SAFETY: live tensors.
            let dense = t.iter().all(|t| unsafe { sys::ggml_is_contiguous(*t) });
            dense && t[0].ne == t[1].ne && t.iter().all(|t| t.type_ == sys::GGML_TYPE_F32)
        };
        // SAFETY: the context has room, both are ours, f32 and of one shape.
        self.op("cross_entropy", &[logits, labels], fits, |c| unsafe {
            sys::ggml_cross_entropy_loss(c, logits.pointer.as_ptr(), labels.pointer.as_ptr())
        })
    }

    /// Computes `loss` of one element into `value`, and its gradients: for each parameter, a tensor that stays, into
    /// the tensor beside it. `one` holds the gradient of the loss itself, 1.
    pub(crate) fn autodiff(
        self,
        loss: (Tensor, Tensor),
        one: Tensor,
        parameters: &[(Tensor, Tensor)],
    ) -> Result<()> {
        if let Some(error) = self.error.take() {
            return Err(error);
        }
        let (loss, value) = loss;
        let all = parameters.iter().flat_map(|(p, g)| [*p, *g]).chain([value, one]);
        if !self.owns(loss) || !all.into_iter().all(|t| self.workspace.owns(t)) {
            bail!(Internal, "a tensor of another workspace")
        }
        // SAFETY: plain arithmetic in the engine; the context describes tensors and holds no data.
        let context = unsafe {
            sys::ggml_init(sys::ggml_init_params {
                mem_size: NODES * sys::ggml_tensor_overhead()
                    + sys::ggml_graph_overhead_custom(NODES, true),
                mem_buffer: null_mut(),
                no_alloc: true,
            })
        };
        if context.is_null() {
            bail!(OutOfMemory, "a graph cannot be described: no memory")
        }
        // SAFETY: the context has room for a graph of NODES nodes and as many tensors, which is more than the tests'
        // graphs have; all tensors are live and ours; every operation has a way back; the parameters are no results
        // of operations, and the loss is one f32. Tensors and contexts live for the call of `run`.
        let done = unsafe {
            let graph = sys::ggml_new_graph_custom(context, NODES, true);
            for (parameter, _) in parameters {
                sys::ggml_set_param(parameter.pointer.as_ptr());
            }
            sys::ggml_set_loss(loss.pointer.as_ptr());
            sys::ggml_build_forward_expand(graph, loss.pointer.as_ptr());
            backward(context, graph, loss, one).and_then(|()| {
                let copy = |from: *mut sys::ggml_tensor, to: Tensor| {
                    let node = sys::ggml_cpy(context, from, to.pointer.as_ptr());
                    sys::ggml_build_forward_expand(graph, node);
                };
                copy(loss.pointer.as_ptr(), value);
                for (parameter, to) in parameters {
                    let gradient = sys::ggml_graph_get_grad(graph, parameter.pointer.as_ptr());
                    if gradient.is_null() {
                        bail!(Internal, "the loss does not depend on a parameter")
                    }
                    copy(gradient, *to);
                }
                self.workspace.run(graph, &CancelToken::new())
            })
        };
        // SAFETY: made above; nothing points into it any more.
        unsafe { sys::ggml_free(context) };
        done
    }
}

/// Adds the way back from the loss, whose gradient is `one`.
///
/// # Safety
/// The graph holds the loss and what it needs, and has room; its tensors are live.
unsafe fn backward(
    context: *mut sys::ggml_context,
    graph: *mut sys::ggml_cgraph,
    loss: Tensor,
    one: Tensor,
) -> Result<()> {
    // SAFETY: by the contract of this function; the list of accumulators is as long as the graph has nodes.
    unsafe {
        let n = sys::ggml_graph_n_nodes(graph);
        let nodes: Vec<_> = (0..n).map(|i| sys::ggml_graph_node(graph, i)).collect();
        for &node in &nodes {
            let unary = (*node).op == sys::GGML_OP_UNARY
                && sys::ggml_get_unary_op(node) == sys::GGML_UNARY_OP_SILU;
            if !unary && !OPERATIONS.contains(&(*node).op) {
                let name = std::ffi::CStr::from_ptr(sys::ggml_op_desc(node)).to_string_lossy();
                bail!(Unsupported, "{name} has no way back here")
            }
        }
        // Its own accumulator would be an intermediate result that nobody sets.
        let is_loss = |node: &*mut sys::ggml_tensor| *node == loss.pointer.as_ptr();
        let accumulator = |node| if is_loss(node) { one.pointer.as_ptr() } else { null_mut() };
        let mut accumulators: Vec<_> = nodes.iter().map(accumulator).collect();
        sys::ggml_build_backward_expand(context, graph, accumulators.as_mut_ptr());
    }
    Ok(())
}
