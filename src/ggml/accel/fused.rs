//! How products are read with what follows them: the gate of a feed-forward network, and sums with a residual or a bias.

use llama_cpp_sys_2 as sys;

use super::nodes::{Nodes, is_computed};
use super::products::product_of;
use super::rows::{floats, gate_of};
use super::table::{Kernel, Reading, on_host_or_unplaced};
use crate::kernels::{FusedProduct, Product, Then, Vectors};

/// Two products of the same vectors, one of which gates the other in the next node.
///
/// # Safety
/// As [`Kernel::of`].
pub(super) unsafe fn gated(nodes: &Nodes<'_>) -> Option<Reading> {
    let [first, second, last] = [nodes.node(), nodes.after(1)?, nodes.after(2)?];
    let are_shared = second.op == sys::GGML_OP_MUL_MAT && first.src[1] == second.src[1];
    if last.op != sys::GGML_OP_GLU || !are_shared || !are_one(nodes, 3) {
        return None;
    }
    let is_swapped = match [last.src[0], last.src[1]].map(<*mut sys::ggml_tensor>::cast_const) {
        [gate, up] if std::ptr::eq(gate, first) && std::ptr::eq(up, second) => false,
        [gate, up] if std::ptr::eq(gate, second) && std::ptr::eq(up, first) => true,
        _ => return None,
    };
    // SAFETY: by the contract of this function.
    let (first, second, gating) =
        unsafe { (product_of(first)?, product_of(second)?, gate_of(last)?) };
    let (gate, up) = if is_swapped { (second, first) } else { (first, second) };
    let is_one_shape = (gating.rows, gating.width) == (gate.tokens, gate.weight.rows);
    let product = Product { y: Vectors::new(gating.y, gating.y_stride), ..gate };
    let then = Then::Gate { up: up.weight, curve: gating.curve };
    is_one_shape.then(|| Reading::of_first(3, Kernel::Fused(FusedProduct::new(product, then))))
}

/// A product to which the next node adds as many vectors, or one vector to each of its own.
///
/// # Safety
/// As [`Kernel::of`].
pub(super) unsafe fn added(nodes: &Nodes<'_>) -> Option<Reading> {
    let [first, last] = [nodes.node(), nodes.after(1)?];
    if last.op != sys::GGML_OP_ADD || !are_one(nodes, 2) {
        return None;
    }
    let other = match [last.src[0], last.src[1]] {
        [a, other] if std::ptr::eq(a, first) => other,
        [other, b] if std::ptr::eq(b, first) => other,
        _ => return None,
    };
    // SAFETY: by the contract of this function; a sum has two sources.
    let (product, other, reachable) =
        unsafe { (product_of(first)?, other.as_ref()?, on_host_or_unplaced(&*other)) };
    let [(_, stride), (_, y_stride)] = [floats(other)?, floats(last)?];
    let is_one = other.ne == [first.ne[0], 1, 1, 1];
    if !reachable || first.ne != last.ne || !(is_one || other.ne == first.ne) {
        return None;
    }
    let stride = if is_one { 0 } else { stride };
    let then = Then::Add(Vectors::to_read(other.data.cast_const().cast(), stride));
    let product = Product { y: Vectors::new(last.data.cast(), y_stride), ..product };
    Some(Reading::of_first(2, Kernel::Fused(FusedProduct::new(product, then))))
}

/// Whether the first nodes are all computed, and all but the last of these are read by one of them alone.
fn are_one(nodes: &Nodes<'_>, count: usize) -> bool {
    let mut all = (0..count).map(|i| nodes.after(i));
    all.all(|node| node.is_some_and(is_computed))
        && (0..count - 1).all(|i| nodes.reads(i) == Some(1))
}

#[cfg(test)]
#[cfg(target_arch = "x86_64")]
#[path = "fused_tests.rs"]
mod tests;
