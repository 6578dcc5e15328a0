//! The product for many tokens: panels of weights, dequantized and packed once for all tokens of a block.

use std::marker::PhantomData;
use std::ops::Range;

use super::super::{
    Crew, FusedProduct, Level, Need, Product, Queue, Scratch, Then, Vectors, Weight,
};
use super::kernel::{Kernel, Rows};
use super::pack::{self, Source, Tokens};
use super::plan::{self, Parts};
use super::sweep::sweep;

/// A product on the GEMM of one level.
pub(super) struct Forward<'a, K> {
    product: &'a Product,
    /// What is done with the values at a level, if anything.
    fused: Option<(&'a FusedProduct, Level)>,
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

/// The tokens that are packed at a time.
struct Block {
    tokens: Tokens,
    y: Vectors,
    /// What is done with their values at a level, if anything.
    then: Option<(Then, Level)>,
}

/// Some rows of one of the weights, and the place of their panel among those that are packed together.
struct Panel {
    weight: Weight,
    rows: Range<usize>,
    place: usize,
}

impl<'a, K: Kernel> Forward<'a, K> {
    pub(super) fn new(product: &'a Product, fused: Option<(&'a FusedProduct, Level)>) -> Self {
        const { assert!(K::ELEMENTS >= 256, "no block is longer than a part of a row") };
        Self { product, fused, kernel: PhantomData }
    }

    pub(super) fn need(&self) -> Need {
        let tokens = Parts::of_tokens(self.product.tokens).most();
        let words = K::words(self.product.weight.width);
        let panels = self.together() * self.weights().count();
        // While tokens are packed, those of a tile may be where sums are afterwards.
        let is_normed = self.fused.is_some_and(|(fused, _)| fused.norm.is_some());
        let normed = if is_normed { K::TOKENS * self.product.weight.width } else { 0 };
        let sums = normed.max(panels * K::LANES * tokens);
        let own = Rows::words::<K>() + panels * K::LANES * K::WORDS + sums;
        Need { shared: 4 * tokens * words, own: 4 * own }
    }

    /// What is done with the values, if they are not the results.
    fn then(&self) -> Option<(Then, Level)> {
        let then = self.fused.map(|(fused, level)| (fused.then, level));
        then.filter(|(then, _)| !matches!(then, Then::Nothing))
    }

    /// The weights that meet the same tokens.
    fn weights(&self) -> impl Iterator<Item = Weight> + Clone {
        let second = self.fused.and_then(|(fused, _)| fused.second());
        std::iter::once(self.product.weight).chain(second.map(|second| second.weight))
    }

    /// How many panels of each weight are packed before they are multiplied: more than one where the tokens do not stay in a
    /// core's cache, so that they come from further away less often.
    fn together(&self) -> usize {
        let tokens = Parts::of_tokens(self.product.tokens).most();
        let bytes = 4 * tokens * K::words(self.product.weight.width);
        ((bytes / K::NEAR).clamp(1, 8) / self.weights().count()).max(1)
    }

    /// Computes the product together with the crew's other threads.
    ///
    /// # Safety
    /// The processor has the kernel's level; as for [`Product::run`].
    pub(super) unsafe fn run(&self, crew: Crew<'_>, scratch: Scratch, queue: &mut Queue) {
        let Product { weight, y, .. } = *self.product;
        let together = self.together();
        let panels = scratch.own.cast::<u32>().wrapping_add(Rows::words::<K>());
        let sums = panels.wrapping_add(together * self.weights().count() * K::LANES * K::WORDS);
        let own = Own { between: Rows::new::<K>(scratch.own), panels, sums: sums.cast() };
        for some in Parts::of_tokens(self.product.tokens).all() {
            let tokens = Tokens::new::<K>(some.len(), weight.width, scratch.shared);
            if !self.product.is_packed {
                // SAFETY: the caller's.
                unsafe {
                    let source = self.source(some.start, own.sums);
                    tokens.pack_together::<K>(source, crew, own.between);
                }
            }
            let then = self.then().map(|(then, level)| (then.from(some.start), level));
            let block = Block { tokens, y: y.from(some.start), then };
            let groups = weight.rows.div_ceil(together * K::LANES);
            let splits = plan::splits::<K>(groups, crew.count, &block.tokens);
            while let Some(piece) = queue.next(&crew, groups * splits) {
                let first = piece / splits * together * K::LANES;
                let rows = first..weight.rows.min(first + together * K::LANES);
                let tiles = block.tokens.part(piece % splits, splits);
                // SAFETY: the caller's; every piece is one thread's.
                unsafe { self.group(rows, &block, tiles, &own) };
            }
        }
    }

    /// The vectors from one on. `room` is for those of a tile.
    fn source(&self, first: usize, room: *mut f32) -> Source {
        match self.fused.and_then(|(fused, level)| Some((fused.norm?, level))) {
            Some((norm, level)) => Source::Normed(norm.from(first), level, room),
            None => Source::Vectors(self.product.x.from(first)),
        }
    }

    /// Computes the values of the rows of some panels, for some tiles of a block.
    ///
    /// # Safety
    /// As for [`Self::run`].
    unsafe fn group(&self, rows: Range<usize>, block: &Block, tiles: Range<usize>, own: &Own) {
        let Block { tokens, y, then } = block;
        let weight = &self.product.weight;
        let unit = plan::unit(weight).unwrap_or(1);
        for part in Parts::new(weight.width, K::ELEMENTS / unit * unit, unit).all() {
            let words = K::words(part.start)..K::words(part.end);
            for panel in self.panels(&rows) {
                // SAFETY: a part is whole blocks, and no more words than the scratch holds.
                unsafe { self.pack(&panel, part.clone(), own) };
            }
            for Panel { rows, place, .. } in self.panels(&rows) {
                let n = rows.len();
                let (sums, y) = (own.sums::<K>(place, tokens), y.elements(rows.start));
                let from = (part.start > 0).then_some(sums);
                let is_last = part.end == weight.width && then.is_none();
                let beside = n < K::LANES || y.distance().is_none();
                let to = if is_last && !beside { y } else { sums };
                // SAFETY: just packed; the sums have place for all tokens, and so has `y` for a whole panel. What lies
                // behind the rows in it is not touched.
                unsafe {
                    sweep::<K>(
                        own.panel::<K>(place),
                        words.clone(),
                        (tokens, tiles.clone()),
                        from,
                        to,
                    );
                    if is_last && beside {
                        sums.copy(y, tokens.of_tiles(&tiles), n);
                    }
                }
            }
        }
        if let Some((then, level)) = then {
            let (some, weights) = (tokens.of_tiles(&tiles), self.weights().count());
            for Panel { rows, place, .. } in self.panels(&rows).step_by(weights) {
                let last = place + weights - 1;
                let values = [place, last].map(|place| own.sums::<K>(place, tokens));
                // SAFETY: the panels' sums are there, and the places in `y` are this thread's.
                unsafe { then.apply(*level, values, *y, rows, some.clone()) };
            }
        }
    }

    /// The panels of some rows, those of all weights beside each other.
    fn panels(&self, rows: &Range<usize>) -> impl Iterator<Item = Panel> {
        let (weights, end) = (self.weights(), rows.end);
        let all = rows.clone().step_by(K::LANES).flat_map(move |first| {
            let rows = first..end.min(first + K::LANES);
            weights.clone().map(move |weight| (weight, rows.clone()))
        });
        all.enumerate().map(|(place, (weight, rows))| Panel { weight, rows, place })
    }

    /// Packs part of a panel's rows.
    ///
    /// # Safety
    /// The processor has the kernel's level; as for [`pack::rows`].
    unsafe fn pack(&self, panel: &Panel, part: Range<usize>, own: &Own) {
        let (rows, to) = (&panel.rows, own.panel::<K>(panel.place));
        for first in rows.clone().step_by(K::SIDE) {
            let some = first..rows.end.min(first + K::SIDE);
            let to = to.wrapping_add(first - rows.start);
            // SAFETY: the caller's.
            unsafe {
                pack::rows::<K>(&panel.weight, some, part.clone(), own.between, to, K::LANES);
            }
        }
    }
}

impl Own {
    /// Where a panel is packed.
    fn panel<K: Kernel>(&self, place: usize) -> *mut u32 {
        self.panels.wrapping_add(place * K::LANES * K::WORDS)
    }

    /// A panel's sums, token by token.
    fn sums<K: Kernel>(&self, place: usize, tokens: &Tokens) -> Vectors {
        let sums = self.sums.wrapping_add(place * K::LANES * tokens.count);
        Vectors::new(sums, K::LANES)
    }
}
