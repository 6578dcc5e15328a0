//! How the end of a mixture of experts is read: each expert's result times its weight, and the sum of those of a token.

use llama_cpp_sys_2 as sys;

use super::compute::MOST_OTHERS;
use super::nodes::{Nodes, is_computed, memory};
use super::rows::{floats, strides};
use super::table::{Kernel, Reading, on_host_or_unplaced};
use crate::kernels::is_apart;
use crate::kernels::rows::WeightedSum;

/// A product of vectors with a number for each, views of those that each token has, and the sums of these.
///
/// # Safety
/// As [`Kernel::of`].
pub(super) unsafe fn weighted(nodes: &Nodes<'_>) -> Option<Reading> {
    let product = nodes.node();
    // SAFETY: by the contract of this function; a product has two sources.
    let (x, weights) = unsafe { (product.src[0].as_ref()?, product.src[1].as_ref()?) };
    let [width, terms, tokens, 1] = product.ne else { return None };
    let are_one_each = weights.ne == [1, terms, tokens, 1];
    let (terms, tokens) = (usize::try_from(terms).ok()?, tokens as usize);
    let is_known = (2..=MOST_OTHERS + 1).contains(&terms);
    // SAFETY: as above.
    let are_reachable = unsafe { on_host_or_unplaced(x) && on_host_or_unplaced(weights) };
    if !are_one_each || !is_known || x.ne != product.ne || !are_reachable || !is_computed(product) {
        return None;
    }
    let last = 2 * terms - 1;
    if nodes.uses(0) != Some(terms) || !(1..=terms).all(|i| is_part(nodes, i)) {
        return None;
    }
    // The first sum is of two views, every other of the sum before it and a view.
    for i in terms + 1..=last {
        let sum = nodes.after(i)?;
        let left = if i == terms + 1 { 1 } else { i - 1 };
        let are_these = sum.src[0] == nodes.at(left)? && sum.src[1] == nodes.at(i - terms + 1)?;
        let is_one = i == last || nodes.reads(i) == Some(1);
        if sum.op != sys::GGML_OP_ADD || !are_these || !is_one || !is_computed(sum) {
            return None;
        }
    }
    let y = nodes.after(last)?;
    // SAFETY: by the contract of this function.
    let [of_x, of_y] = unsafe { [memory(x), memory(y)] };
    let (_, y_stride) = floats(y)?;
    let [x_strides, weight_strides] =
        [strides(x)?, strides(weights)?].map(|[term, row, _]| [term, row]);
    if !is_apart(&of_x, &of_y) {
        return None;
    }
    let sum = WeightedSum {
        width: width as usize,
        rows: tokens,
        terms,
        x: x.data.cast_const().cast(),
        x_strides,
        weights: weights.data.cast_const().cast(),
        weight_strides,
        y: y.data.cast(),
        y_stride,
    };
    let sums = (terms + 1..=last).fold(0, |bits, i| bits | 1 << i);
    Some(Reading { kernel: Kernel::WeightedSum(sum), taken: sums | 1, at: last })
}

/// Whether the `i`th node is a view of the `i`th vectors of the first, which one other node reads.
fn is_part(nodes: &Nodes<'_>, i: usize) -> bool {
    let (Some(view), Some(of)) = (nodes.after(i), nodes.at(0)) else { return false };
    let all = nodes.node();
    let is_there = view.view_src == of
        && view.view_offs == (i - 1) * all.nb[1]
        && view.ne == [all.ne[0], all.ne[2], 1, 1]
        && view.nb[..2] == [all.nb[0], all.nb[2]];
    view.op == sys::GGML_OP_VIEW && is_there && nodes.uses(i) == Some(1)
}

#[cfg(test)]
#[cfg(target_arch = "x86_64")]
#[path = "weighted_tests.rs"]
mod tests;
