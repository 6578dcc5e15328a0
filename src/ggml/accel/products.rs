//! How products with matrices of weights are read.

use llama_cpp_sys_2 as sys;

use super::nodes::Nodes;
use super::rows::strides;
use super::table::{Kernel, Reading, matrices, vectors};
use crate::kernels::{BatchedProduct, Product, Vectors, Weight};

/// A product with a matrix of weights.
///
/// # Safety
/// As [`Kernel::of`].
pub(super) unsafe fn product(nodes: &Nodes<'_>) -> Option<Reading> {
    // SAFETY: by the contract of this function.
    unsafe { product_of(nodes.node()).map(|product| Reading::alone(Kernel::Product(product))) }
}

/// The product with a matrix of weights that a node is.
///
/// # Safety
/// As [`Kernel::of`].
pub(super) unsafe fn product_of(node: &sys::ggml_tensor) -> Option<Product> {
    // SAFETY: by the contract of this function.
    let (weight, 1, _, x) = (unsafe { operands(node)? }) else { return None };
    let ((tokens, x), (_, y)) = (vectors(x)?, vectors(node)?);
    Some(Product { weight, x, tokens, y, to_bytes: true, is_packed: false })
}

/// Products with a stack of matrices of weights, each with vectors of its own.
///
/// # Safety
/// As [`Kernel::of`].
pub(super) unsafe fn batched(nodes: &Nodes<'_>) -> Option<Reading> {
    let node = nodes.node();
    // SAFETY: by the contract of this function.
    let (weight, count, weight_stride, x) = unsafe { operands(node)? };
    let [_, tokens, vectors, 1] = x.ne.map(|n| n as usize) else { return None };
    let ([x_token, x_stride, _], [y_token, y_stride, _]) = (strides(x)?, strides(node)?);
    let first = Product {
        weight,
        x: Vectors::new(x.data.cast(), x_token),
        tokens,
        y: Vectors::new(node.data.cast(), y_token),
        to_bytes: true,
        is_packed: false,
    };
    let products = BatchedProduct { first, count, weight_stride, x_stride, y_stride };
    (vectors == count).then(|| Reading::alone(Kernel::Batched(products)))
}

/// What a product multiplies: matrices of weights, as [`matrices`] says, and a tensor of f32.
///
/// # Safety
/// As [`Kernel::of`].
unsafe fn operands(node: &sys::ggml_tensor) -> Option<(Weight, usize, usize, &sys::ggml_tensor)> {
    // SAFETY: by the contract of this function; products have two sources.
    let (weight, x) = unsafe { (node.src[0].as_ref()?, node.src[1].as_ref()?) };
    // The second parameter marks products with Hadamard matrices, which the engine computes in another way.
    if node.op_params[1] != 0 || x.type_ != sys::GGML_TYPE_F32 || node.type_ != sys::GGML_TYPE_F32 {
        return None;
    }
    // SAFETY: by the contract of this function.
    let (weight, count, stride) = unsafe { matrices(weight)? };
    Some((weight, count, stride, x))
}

#[cfg(test)]
#[cfg(target_arch = "x86_64")]
#[path = "products_tests.rs"]
mod tests;
