//! What a layer makes of its vectors with a few tokens: they are normed, and multiplied with some weights. Every thread norms
//! them for itself, which takes less time than waiting for one that does it for all.

use super::fused::{FusedProduct, is_apart, prepares_alike};
use super::product::{GROUP, Way};
use super::rows::NormForward;
use super::{Crew, Level, Need, Product, Queue, Scratch, Vectors};

#[cfg(test)]
#[path = "projections_tests.rs"]
mod tests;

/// Products of the same normed vectors.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Projections {
    /// Whose rows are the vectors. It need not say where they go.
    pub norm: NormForward,
    /// At least the first, and those with results apart from one another's. Theirs are the vectors that the norm gives.
    pub products: [Option<FusedProduct>; 3],
}

impl Projections {
    /// Vectors, at most: with more, each thread would take longer than all together.
    pub(crate) const MOST: usize = GROUP;

    /// The memory to work with; `None` where the operations are to be computed by themselves.
    pub(crate) fn need(&self, level: Level) -> Option<Need> {
        let NormForward { rows, width, x, x_stride, .. } = self.norm;
        self.norm.need(level)?;
        let (read, all) =
            (Vectors::to_read(x, x_stride).span(rows, width), self.products.iter().flatten());
        let mut own = 0;
        for fused in all.clone() {
            let Product { weight, tokens, .. } = fused.product;
            let is_few = tokens <= Self::MOST && fused.product.way_of(level) == Some(Way::Few);
            // No thread waits for another one's norm, or products.
            let mut others = all.clone().filter(|other| !std::ptr::eq(*other, fused));
            let is_free = is_apart(&fused.result(), &read)
                && others.all(|other| {
                    is_apart(&fused.result(), &other.result())
                        && is_apart(&fused.result(), &other.added())
                });
            if !is_few || !is_free || (tokens, weight.width) != (rows, width) {
                return None;
            }
            let fused = fused.with_vectors(self.vectors(std::ptr::null_mut()));
            own = own.max(fused.need(level)?.own);
        }
        (own > 0).then(|| Need { shared: 0, own: self.bytes() + own })
    }

    /// Bytes of the normed vectors.
    fn bytes(&self) -> usize {
        (self.norm.rows * self.norm.width * size_of::<f32>()).next_multiple_of(64)
    }

    /// The normed vectors, if they are there.
    fn vectors(&self, at: *mut u8) -> Vectors {
        Vectors::new(at.cast(), self.norm.width)
    }

    /// Computes it. Every thread of the crew calls this.
    ///
    /// # Safety
    /// [`need`](Self::need) gave `Some` for this level, which the processor has, and `scratch` holds as much; the rows,
    /// weights and results are there, and nobody writes what is read meanwhile.
    pub(crate) unsafe fn run(&self, level: Level, crew: Crew<'_>, scratch: Scratch) {
        let (vectors, mut queue) = (self.vectors(scratch.own), Queue::new(0));
        let norm = NormForward { y: scratch.own.cast(), y_stride: self.norm.width, ..self.norm };
        let scratch = Scratch { own: scratch.own.wrapping_add(self.bytes()), ..scratch };
        // SAFETY: the caller's; the normed vectors are this thread's own.
        unsafe {
            norm.run_rows(level, 0..norm.rows);
            let mut before: Option<Product> = None;
            for fused in self.products.iter().flatten() {
                let mut fused = fused.with_vectors(vectors);
                let is_alike = |before| prepares_alike(&before, &fused.product);
                fused.product.is_packed = before.is_some_and(is_alike);
                fused.run_few(level, crew, scratch, &mut queue);
                before = Some(fused.product);
            }
        }
    }
}
