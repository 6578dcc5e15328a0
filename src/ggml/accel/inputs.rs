//! How a norm is read with its products and what becomes of their heads, up to the rows of a cache. All of it is computed in
//! place of the last of these nodes, and nodes that lie between them before that.

use std::ptr::{eq, null_mut};

use llama_cpp_sys_2 as sys;

use super::access::{Access, given};
use super::compute::MOST_OTHERS;
use super::nodes::{Nodes, is_computed, is_view, memory};
use super::projections::projection;
use super::rows::norm;
use super::steps::Step;
use super::table::{Kernel, Reading};
use crate::kernels::rows::{Chain, Heads};
use crate::kernels::{AttentionInputs, FusedProduct, Projections, Vectors};

#[cfg(test)]
#[cfg(target_arch = "x86_64")]
#[path = "inputs_tests.rs"]
mod tests;

/// How far away from the norm the last node may be.
const WINDOW: usize = 30;

/// A norm, all products of what it gives, and at least one step of their heads.
///
/// # Safety
/// As [`Kernel::of`].
pub(super) unsafe fn inputs(nodes: &Nodes<'_>) -> Option<Reading> {
    // SAFETY: by the contract of this function.
    let Reading { kernel: Kernel::Norm(norm), taken, at } = (unsafe { norm(nodes)? }) else {
        return None;
    };
    let (normed, tokens) = (nodes.at(at)?, norm.rows);
    let mut found = Found { nodes, normed, tokens, taken, at, products: vec![], ends: vec![] };
    let (mut next, mut between) = (at + 1, Vec::new());
    while let Some(here) = nodes.from(next).filter(|_| next < WINDOW) {
        let is_nothing = is_view(here.node()) || !is_computed(here.node());
        // SAFETY: by the contract of this function.
        let taken = if is_nothing { Some(1) } else { unsafe { found.take(&here, next) } };
        if taken.is_none() {
            // Attention, or what else reads the results.
            // SAFETY: as above.
            if given(here.node()).any(|source| unsafe { found.origin(source) }.is_some()) {
                break;
            }
            between.push(next);
        }
        next += taken.unwrap_or(1);
    }
    let is_room = found.taken.count_ones() as usize <= MOST_OTHERS + 1;
    if found.ends.is_empty() || !is_room || !found.are_read_here() {
        return None;
    }
    // SAFETY: as above.
    if unsafe { !found.is_free(&between) } {
        return None;
    }
    let Found { taken, at, products, ends, .. } = found;
    let mut inputs = Box::new(AttentionInputs {
        projections: Projections { norm, products: [None; 3] },
        heads: Heads { tokens, chains: [None; 3] },
        starts: [None; 3],
    });
    for (slot, (_, fused)) in inputs.projections.products.iter_mut().zip(products) {
        *slot = Some(fused);
    }
    for (i, end) in ends.into_iter().enumerate() {
        (inputs.heads.chains[i], inputs.starts[i]) = (Some(end.chain), Some(end.start));
        if let Some(fused) = &mut inputs.projections.products[end.start.0] {
            fused.product.y = Vectors::new(null_mut(), fused.product.weight.rows);
        }
    }
    Some(Reading { kernel: Kernel::Inputs(inputs), taken, at })
}

/// A chain as far as it is found.
struct End {
    chain: Chain,
    /// The product that it begins with, and the element of its vectors.
    start: (usize, usize),
    /// What its last step gives.
    last: *mut sys::ggml_tensor,
}

/// What is found of the nodes.
struct Found<'a> {
    nodes: &'a Nodes<'a>,
    normed: *mut sys::ggml_tensor,
    /// Of each product, and of each step.
    tokens: usize,
    taken: u32,
    /// The last of them.
    at: usize,
    /// With what each gives.
    products: Vec<(*mut sys::ggml_tensor, FusedProduct)>,
    ends: Vec<End>,
}

