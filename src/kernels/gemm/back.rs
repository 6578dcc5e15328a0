//! What goes back through a product: blocks of weights, dequantized once for all tokens of a block, and summed over
//! their rows. Words take elements of neighbouring rows, column by column, so that nothing is transposed.

use std::marker::PhantomData;
use std::ops::Range;

use super::super::{Crew, Need, ProductBack, Queue, Scratch, Vectors};
use super::kernel::{BackKernel, Rows};
use super::pack::{self, Source, Tokens};
use super::plan::{self, Parts};
use super::sweep::{Part, each_tile, sweep};

/// Columns that are dequantized at a time, at most.
const COLUMNS: usize = 256;

/// Words of each column that are packed at a time, at most.
const WORDS: usize = 192;

/// How many rows before they are dequantized they are asked for: columns lie too far apart for the processor to guess.
const AHEAD: usize = 16;

/// Rows for which the tokens are packed at a time, at most.
const ROWS: usize = 8192;

/// What goes back on the GEMM of one level.
pub(super) struct Back<'a, K> {
    product: &'a ProductBack,
    kernel: PhantomData<K>,
}

/// Where a thread works.
struct Own {
    /// Rows before they are put together.
    between: Rows,
    /// The packed weights: one panel of columns after the other.
    panels: *mut u32,
    /// For each panel and token, the sums of the panel's columns.
    sums: *mut f32,
}

impl<'a, K: BackKernel> Back<'a, K> {
    pub(super) fn new(product: &'a ProductBack) -> Self {
        Self { product, kernel: PhantomData }
    }

    /// The rows in parts for which the tokens are packed at a time.
    fn segments(&self) -> Parts {
        Parts::new(self.product.weight.rows, ROWS, 32)
    }

    /// The columns in groups that are dequantized at a time.
    fn groups(&self) -> Parts {
        let weight = &self.product.weight;
        Parts::new(weight.width, COLUMNS, plan::unit(weight).unwrap_or(COLUMNS))
    }

    pub(super) fn need(&self) -> Need {
        let tokens = Parts::of_tokens(self.product.tokens).most();
        let words = K::words(self.segments().most());
        let own = Rows::words::<K>() + COLUMNS * WORDS + COLUMNS * tokens;
        Need { shared: 4 * tokens * words, own: 4 * own }
    }

    /// Computes it together with the crew's other threads.
    ///
    /// # Safety
    /// The processor has the kernel's level; as for [`ProductBack::run`].
    pub(super) unsafe fn run(&self, crew: Crew<'_>, scratch: Scratch, queue: &mut Queue) {
        let ProductBack { dy, dx, .. } = *self.product;
        let panels = scratch.own.cast::<u32>().wrapping_add(Rows::words::<K>());
        let sums = panels.wrapping_add(COLUMNS * WORDS).cast();
        let own = Own { between: Rows::new::<K>(scratch.own), panels, sums };
        let groups = self.groups();
        for rows in self.segments().all() {
            for block in Parts::of_tokens(self.product.tokens).all() {
                let tokens = Tokens::new::<K>(block.len(), rows.len(), scratch.shared);
                let dy = dy.from(block.start).elements(rows.start);
                // SAFETY: the caller's.
                unsafe { tokens.pack_together::<K>(Source::Vectors(dy), crew, own.between) };
                let dx = dx.from(block.start);
                let splits = plan::splits::<K>(groups.count(), crew.count, &tokens);
                while let Some(piece) = queue.next(&crew, groups.count() * splits) {
                    let columns = groups.at(piece / splits);
                    let tiles = tokens.part(piece % splits, splits);
                    // SAFETY: the caller's; every piece is one thread's.
                    unsafe { self.group(rows.clone(), columns, (&tokens, tiles), dx, &own) };
                }
            }
        }
    }

    /// Computes the values of some columns, at most `COLUMNS`, for some tiles of tokens, summed over some rows.
    ///
    /// # Safety
    /// As for [`Self::run`].
    unsafe fn group(
        &self,
        rows: Range<usize>,
        columns: Range<usize>,
        (tokens, tiles): (&Tokens, Range<usize>),
        dx: Vectors,
        own: &Own,
    ) {
        let accumulate = self.product.accumulate || rows.start > 0;
        let panels = columns.len().div_ceil(K::LANES);
        // Where a panel's sums are in the end, how many, and where they are on the way.
        let places = |panel: usize| {
            let first = panel * K::LANES;
            let dx = dx.elements(columns.start + first);
            let own = own.sums.wrapping_add(first * tokens.count);
            (dx, K::LANES.min(columns.len() - first), Vectors::new(own, K::LANES))
        };
        let (end, rest, beside) = places(panels - 1);
        let beside_at_all = rest < K::LANES;
        if beside_at_all && accumulate {
            // SAFETY: `dx` has these columns.
            unsafe { end.copy(beside, tokens.of_tiles(&tiles), rest) };
        }
        for part in Parts::new(rows.len(), WORDS * K::PER_WORD, 32).all() {
            let some = rows.start + part.start..rows.start + part.end;
            // SAFETY: no more rows and columns than the scratch holds; the columns are whole blocks.
            unsafe { self.pack(some, columns.clone(), own) };
            let words = K::words(part.start)..K::words(part.end);
            let part = |panel: usize, passes: bool| {
                let (dx, n, sums) = places(panel);
                let end = if n == K::LANES { dx } else { sums };
                let from = match part.start {
                    0 => accumulate.then_some(end),
                    _ => Some(sums),
                };
                let to = if part.end == rows.len() { end } else { sums };
                let panel = own.panels.wrapping_add(panel * words.len() * K::LANES);
                Part { panel, words: words.clone(), passes, from, to }
            };
            // SAFETY: just packed; the sums have place for all tokens, and so has `dx` for a whole panel.
            unsafe {
                if K::TOGETHER > 0 && panels > 1 {
                    each_tile::<K>(tokens, tiles.clone(), |tile| {
                        (0..panels).for_each(|i| part(i, true).multiply::<K>(tokens, tile, tile));
                    });
                } else {
                    (0..panels).for_each(|i| sweep::<K>(&part(i, false), tokens, tiles.clone()));
                }
            }
        }
        if beside_at_all {
            // SAFETY: `dx` has these columns; what lies behind them is not touched.
            unsafe { beside.copy(end, tokens.of_tiles(&tiles), rest) };
        }
    }

    /// Packs some columns of some rows: for each panel of columns, one word of each column after the other.
    ///
    /// # Safety
    /// As for [`Self::group`]; at most `WORDS` words and `COLUMNS` columns.
    unsafe fn pack(&self, rows: Range<usize>, columns: Range<usize>, own: &Own) {
        let weight = &self.product.weight;
        let words = K::words(rows.len());
        for word in 0..words {
            for i in 0..K::PER_WORD {
                let row = rows.start + word * K::PER_WORD + i;
                // SAFETY: the row exists, or zeros stand for it; the scratch holds rows of so many elements.
                unsafe {
                    let to = own.between.data.add(i * own.between.stride);
                    if row < rows.end {
                        pack::fetch(weight, row + AHEAD, &columns);
                        K::elements(weight, row, columns.start, columns.len(), to);
                    } else {
                        to.write_bytes(0, COLUMNS);
                    }
                }
            }
            let to = own.panels.wrapping_add(word * K::LANES);
            // SAFETY: the rows have just been written, and the panels have this word.
            unsafe { K::interleave(own.between, columns.len(), to, words * K::LANES) };
        }
    }
}
