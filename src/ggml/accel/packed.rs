//! Vectors that products share: packed by the first of them, they lie in the memory of the threads until something else needs
//! that, or they are written.

use llama_cpp_sys_2 as sys;

use super::nodes::memory;
use super::table::Kernel;
use crate::kernels::{Level, Need, Product, is_apart};

/// What lies packed in the shared memory at a place of a graph.
#[derive(Default)]
pub(super) struct Packed(Option<Product>);

impl Packed {
    /// A kernel comes: it may find its vectors packed, and leaves others.
    pub(super) fn meets(&mut self, kernel: &mut Kernel, need: Need, level: Level) {
        let Some(product) = kernel.product() else {
            if need.shared > 0 {
                self.0 = None;
            }
            return;
        };
        product.is_packed = self.0.is_some_and(|before| before.packs_for(product, level));
        self.0 = Some(*product);
    }

    /// A node is computed.
    ///
    /// # Safety
    /// The node is valid.
    pub(super) unsafe fn passes(&mut self, node: &sys::ggml_tensor) {
        let Some(product) = self.0 else { return };
        // SAFETY: by the contract of this function.
        let written = unsafe { memory(node) };
        let read = product.x.span(product.tokens, product.weight.width);
        if !is_apart(&written, &read) {
            self.0 = None;
        }
    }
}
