//! The steps between products and attention: norms of heads, their rotation, and the rows of a cache that keys and values
//! become.

use llama_cpp_sys_2 as sys;

use super::nodes::Nodes;
use super::rows::{norm, rope};
use super::table::{Kernel, Reading, on_host_or_unplaced};
use crate::kernels::WeightType;
use crate::kernels::rows::{Chain, SetRows};

/// Elements of the parts that rows are divided into if these are put into a cache and nothing else.
const PART: usize = 64;

/// A step as a chain of its own.
pub(super) struct Step {
    pub chain: Chain,
    pub tokens: usize,
    /// How many nodes it is.
    pub nodes: usize,
}

impl Step {
    /// The step that a node is, maybe with the one that follows.
    ///
    /// # Safety
    /// As [`Kernel::of`].
    pub(super) unsafe fn of(nodes: &Nodes<'_>) -> Option<Self> {
        let node = nodes.node();
        let [_, heads, tokens, sheets] = node.ne.map(|n| n as usize);
        let none = Chain { heads, norm: None, rope: None, set: None };
        // SAFETY: by the contract of this function.
        let (chain, tokens, nodes) = unsafe {
            match node.op {
                sys::GGML_OP_RMS_NORM => {
                    let Reading { kernel: Kernel::Norm(norm), at, .. } = norm(nodes)? else {
                        return None;
                    };
                    (Chain { norm: Some(norm), ..none }, tokens, at + 1)
                }
                sys::GGML_OP_ROPE => {
                    let Reading { kernel: Kernel::Rope(rope), .. } = rope(nodes)? else {
                        return None;
                    };
                    (Chain { rope: Some(rope), ..none }, tokens, 1)
                }
                sys::GGML_OP_SET_ROWS => {
                    let (set, rows) = set_rows(node)?;
                    let parts = set.width / PART;
                    let heads = if set.width.is_multiple_of(PART) { parts } else { 1 };
                    (Chain { heads, set: Some(set), ..none }, rows, 1)
                }
                _ => return None,
            }
        };
        (sheets == 1).then_some(Self { chain, tokens, nodes })
    }

    /// A chain with this as one more step; `None` if it does not fit.
    pub(super) fn after(&self, chain: &Chain) -> Option<Chain> {
        let heads = chain.heads;
        match (chain, &self.chain) {
            (
                Chain { norm: Some(norm), rope: None, set: None, .. },
                Chain { rope: Some(rope), .. },
            ) => {
                let are_these = (rope.heads, rope.width) == (heads, norm.width);
                let head = norm.y_stride;
                let are_there = (rope.x_head, rope.x_token) == (head, head * heads);
                (are_these && are_there).then_some(Chain { rope: Some(*rope), ..*chain })
            }
            (Chain { norm, rope, set: None, .. }, Chain { set: Some(set), .. }) => {
                // A row is the heads of a token, wherever a step leaves them.
                let norms = norm.map(|norm| [norm.x_stride, norm.y_stride]);
                let ropes = rope.map(|rope| [rope.x_head, rope.y_head]);
                let mut all = norms.into_iter().chain(ropes).flatten();
                let is_row = all.all(|head| head * heads == set.width);
                is_row.then_some(Chain { set: Some(*set), ..*chain })
            }
            _ => None,
        }
    }
}

/// Rows that are put into a cache, and how many.
///
/// # Safety
/// As [`Kernel::of`].
unsafe fn set_rows(node: &sys::ggml_tensor) -> Option<(SetRows, usize)> {
    // SAFETY: by the contract of this function; such a node has both sources.
    let (x, numbers) = unsafe { (node.src[0].as_ref()?, node.src[1].as_ref()?) };
    let kind = WeightType::from_id(node.type_).filter(|kind| SetRows::makes(*kind))?;
    let ([width, rows, 1, 1], [_, table_rows, 1, 1]) = (x.ne, node.ne) else { return None };
    let float = size_of::<f32>();
    let are_floats =
        x.type_ == sys::GGML_TYPE_F32 && x.nb[0] == float && x.nb[1].is_multiple_of(float);
    let are_numbers = numbers.type_ == sys::GGML_TYPE_I64 && numbers.nb[0] == size_of::<i64>();
    // SAFETY: by the contract of this function.
    let is_reachable = unsafe { on_host_or_unplaced(node) && on_host_or_unplaced(numbers) };
    let set = SetRows {
        width: width as usize,
        x: x.data.cast_const().cast(),
        x_stride: x.nb[1] / float,
        numbers: numbers.data.cast_const().cast(),
        kind,
        table: node.data.cast(),
        table_stride: node.nb[1],
        table_rows: table_rows as usize,
    };
    (are_floats && are_numbers && is_reachable).then_some((set, rows as usize))
}
