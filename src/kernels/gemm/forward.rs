//! The product for many tokens: panels of weights, dequantized and packed once for all tokens of a block.

use std::marker::PhantomData;
use std::ops::Range;

use super::super::{Crew, Need, Product, Queue, Scratch, Weight, WeightType};
use super::kernel::{Kernel, Rows};
use super::pack::{self, Tokens};
use super::plan::{self, Parts};
use super::sweep::{Sums, sweep};

/// A product on the GEMM of one level.
pub(super) struct Forward<'a, K> {
    product: &'a Product,
    kernel: PhantomData<K>,
}

/// Where a thread works.
struct Own {
    /// Rows before they are transposed.
    between: Rows,
    /// The packed weights of a panel.
    panel: *mut u32,
    /// For each token, the sums of the panel's rows.
    sums: Sums,
}

impl<'a, K: Kernel> Forward<'a, K> {
    pub(super) fn new(product: &'a Product) -> Self {
        const { assert!(K::ELEMENTS.is_multiple_of(256), "parts of rows are whole blocks") };
        Self { product, kernel: PhantomData }
    }

    pub(super) fn need(&self) -> Need {
        let tokens = Parts::of_tokens(self.product.tokens).most();
        let words = K::words(self.product.weight.width);
        let own = Rows::words::<K>() + K::LANES * K::WORDS + K::LANES * tokens;
        Need { shared: 4 * tokens * words, own: 4 * own }
    }

    /// Computes the product together with the crew's other threads.
    ///
    /// # Safety
    /// The processor has the kernel's level; as for [`Product::run`].
    pub(super) unsafe fn run(&self, crew: Crew<'_>, scratch: Scratch, queue: &mut Queue) {
        let Product { weight, x, x_stride, y, y_stride, .. } = *self.product;
        let panel = scratch.own.cast::<u32>().wrapping_add(Rows::words::<K>());
        let sums = panel.wrapping_add(K::LANES * K::WORDS).cast();
        let own = Own {
            between: Rows::new::<K>(scratch.own),
            panel,
            sums: Sums { data: sums, stride: K::LANES },
        };
        for block in Parts::of_tokens(self.product.tokens).all() {
            let vectors = Weight {
                weight_type: WeightType::F32,
                data: x.wrapping_add(block.start * x_stride).cast(),
                stride: 4 * x_stride,
                rows: block.len(),
                width: weight.width,
            };
            let tokens = Tokens::new::<K>(&vectors, scratch.shared);
            // SAFETY: the caller's.
            unsafe { tokens.pack_together::<K>(&vectors, crew, own.between) };
            let y = Sums { data: y.wrapping_add(block.start * y_stride), stride: y_stride };
            let panels = weight.rows.div_ceil(K::LANES);
            let splits = plan::splits(panels, crew.count, &tokens);
            while let Some(piece) = queue.next(&crew, panels * splits) {
                let first = piece / splits * K::LANES;
                let rows = first..weight.rows.min(first + K::LANES);
                let tiles = tokens.part(piece % splits, splits);
                // SAFETY: the caller's; every piece is one thread's.
                unsafe { self.panel(rows, (&tokens, tiles), y, &own) };
            }
        }
    }

    /// Computes the values of some rows, at most `LANES`, for some tiles of tokens.
    ///
    /// # Safety
    /// As for [`Self::run`].
    unsafe fn panel(
        &self,
        rows: Range<usize>,
        (tokens, tiles): (&Tokens, Range<usize>),
        y: Sums,
        own: &Own,
    ) {
        let weight = &self.product.weight;
        let y = Sums { data: y.data.wrapping_add(rows.start), ..y };
        let whole = rows.len() == K::LANES;
        let unit = plan::unit(weight).unwrap_or(1);
        for part in Parts::new(weight.width, K::ELEMENTS, unit).all() {
            for first in rows.clone().step_by(K::SIDE) {
                let some = first..rows.end.min(first + K::SIDE);
                let to = own.panel.wrapping_add(first - rows.start);
                // SAFETY: a part is whole blocks, and no more words than the scratch holds.
                unsafe {
                    pack::rows::<K>(weight, some, part.clone(), own.between, to, K::LANES);
                }
            }
            let words = K::words(part.start)..K::words(part.end);
            let from = (part.start > 0).then_some(own.sums);
            let to = if whole && part.end == weight.width { y } else { own.sums };
            // SAFETY: just packed; the sums have place for all tokens, and so has `y` for a whole panel.
            unsafe { sweep::<K>(own.panel, words, (tokens, tiles.clone()), from, to) };
        }
        if !whole {
            // SAFETY: `y` has these rows; what lies behind them is not touched.
            unsafe { own.sums.copy(y, tokens.of_tiles(&tiles), rows.len()) };
        }
    }
}
