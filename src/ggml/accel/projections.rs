//! How a norm is read with the products of what it gives, which may be computed before nodes that lie between them.

use llama_cpp_sys_2 as sys;

use super::access::Access;
use super::fused::{added, gated};
use super::nodes::{Nodes, is_computed};
use super::products::product_of;
use super::rows::norm;
use super::table::{Kernel, Reading};
use crate::kernels::{FusedProduct, Projections, Then};

/// How far away from the norm its last product may be.
const WINDOW: usize = 24;

/// A norm and all nodes that read what it gives, if these are products.
///
/// # Safety
/// As [`Kernel::of`].
pub(super) unsafe fn projections(nodes: &Nodes<'_>) -> Option<Reading> {
    // SAFETY: by the contract of this function.
    let Reading { kernel: Kernel::Norm(norm), mut taken, at } = (unsafe { norm(nodes)? }) else {
        return None;
    };
    let (normed, mut reads) = (nodes.at(at)?, nodes.reads(at)?);
    let mut all = Box::new(Projections { norm, products: [None; 3] });
    let mut slots = all.products.iter_mut();
    let (mut next, mut last) = (at + 1, None);
    while reads > 0 && next < WINDOW {
        let here = nodes.from(next)?;
        // SAFETY: by the contract of this function.
        let found = unsafe { projection(&here, normed) };
        match found {
            Some((reading, fused)) => {
                let access = Access { reads: vec![fused.added()], writes: vec![fused.result()] };
                let mut between = (at + 1..next).filter(|i| taken & 1 << i == 0);
                let is_free = between.all(|i| {
                    // SAFETY: as above.
                    nodes.after(i).is_some_and(|node| unsafe { access.commutes(&Access::of(node)) })
                });
                if !is_free {
                    return None;
                }
                *slots.next()? = Some(fused);
                reads = reads.checked_sub(if fused.is_of_two() { 2 } else { 1 })?;
                taken |= reading.taken << next;
                last.get_or_insert(next + reading.at);
                next += reading.at + 1;
            }
            // Nothing lies between the norm and its first product.
            None if last.is_none() || here.node().src.contains(&normed) => return None,
            None => next += 1,
        }
    }
    let reading = Reading { kernel: Kernel::Projections(all), taken, at: last? };
    (reads == 0).then_some(reading)
}

/// A product of some vectors, and how it is read.
///
/// # Safety
/// As [`Kernel::of`].
pub(super) unsafe fn projection(
    nodes: &Nodes<'_>,
    vectors: *mut sys::ggml_tensor,
) -> Option<(Reading, FusedProduct)> {
    let node = nodes.node();
    if node.op != sys::GGML_OP_MUL_MAT || node.src[1] != vectors || !is_computed(node) {
        return None;
    }
    // SAFETY: by the contract of this function.
    let reading = unsafe { gated(nodes).or_else(|| added(nodes)) };
    if let Some(reading @ Reading { kernel: Kernel::Fused(fused), .. }) = reading {
        return Some((reading, fused));
    }
    // SAFETY: as above.
    let product = unsafe { product_of(node)? };
    let reading = Reading::alone(Kernel::Product(product));
    Some((reading, FusedProduct::new(product, Then::Nothing)))
}

#[cfg(test)]
#[cfg(target_arch = "x86_64")]
#[path = "projections_tests.rs"]
mod tests;