impl Found<'_> {
    /// Takes a node, with those that follow it and belong to it: how many they are; `None` if it is none of these.
    ///
    /// # Safety
    /// As [`Kernel::of`].
    unsafe fn take(&mut self, here: &Nodes<'_>, at: usize) -> Option<usize> {
        // SAFETY: by the contract of this function.
        let count = unsafe {
            if let Some((reading, fused)) = projection(here, self.normed) {
                let is_room = self.products.len() < 3;
                self.products.push((here.at(reading.at).filter(|_| is_room)?, fused));
                reading.at + 1
            } else {
                let step = Step::of(here)?;
                self.follow(here, &step)?;
                step.nodes
            }
        };
        self.taken |= ((1 << count) - 1) << at;
        self.at = at + count - 1;
        Some(count)
    }

    /// Lets a step follow a chain, or a product.
    ///
    /// # Safety
    /// As [`Kernel::of`].
    unsafe fn follow(&mut self, here: &Nodes<'_>, step: &Step) -> Option<()> {
        let last = here.at(step.nodes - 1).filter(|_| step.tokens == self.tokens)?;
        // SAFETY: by the contract of this function.
        let (of, first) = unsafe { self.origin(here.node().src[0])? };
        if let Some(end) = self.ends.iter_mut().find(|end| eq(end.last, of)) {
            // SAFETY: as above.
            let is_read_here = unsafe { self.nodes.uses_of(&*of) } == Some(1);
            let chain = step.after(&end.chain).filter(|_| first == 0 && is_read_here)?;
            (end.chain, end.last) = (chain, last);
            return Some(());
        }
        let product = self.products.iter().position(|(result, _)| eq(*result, of))?;
        let end = End { chain: step.chain, start: (product, first), last };
        (self.ends.len() < 3).then(|| self.ends.push(end))
    }

    /// Which of the products or chains gives a tensor, through views that nobody else reads, and with which of its elements the
    /// tensor begins.
    ///
    /// # Safety
    /// The tensor is valid, and so are its sources.
    unsafe fn origin(
        &self,
        tensor: *mut sys::ggml_tensor,
    ) -> Option<(*mut sys::ggml_tensor, usize)> {
        let mut of = tensor;
        while !self.gives(of) {
            // SAFETY: by the contract of this function.
            let view = unsafe { of.as_ref()? };
            if !is_view(view) || self.nodes.uses_of(view) != Some(1) {
                return None;
            }
            of = view.src[0];
        }
        // SAFETY: as above.
        let (tensor, is_own) = unsafe { (&*tensor, (*of).view_src.is_null()) };
        is_own.then_some((of, tensor.view_offs / size_of::<f32>()))
    }

    /// Whether it is what a product or a chain gives.
    fn gives(&self, tensor: *mut sys::ggml_tensor) -> bool {
        let (products, ends) = (self.products.iter(), self.ends.iter());
        products.map(|(result, _)| *result).chain(ends.map(|end| end.last)).any(|t| eq(t, tensor))
    }

    /// Whether nobody else reads what is kept: the normed vectors, and products that chains begin with.
    fn are_read_here(&self) -> bool {
        let normed: usize =
            self.products.iter().map(|(_, fused)| if fused.is_of_two() { 2 } else { 1 }).sum();
        let mut products = self.products.iter().enumerate().map(|(i, (result, _))| {
            let chains = self.ends.iter().filter(|end| end.start.0 == i).count();
            // SAFETY: nodes of a valid graph are valid.
            chains == 0 || unsafe { self.nodes.uses_of(&**result) } == Some(chains)
        });
        // SAFETY: as above.
        let reads = unsafe { self.nodes.uses_of(&*self.normed) };
        reads == Some(normed) && products.all(|is_read_here| is_read_here)
    }

    /// Whether what is written lies apart from what is read, and nodes between them may be computed before.
    ///
    /// # Safety
    /// As [`Kernel::of`].
    unsafe fn is_free(&self, between: &[usize]) -> bool {
        let all = (0..=self.at).filter(|i| self.taken & 1 << i != 0);
        let taken: Vec<_> = all.filter_map(|i| self.nodes.after(i)).collect();
        let products = self.products.iter().enumerate();
        let kept = |i: usize| self.ends.iter().any(|end| end.start.0 == i);
        let results = products.filter(|(i, _)| !kept(*i)).map(|(_, (result, _))| *result);
        // SAFETY: by the contract of this function.
        unsafe {
            let writes =
                results.chain(self.ends.iter().map(|end| end.last)).map(|t| memory(&*t)).collect();
            let reads = taken
                .iter()
                .flat_map(|node| given(node))
                .filter(|source| !taken.iter().any(|node| eq(root(*source), *node)))
                .map(|source| memory(&*source))
                .collect();
            let access = Access { reads, writes };
            let mut before = between.iter().filter(|i| **i < self.at);
            access.is_apart()
                && before.all(|i| {
                    self.nodes.after(*i).is_some_and(|node| access.commutes(&Access::of(node)))
                })
        }
    }
}

/// The tensor whose memory one has.
///
/// # Safety
/// It is valid.
unsafe fn root(tensor: *mut sys::ggml_tensor) -> *const sys::ggml_tensor {
    // SAFETY: by the contract of this function.
    let of = unsafe { (*tensor).view_src };
    if of.is_null() { tensor } else { of }
}
