//! What attention takes: vectors are normed and multiplied with some weights, and the heads of what that gives are normed,
//! turned and put into the cache. The products lie in the memory to work with, so that none of them has to be where a graph
//! has a place for it, which another one may need at the same time.

use super::rows::Heads;
use super::{Crew, Level, Need, Projections, Scratch, Vectors};

#[cfg(test)]
#[path = "inputs_tests.rs"]
mod tests;

/// Products of the same normed vectors, and what becomes of their heads.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AttentionInputs {
    /// Where a chain begins with a product, nobody else reads this, and its result has no place.
    pub projections: Projections,
    pub heads: Heads,
    /// Which product each chain begins with, and with which element of its vectors.
    pub starts: [Option<(usize, usize)>; 3],
}

impl AttentionInputs {
    /// The memory to work with; `None` where the operations are to be computed by themselves.
    pub(crate) fn need(&self, level: Level) -> Option<Need> {
        let (products, heads) = (self.projections.need(level)?, self.heads.need(level)?);
        let shared = self.bytes_before(self.projections.products.len()) + products.shared;
        Some(Need { shared, own: products.own.max(heads.own) })
    }

    /// Bytes of the products before the `end`th that are kept here, whole lines each.
    fn bytes_before(&self, end: usize) -> usize {
        let kept = (0..end).filter(|i| self.starts.iter().flatten().any(|(of, _)| of == i));
        let products = kept.filter_map(|i| self.projections.products[i]);
        let floats = products.map(|fused| fused.product.tokens * fused.product.weight.rows);
        floats.map(|floats| (floats * size_of::<f32>()).next_multiple_of(64)).sum()
    }

    /// Computes it. Every thread of the crew calls this.
    ///
    /// # Safety
    /// [`need`](Self::need) gave `Some` for this level, which the processor has, and `scratch` holds as much; the rows,
    /// weights and results are there, and nobody writes what is read meanwhile.
    pub(crate) unsafe fn run(&self, level: Level, crew: Crew<'_>, scratch: Scratch) {
        let Self { mut projections, mut heads, starts } = *self;
        let place = |i| scratch.shared.wrapping_add(self.bytes_before(i));
        for (chain, start) in heads.chains.iter_mut().zip(starts) {
            let Some((chain, (of, first))) = chain.as_mut().zip(start) else { continue };
            let at = place(of).cast::<f32>();
            *chain = chain.on(at.wrapping_add(first));
            if let Some(fused) = &mut projections.products[of] {
                fused.product.y = Vectors::new(at, fused.product.weight.rows);
            }
        }
        let shared = place(projections.products.len());
        // SAFETY: the caller's; the products have their places, which are read after all of them are there.
        unsafe {
            projections.run(level, crew, Scratch { shared, ..scratch });
            crew.wait();
            heads.run(level, crew, scratch);
        }
    }
}
