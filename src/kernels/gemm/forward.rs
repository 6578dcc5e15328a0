//! The product for many tokens: panels of weights, dequantized and packed once for all tokens of a block.

use std::marker::PhantomData;
use std::ops::Range;

use super::super::{Crew, Need, Product, Queue, Scratch, Vectors};
use super::kernel::{Kernel, Rows};
use super::pack::{self, Tokens};
use super::plan::{self, Parts};
use super::sweep::sweep;

/// A product on the GEMM of one level.
pub(super) struct Forward<'a, K> {
    product: &'a Product,
    kernel: PhantomData<K>,
}

/// Where a thread works.
struct Own {
    /// Rows before they are transposed.
    between: Rows,
    /// The packed weights: one panel after the other.
    panels: *mut u32,
    /// For each panel and token, the sums of the panel's rows.
    sums: *mut f32,
}

impl<'a, K: Kernel> Forward<'a, K> {
    pub(super) fn new(product: &'a Product) -> Self {
        const { assert!(K::ELEMENTS >= 256, "no block is longer than a part of a row") };
        Self { product, kernel: PhantomData }
    }

    pub(super) fn need(&self) -> Need {
        let tokens = Parts::of_tokens(self.product.tokens).most();
        let words = K::words(self.product.weight.width);
        let own = Rows::words::<K>() + self.panels() * K::LANES * (K::WORDS + tokens);
        Need { shared: 4 * tokens * words, own: 4 * own }
    }

    /// How many panels are packed before they are multiplied: more than one where the tokens do not stay in a core's cache,
    /// so that they come from further away less often.
    fn panels(&self) -> usize {
        let tokens = Parts::of_tokens(self.product.tokens).most();
        let bytes = 4 * tokens * K::words(self.product.weight.width);
        (bytes / K::NEAR).clamp(1, 8)
    }

    /// Computes the product together with the crew's other threads.
    ///
    /// # Safety
    /// The processor has the kernel's level; as for [`Product::run`].
    pub(super) unsafe fn run(&self, crew: Crew<'_>, scratch: Scratch, queue: &mut Queue) {
        let Product { weight, x, y, .. } = *self.product;
        let together = self.panels();
        let panels = scratch.own.cast::<u32>().wrapping_add(Rows::words::<K>());
        let sums = panels.wrapping_add(together * K::LANES * K::WORDS).cast();
        let own = Own { between: Rows::new::<K>(scratch.own), panels, sums };
        for block in Parts::of_tokens(self.product.tokens).all() {
            let tokens = Tokens::new::<K>(block.len(), weight.width, scratch.shared);
            // SAFETY: the caller's.
            unsafe { tokens.pack_together::<K>(x.from(block.start), crew, own.between) };
            let y = y.from(block.start);
            let groups = weight.rows.div_ceil(together * K::LANES);
            let splits = plan::splits::<K>(groups, crew.count, &tokens);
            while let Some(piece) = queue.next(&crew, groups * splits) {
                let first = piece / splits * together * K::LANES;
                let rows = first..weight.rows.min(first + together * K::LANES);
                let tiles = tokens.part(piece % splits, splits);
                // SAFETY: the caller's; every piece is one thread's.
                unsafe { self.group(rows, (&tokens, tiles), y, &own) };
            }
        }
    }

    /// Computes the values of the rows of some panels, for some tiles of tokens.
    ///
    /// # Safety
    /// As for [`Self::run`].
    unsafe fn group(
        &self,
        rows: Range<usize>,
        (tokens, tiles): (&Tokens, Range<usize>),
        y: Vectors,
        own: &Own,
    ) {
        let weight = &self.product.weight;
        let unit = plan::unit(weight).unwrap_or(1);
        let panels = rows.clone().step_by(K::LANES).enumerate();
        for part in Parts::new(weight.width, K::ELEMENTS / unit * unit, unit).all() {
            let words = K::words(part.start)..K::words(part.end);
            for (i, first) in panels.clone() {
                let rows = first..rows.end.min(first + K::LANES);
                let panel = own.panels.wrapping_add(i * K::LANES * K::WORDS);
                // SAFETY: a part is whole blocks, and no more words than the scratch holds.
                unsafe { self.pack(rows, part.clone(), own.between, panel) };
            }
            for (i, first) in panels.clone() {
                let n = K::LANES.min(rows.end - first);
                let panel = own.panels.wrapping_add(i * K::LANES * K::WORDS);
                let sums = own.sums.wrapping_add(i * K::LANES * tokens.count);
                let (sums, y) = (Vectors::new(sums, K::LANES), y.elements(first));
                let from = (part.start > 0).then_some(sums);
                let is_last = part.end == weight.width;
                let beside = n < K::LANES || y.distance().is_none();
                let to = if is_last && !beside { y } else { sums };
                // SAFETY: just packed; the sums have place for all tokens, and so has `y` for a whole panel. What lies
                // behind the rows in it is not touched.
                unsafe {
                    sweep::<K>(panel, words.clone(), (tokens, tiles.clone()), from, to);
                    if is_last && beside {
                        sums.copy(y, tokens.of_tiles(&tiles), n);
                    }
                }
            }
        }
    }

    /// Packs part of some rows, at most `LANES`.
    ///
    /// # Safety
    /// The processor has the kernel's level; as for [`pack::rows`].
    unsafe fn pack(&self, rows: Range<usize>, part: Range<usize>, between: Rows, panel: *mut u32) {
        for first in rows.clone().step_by(K::SIDE) {
            let some = first..rows.end.min(first + K::SIDE);
            let to = panel.wrapping_add(first - rows.start);
            // SAFETY: the caller's.
            unsafe {
                pack::rows::<K>(&self.product.weight, some, part.clone(), between, to, K::LANES);
            }
        }
    }
}
