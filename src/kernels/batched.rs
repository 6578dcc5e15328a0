//! Batched products: the matrices of a stack with vectors of their own each, as latent attention (DeepSeek-V2, 2024) has
//! them for its heads.
//!
//! Each product is one thread's: there are more of them than threads, and none waits for another.

use super::{Crew, Level, Need, Product, Scratch, Shared, Vectors, Weight};

#[cfg(test)]
#[path = "batched_tests.rs"]
mod tests;

/// `y[i][t][r] = sum over k of W[i][r][k] * x[i][t][k]`, for every matrix `i`, row and token.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BatchedProduct {
    /// That of the first matrix.
    pub first: Product,
    pub count: usize,
    /// Bytes from one matrix to the next.
    pub weight_stride: usize,
    /// Floats from the vectors of one product to those of the next.
    pub x_stride: usize,
    pub y_stride: usize,
}

impl BatchedProduct {
    /// The memory to work with; `None` if there is no kernel for these products, or the engine's own is quicker.
    pub(crate) fn need(&self, level: Level) -> Option<Need> {
        let need = self.first.need(level)?;
        Some(Need { shared: 0, own: shared(need) + need.own })
    }

    /// Product `i`.
    fn product(&self, i: usize) -> Product {
        let Product { weight, x, y, .. } = self.first;
        let data = weight.data.wrapping_add(i * self.weight_stride);
        let next = |vectors: Vectors, stride: usize| vectors.elements(i * stride);
        let (x, y) = (next(x, self.x_stride), next(y, self.y_stride));
        Product { weight: Weight { data, ..weight }, x, y, ..self.first }
    }

    /// Computes them. Every thread of the crew calls this.
    ///
    /// # Safety
    /// [`BatchedProduct::need`] gave `Some` for this level, which the processor has, and `scratch` holds as much; the
    /// weights and the vectors are there, and nobody writes what is read meanwhile. The crew has just been formed.
    pub(crate) unsafe fn run(&self, level: Level, crew: Crew<'_>, scratch: Scratch) {
        let Some(need) = self.first.need(level) else { return };
        let alone = Scratch { shared: scratch.own, own: scratch.own.wrapping_add(shared(need)) };
        for i in crew.tickets(0, self.count) {
            let state = Shared::default();
            // SAFETY: the caller's; this thread alone computes product `i`, with its own memory.
            unsafe { self.product(i).run(level, Crew::new(0, 1, &state), alone) }
        }
    }
}

/// Bytes of a thread's own memory that are what a product's threads share.
fn shared(need: Need) -> usize {
    need.shared.next_multiple_of(64)
}
