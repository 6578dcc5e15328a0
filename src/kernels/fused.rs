//! Products whose values are not written as they are: what follows is done with them while they are in the cache.

use std::ops::Range;

use super::product::{GROUP, Way};
use super::rows::{AddForward, Curve, GateForward, NormForward};
use super::{Crew, Level, Need, Product, Queue, Scratch, Vectors, Weight, gemm, gemv};

#[cfg(test)]
#[path = "fused_tests.rs"]
mod tests;

/// What is done with the values of a product.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Then {
    /// They are the result.
    Nothing,
    /// They gate those of a second weight, which has the first one's shape and meets the same vectors: `f(value) * up`.
    Gate { up: Weight, curve: Curve },
    /// As many vectors are added, or each time the same. They lie where the result goes, or elsewhere.
    Add(Vectors),
}

/// A product with what comes before it and what is done with its values: what the operations compute one after the other, to
/// the bit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FusedProduct {
    /// What gives the vectors, if they are not there: many of them. It need not say where they go.
    pub norm: Option<NormForward>,
    /// With the place of the result, which may be where the vectors are.
    pub product: Product,
    pub then: Then,
}

/// Rows that a thread takes at a time with a few tokens, at most: their values have a place of their own.
const ROWS: usize = 1024;

impl FusedProduct {
    /// A product of vectors that are there.
    pub(crate) fn new(product: Product, then: Then) -> Self {
        Self { norm: None, product, then }
    }

    /// The memory to work with; `None` where the operations are to be computed by themselves.
    pub(crate) fn need(&self, level: Level) -> Option<Need> {
        let Product { weight, y, .. } = self.product;
        y.distance()?;
        let fits = match self.then {
            Then::Nothing => true,
            Then::Gate { up, .. } => (up.rows, up.width) == (weight.rows, weight.width),
            Then::Add(other) => other == y || is_apart(&self.added(), &self.result()),
        };
        if !fits {
            return None;
        }
        let way = self.product.way_of(level)?;
        if self.products().any(|product| product.way_of(level) != Some(way)) {
            return None;
        }
        // How many vectors are read before the first result is written.
        let (first, need) = match way {
            Way::Few if self.norm.is_some() => return None,
            Way::Few => (GROUP, self.need_of_few(level)?),
            Way::Many => (gemm::TOGETHER, gemm::need_fused(self, level)?),
        };
        let is_read =
            self.product.tokens <= first || !self.overlaps_result(self.product.x, weight.width);
        is_read.then_some(need)
    }

    /// Computes it. Every thread of the crew calls this.
    ///
    /// # Safety
    /// As for [`Product::run`], with all weights and vectors.
    pub(crate) unsafe fn run(&self, level: Level, crew: Crew<'_>, scratch: Scratch) {
        // SAFETY: the caller's.
        unsafe { self.run_in(level, crew, scratch, &mut Queue::new(0)) }
    }

    /// As [`FusedProduct::run`], as one of several products of a crew.
    ///
    /// # Safety
    /// As for [`Product::run_in`], with all weights and vectors.
    pub(super) unsafe fn run_in(
        &self,
        level: Level,
        crew: Crew<'_>,
        scratch: Scratch,
        queue: &mut Queue,
    ) {
        // SAFETY: the caller's; groups are products with some of the tokens.
        unsafe {
            match self.product.way_of(level) {
                Some(Way::Few) => {
                    for first in (0..self.product.tokens).step_by(GROUP) {
                        self.group(first).run_few(level, crew, scratch, queue);
                    }
                }
                Some(Way::Many) => gemm::run_fused(self, level, crew, scratch, queue),
                None => {}
            }
        }
    }

    /// The second product, if there is one.
    pub(super) fn second(&self) -> Option<Product> {
        match self.then {
            Then::Gate { up, .. } => Some(Product { weight: up, ..self.product }),
            Then::Add(_) | Then::Nothing => None,
        }
    }

    /// The same with other vectors.
    pub(super) fn with_vectors(&self, x: Vectors) -> Self {
        Self { product: Product { x, ..self.product }, ..*self }
    }

    /// Whether there is a second product.
    pub(crate) fn is_of_two(&self) -> bool {
        self.second().is_some()
    }

    /// The addresses between which it writes.
    pub(crate) fn result(&self) -> Range<usize> {
        self.product.y.span(self.product.tokens, self.product.weight.rows)
    }

    /// The addresses between which it reads what is added.
    pub(crate) fn added(&self) -> Range<usize> {
        match self.then {
            Then::Add(other) => other.span(self.product.tokens, self.product.weight.rows),
            _ => 0..0,
        }
    }

    /// All products.
    pub(super) fn products(&self) -> impl Iterator<Item = Product> + Clone {
        [Some(self.product), self.second()].into_iter().flatten()
    }

    /// Whether vectors, one for each token, may lie where the result goes.
    pub(super) fn overlaps_result(&self, vectors: Vectors, width: usize) -> bool {
        !is_apart(&vectors.span(self.product.tokens, width), &self.result())
    }

    /// The same with a few of the tokens.
    fn group(&self, first: usize) -> Self {
        Self { product: self.product.group(first), then: self.then.from(first), ..*self }
    }

