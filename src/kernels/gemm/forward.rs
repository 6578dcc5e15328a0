//! The product for many tokens: panels of weights, dequantized and packed once for all tokens of a block.

use std::marker::PhantomData;
use std::ops::Range;

use super::super::{
    Crew, FusedProduct, Level, Need, Product, Queue, Scratch, Then, Vectors, Weight,
};
use super::kernel::{Kernel, Rows};
use super::pack::{self, Source, Tokens};
use super::plan::{self, Parts};
use super::sweep::{Part, each_tile, sweep};

/// Panels of each weight that are packed before they are multiplied, at most: more gain nothing.
const MOST_TOGETHER: usize = 16;

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

/// Where the sums of some tokens are.
#[derive(Clone, Copy)]
struct Sums {
    /// Those of token 0, for the first panel.
    at: *mut f32,
    /// Floats from one panel's to the next's.
    apart: usize,
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
        let width = self.product.weight.width;
        let tokens = Parts::of_tokens(self.product.tokens).most();
        let panels = self.together(1) * self.weights();
        let sums = if self.is_by_tile(panels) && width <= K::PACKED {
            panels * K::TOKENS
        } else {
            panels * tokens
        };
        // While tokens are packed, those of a tile may be where sums are afterwards.
        let is_normed = self.fused.is_some_and(|(fused, _)| fused.norm.is_some());
        let normed = if is_normed { K::TOKENS * width } else { 0 };
        // With several panels, some pieces of work may have one.
        let sums = K::LANES * sums.max(tokens * self.weights());
        let own = Rows::words::<K>() + panels * self.panel() + sums.max(normed);
        Need { shared: 4 * tokens * K::words(width), own: 4 * own }
    }

    /// Words of a packed panel.
    fn panel(&self) -> usize {
        K::LANES * K::words(self.product.weight.width.min(K::PACKED))
    }

    /// Whether so many panels are multiplied with one tile after the other.
    fn is_by_tile(&self, panels: usize) -> bool {
        K::TOGETHER > 0 && panels > 1
    }

    /// What is done with the values, if they are not the results.
    fn then(&self) -> Option<(Then, Level)> {
        let then = self.fused.map(|(fused, level)| (fused.then, level));
        then.filter(|(then, _)| !matches!(then, Then::Nothing))
    }

    /// The other weight that meets the same tokens, if there is one.
    fn second(&self) -> Option<Weight> {
        Some(self.fused?.0.second()?.weight)
    }

    /// How many weights meet the same tokens.
    fn weights(&self) -> usize {
        1 + usize::from(self.second().is_some())
    }

    /// How many panels of each weight are packed before they are multiplied: about as many for each thread.
    fn together(&self, threads: usize) -> usize {
        let most = (K::TOGETHER / (4 * self.panel() * self.weights())).clamp(1, MOST_TOGETHER);
        let panels = self.product.weight.rows.div_ceil(K::LANES);
        let rounds = panels.div_ceil(most * threads);
        panels.div_ceil(rounds * threads).max(1)
    }

    /// Computes the product together with the crew's other threads.
    ///
    /// # Safety
    /// The processor has the kernel's level; as for [`Product::run`].
    pub(super) unsafe fn run(&self, crew: Crew<'_>, scratch: Scratch, queue: &mut Queue) {
        let Product { weight, y, .. } = *self.product;
        let together = self.together(crew.count);
        let panels = scratch.own.cast::<u32>().wrapping_add(Rows::words::<K>());
        let sums = panels.wrapping_add(together * self.weights() * self.panel());
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
        // SAFETY: the caller's.
        unsafe {
            if self.is_by_tile(self.panels(&rows).count()) {
                self.by_tile(&rows, block, tiles, own);
            } else {
                self.by_panel(&rows, block, tiles, own);
            }
        }
    }

    /// The same with one panel after the other.
    ///
    /// # Safety
    /// As for [`Self::run`].
    unsafe fn by_panel(&self, rows: &Range<usize>, block: &Block, tiles: Range<usize>, own: &Own) {
        let sums = Sums { at: own.sums, apart: K::LANES * block.tokens.count };
        for part in self.parts(&(0..self.product.weight.width), K::ELEMENTS).all() {
            for panel in self.panels(rows) {
                // SAFETY: a part is whole blocks, and no more words than the scratch holds.
                unsafe { self.pack(&panel, part.clone(), self.packed(&panel, own), own) };
            }
            for panel in self.panels(rows) {
                // SAFETY: just packed; the sums have place for all tokens.
                unsafe {
                    let words = self.packed(&panel, own);
                    let part = self.part(&panel, part.clone(), words, block, sums);
                    sweep::<K>(&part, &block.tokens, tiles.clone());
                }
            }
        }
        // SAFETY: the sums are complete.
        unsafe { self.finish(rows, block, tiles, sums) };
    }

    /// The same with one tile after the other: it stays in the first cache for all panels, and so do their sums until they are
    /// used.
    ///
    /// # Safety
    /// As for [`Self::run`].
    unsafe fn by_tile(&self, rows: &Range<usize>, block: &Block, tiles: Range<usize>, own: &Own) {
        let tokens = &block.tokens;
        let width = self.product.weight.width;
        for whole in self.parts(&(0..width), K::PACKED).all() {
            let parts = || self.parts(&whole, K::ELEMENTS).all();
            let at = |panel: &Panel, part: &Range<usize>| {
                let words = K::words(part.start - whole.start);
                self.packed(panel, own).wrapping_add(words * K::LANES)
            };
            for panel in self.panels(rows) {
                for part in parts() {
                    // SAFETY: as in `by_panel`.
                    unsafe { self.pack(&panel, part.clone(), at(&panel, &part), own) };
                }
            }
            let multiply = |tile: usize| {
                let first = tokens.of_tiles(&(tile..tile + 1)).start;
                let sums = if whole.len() == width {
                    let at = own.sums.wrapping_sub(first * K::LANES);
                    Sums { at, apart: K::TOKENS * K::LANES }
                } else {
                    Sums { at: own.sums, apart: K::LANES * tokens.count }
                };
                for part in parts() {
                    for panel in self.panels(rows) {
                        let words = at(&panel, &part);
                        // SAFETY: just packed; the sums have place for the tile's tokens.
                        unsafe {
                            let part = self.part(&panel, part.clone(), words, block, sums);
                            let part = Part { passes: true, ..part };
                            part.multiply::<K>(tokens, tile, tile);
                        }
                    }
                }
                if whole.end == width {
                    // SAFETY: the sums are complete.
                    unsafe { self.finish(rows, block, tile..tile + 1, sums) };
                }
            };
            // SAFETY: the caller's.
            unsafe { each_tile::<K>(tokens, tiles.clone(), multiply) };
        }
    }

    /// Where a panel is packed.
    fn packed(&self, panel: &Panel, own: &Own) -> *mut u32 {
        own.panels.wrapping_add(panel.place * self.panel())
    }

    /// Elements in parts of whole blocks, at most so many.
    fn parts(&self, elements: &Range<usize>, most: usize) -> Parts {
        let unit = plan::unit(&self.product.weight).unwrap_or(1).max(K::UNIT);
        Parts::within(elements, most / unit * unit, unit)
    }

    /// A part of a panel, packed as those words.
    fn part(
        &self,
        panel: &Panel,
        part: Range<usize>,
        words: *const u32,
        block: &Block,
        sums: Sums,
    ) -> Part {
        let sums = sums.of::<K>(panel.place);
        let is_last = part.end == self.product.weight.width;
        let y = block.y.elements(panel.rows.start);
        let from = (part.start > 0).then_some(sums);
        let to = if is_last && block.is_result::<K>(panel) { y } else { sums };
        let words_of_all = K::words(part.start)..K::words(part.end);
        Part { panel: words, words: words_of_all, passes: false, from, to }
    }

    /// Makes results of sums that are none yet.
    ///
    /// # Safety
    /// The sums of all panels are there for the tiles; the places in the results are this thread's.
    unsafe fn finish(&self, rows: &Range<usize>, block: &Block, tiles: Range<usize>, sums: Sums) {
        let some = block.tokens.of_tiles(&tiles);
        let weights = self.weights();
        for panel in self.panels(rows).step_by(weights) {
            let Panel { rows, place, .. } = &panel;
            let values = [*place, place + weights - 1].map(|place| sums.of::<K>(place));
            // SAFETY: the caller's.
            unsafe {
                match block.then {
                    _ if block.is_result::<K>(&panel) => {}
                    Some((then, level)) => {
                        then.apply(level, values, block.y, rows.clone(), some.clone());
                    }
                    None => values[0].copy(block.y.elements(rows.start), some.clone(), rows.len()),
                }
            }
        }
    }

    /// The panels of some rows, those of all weights beside each other.
    fn panels(&self, rows: &Range<usize>) -> impl Iterator<Item = Panel> {
        let (first, second, count) = (self.product.weight, self.second(), self.weights());
        let (start, end) = (rows.start, rows.end);
        (0..rows.len().div_ceil(K::LANES) * count).map(move |place| {
            let weight = if place % count == 0 { first } else { second.unwrap_or(first) };
            let first = start + place / count * K::LANES;
            Panel { weight, rows: first..end.min(first + K::LANES), place }
        })
    }

    /// Packs part of a panel's rows.
    ///
    /// # Safety
    /// The processor has the kernel's level; as for [`pack::rows`].
    unsafe fn pack(&self, panel: &Panel, part: Range<usize>, to: *mut u32, own: &Own) {
        let rows = &panel.rows;
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

impl Block {
    /// Whether the sums of a panel's rows are the results, and may be written as such: what lies behind the rows of a panel is not
    /// touched.
    fn is_result<K: Kernel>(&self, panel: &Panel) -> bool {
        let is_whole = panel.rows.len() == K::LANES;
        self.then.is_none() && is_whole && self.y.distance().is_some()
    }
}

impl Sums {
    /// A panel's, token by token.
    fn of<K: Kernel>(&self, place: usize) -> Vectors {
        Vectors::new(self.at.wrapping_add(place * self.apart), K::LANES)
    }
}
