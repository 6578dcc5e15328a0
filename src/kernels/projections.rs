//! What a layer makes of its vectors: they are normed, and multiplied with some weights. A few vectors every thread norms for
//! itself, which takes less time than waiting for one that does it for all. Many are normed where they are packed, so that
//! they are never written as they are.

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
    /// The memory to work with; `None` where the operations are to be computed by themselves.
    pub(crate) fn need(&self, level: Level) -> Option<Need> {
        let NormForward { rows, width, x, x_stride, .. } = self.norm;
        self.norm.need(level)?;
        let (read, all) =
            (Vectors::to_read(x, x_stride).span(rows, width), self.products.iter().flatten());
        let first = all.clone().next()?;
        let way = first.product.way_of(level)?;
        let mut need = Need::default();
        for fused in all.clone() {
            let Product { weight, tokens, .. } = fused.product;
            let is_one_way = fused.product.way_of(level) == Some(way);
            let is_quicker = match way {
                // With more, each thread would take longer than all together.
                Way::Few => tokens <= GROUP,
                // Whoever packs the vectors anew would have to norm them anew.
                Way::Many => {
                    std::ptr::eq(first, fused) || first.product.packs_for(&fused.product, level)
                }
            };
            // No thread waits for another one's products.
            let mut others = all.clone().filter(|other| !std::ptr::eq(*other, fused));
            let is_free = is_apart(&fused.result(), &read)
                && others.all(|other| {
                    is_apart(&fused.result(), &other.result())
                        && is_apart(&fused.result(), &other.added())
                });
            if !is_one_way || !is_quicker || !is_free || (tokens, weight.width) != (rows, width) {
                return None;
            }
            need = need.max(self.fused(fused, way, std::ptr::null_mut()).need(level)?);
        }
        let normed = if way == Way::Few { self.bytes() } else { 0 };
        Some(Need { own: normed + need.own, ..need })
    }

    /// One of the products, with the normed vectors of a few tokens, if they are there, or with the norm of many.
    fn fused(&self, fused: &FusedProduct, way: Way, normed: *mut u8) -> FusedProduct {
        let norm = (way == Way::Many).then_some(self.norm);
        FusedProduct { norm, ..fused.with_vectors(self.vectors(normed)) }
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
        let first = self.products.iter().flatten().next();
        // SAFETY: the caller's.
        unsafe {
            match first.and_then(|fused| fused.product.way_of(level)) {
                Some(Way::Few) => self.run_few(level, crew, scratch),
                Some(Way::Many) => self.run_many(level, crew, scratch),
                None => {}
            }
        }
    }

    /// Computes it for a few tokens.
    ///
    /// # Safety
    /// As for [`Self::run`].
    unsafe fn run_few(&self, level: Level, crew: Crew<'_>, scratch: Scratch) {
        let (normed, mut queue) = (scratch.own, Queue::new(0));
        let norm = NormForward { y: normed.cast(), y_stride: self.norm.width, ..self.norm };
        let scratch = Scratch { own: scratch.own.wrapping_add(self.bytes()), ..scratch };
        // SAFETY: the caller's; the normed vectors are this thread's own.
        unsafe {
            norm.run_rows(level, 0..norm.rows);
            let mut before: Option<Product> = None;
            for fused in self.products.iter().flatten() {
                let mut fused = self.fused(fused, Way::Few, normed);
                let is_alike = |before| prepares_alike(&before, &fused.product);
                fused.product.is_packed = before.is_some_and(is_alike);
                fused.run_few(level, crew, scratch, &mut queue);
                before = Some(fused.product);
            }
        }
    }

    /// Computes it for many tokens.
    ///
    /// # Safety
    /// As for [`Self::run`].
    unsafe fn run_many(&self, level: Level, crew: Crew<'_>, scratch: Scratch) {
        let mut queue = Queue::new(0);
        for (i, fused) in self.products.iter().flatten().enumerate() {
            let mut fused = self.fused(fused, Way::Many, std::ptr::null_mut());
            fused.product.is_packed = i > 0;
            // SAFETY: the caller's.
            unsafe { fused.run_in(level, crew, scratch, &mut queue) };
        }
    }
}