    /// The memory for a few tokens: the places of each product.
    fn need_of_few(&self, level: Level) -> Option<Need> {
        let group = self.group(0);
        let own = group.products().try_fold(0, |own, product| {
            gemv::need(&product, level)?;
            Some(own + places(&product, level).iter().sum::<usize>())
        })?;
        Some(Need { shared: 0, own })
    }

    /// Computes it for a few tokens, as one of several products of a crew.
    ///
    /// # Safety
    /// As for [`Self::run`]. If the vectors are said to be packed, the product before was of the same vectors and
    /// [prepares them alike](prepares_alike).
    pub(super) unsafe fn run_few(
        &self,
        level: Level,
        crew: Crew<'_>,
        scratch: Scratch,
        queue: &mut Queue,
    ) {
        let Product { weight, x, y, tokens, .. } = self.product;
        let overlaps = self.overlaps_result(x, weight.width);
        let mut own = scratch.own;
        let mut products: [Option<(Product, *mut u8, Vectors)>; 2] = [None; 2];
        for (i, mut product) in self.products().enumerate() {
            let [mut prepared, copied, values] = places(&product, level).map(|bytes| {
                let at = own;
                own = own.wrapping_add(bytes);
                at
            });
            let before = products[0].filter(|(first, ..)| prepares_alike(first, &product));
            // SAFETY: the caller's vectors; there is room for them.
            unsafe {
                match before {
                    Some((_, alike, _)) => prepared = alike,
                    None if i == 0 && product.is_packed => {}
                    None => gemv::prepare(&product, level, prepared),
                }
                if overlaps && gemv::reads_vectors(&product, level) {
                    product.x = Vectors::new(copied.cast(), weight.width);
                    x.copy(product.x, 0..tokens, weight.width);
                }
            }
            products[i] = Some((product, prepared, Vectors::new(values.cast(), ROWS)));
        }
        if overlaps {
            crew.wait();
        }
        let values = products.map(|product| product.map_or(y, |(_, _, values)| values));
        let chunk = gemv::chunk(&self.product, level, crew.count).min(ROWS);
        while let Some(piece) = queue.next(&crew, weight.rows.div_ceil(chunk)) {
            let rows = piece * chunk..weight.rows.min((piece + 1) * chunk);
            // SAFETY: the rows are the weights', and no other thread computes them.
            unsafe {
                for (product, prepared, values) in products.iter().flatten() {
                    let is_result = matches!(self.then, Then::Nothing);
                    let to = if is_result { y.elements(rows.start) } else { *values };
                    gemv::rows(product, level, rows.clone(), *prepared, to);
                }
                self.then.apply(level, values, y, rows, 0..tokens);
            }
        }
    }
}

/// Whether two places have nothing in common, or one of them is not known yet.
pub(crate) fn is_apart(a: &Range<usize>, b: &Range<usize>) -> bool {
    a.start == 0 || b.start == 0 || a.end <= b.start || b.end <= a.start
}

/// Whether two products of the same vectors multiply a few of them in the same form.
pub(super) fn prepares_alike(a: &Product, b: &Product) -> bool {
    let [a, b] = [a, b].map(|product| std::mem::discriminant(&product.weight.weight_type));
    a == b
}

/// Bytes of a thread's places for a few tokens of a product, whole lines: for the vectors as they are multiplied, for a copy of
/// them where they are read for every row, and for the values of some rows.
fn places(product: &Product, level: Level) -> [usize; 3] {
    let prepared = gemv::need(product, level).map_or(0, |need| need.own);
    let width = if gemv::reads_vectors(product, level) { product.weight.width } else { 0 };
    let floats = |n: usize| product.tokens * n * size_of::<f32>();
    [prepared, floats(width), floats(ROWS)].map(|bytes| bytes.next_multiple_of(64))
}

impl Then {
    /// The same for the tokens from `first` on.
    pub(super) fn from(self, first: usize) -> Self {
        match self {
            Self::Add(other) => Self::Add(other.from(first)),
            other => other,
        }
    }

    /// Makes the results of some rows and tokens of the values of one product, or two. Those of the first row are the first of
    /// each vector of `values`.
    ///
    /// # Safety
    /// The processor has the level, which is AVX2 or more; the values are there, and the results have room. No vectors are
    /// picked.
    pub(super) unsafe fn apply(
        &self,
        level: Level,
        [first, second]: [Vectors; 2],
        y: Vectors,
        rows: Range<usize>,
        tokens: Range<usize>,
    ) {
        let stride = |vectors: Vectors| vectors.distance().unwrap_or(0);
        let (width, y_stride, x_stride) = (rows.len(), stride(y), stride(first));
        // SAFETY: the caller's.
        unsafe {
            let (x, y) = (first.at(0), y.elements(rows.start).at(0));
            match *self {
                Self::Nothing => {}
                Self::Gate { curve, .. } => {
                    let (up, up_stride, rows) = (second.at(0), stride(second), tokens.end);
                    GateForward { curve, width, rows, x, x_stride, up, up_stride, y, y_stride }
                        .run_rows(level, tokens);
                }
                Self::Add(other) => {
                    let (b, b_stride) = (other.elements(rows.start).at(0), stride(other));
                    AddForward { width, a: x, a_stride: x_stride, b, b_stride, y, y_stride }
                        .run_rows(level, tokens);
                }
            }
        }
    }
}
