//! The loss of all tokens: block after block of them meets tile after tile of the vocabulary.

use std::ops::Range;

use super::CrossEntropy;
use super::row::{State, Tile};
use super::target::finish;
use crate::kernels::{
    Crew, Level, Need, Product, ProductBack, Queue, Scratch, Vectors, Weight, gemm,
};

/// Tokens of a block, at most: for each, the weight is dequantized anew.
const TOKENS: usize = 512;
/// Logits of a block in a tile, at most: 2 MiB stay in the caches until they have become sums.
const LOGITS: usize = 1 << 19;
/// Rows of the vocabulary in a tile, at most.
const ROWS: usize = 2048;

/// How large blocks and tiles are, and where things lie in the scratch.
#[derive(Clone, Copy)]
struct Plan {
    /// Tokens of a block.
    tokens: usize,
    /// Rows of a tile.
    rows: usize,
}

impl Plan {
    fn new(op: &CrossEntropy) -> Self {
        // As equal as can be: a small rest would cost as much dequantizing as a whole block.
        let tokens = op.tokens.div_ceil(op.tokens.div_ceil(TOKENS));
        let most = (LOGITS / tokens).clamp(32, ROWS);
        let rows = op.weight.rows.div_ceil(op.weight.rows.div_ceil(most)).next_multiple_of(32);
        Self { tokens, rows }
    }

    /// Bytes of the logits, and of what is known of the tokens.
    fn bytes(&self) -> [usize; 2] {
        let states = self.tokens * size_of::<State>();
        [4 * self.tokens * self.rows, states.next_multiple_of(64)]
    }
}

/// What the loss works with, if there are kernels for its products.
pub(super) fn need(op: &CrossEntropy, level: Level) -> Option<Need> {
    let plan = Plan::new(op);
    let rows = 0..plan.rows.min(op.weight.rows);
    let tile = VocabularyTile::new(op, 0..plan.tokens, rows, std::ptr::null_mut());
    let mut products = gemm::need(&tile.logits(), level)?;
    if !op.gradient.is_null() {
        products = products.max(tile.sums().need(level)?);
    }
    let [logits, states] = plan.bytes();
    let row = 4 * op.weight.width;
    Some(Need { shared: logits + states + products.shared, own: products.own.max(row) })
}

/// Computes it.
///
/// # Safety
/// As for [`CrossEntropy::run`].
pub(super) unsafe fn run(op: &CrossEntropy, level: Level, crew: Crew, scratch: Scratch) {
    let plan = Plan::new(op);
    let [logits, states] = plan.bytes();
    let at = scratch.shared;
    let states_at = at.wrapping_add(logits).cast::<State>();
    let products = Scratch { shared: at.wrapping_add(logits + states), own: scratch.own };
    let mut queue = Queue::new(0);
    for start in (0..op.tokens).step_by(plan.tokens) {
        let tokens = start..op.tokens.min(start + plan.tokens);
        let own = crew.share(tokens.len(), 1);
        for row in (0..op.weight.rows).step_by(plan.rows) {
            let rows = row..op.weight.rows.min(row + plan.rows);
            let tile = VocabularyTile::new(op, tokens.clone(), rows, at.cast());
            // SAFETY: the scratch has the size that `need` said; a token's logits, state and gradient are one thread's
            // between two waits. The products wait for all threads before they use their scratch.
            unsafe {
                gemm::run(&tile.logits(), level, crew, products, &mut queue);
                crew.wait();
                if crew.has_failed() {
                    return;
                }
                for i in own.clone() {
                    let state = states_at.add(i);
                    let before = if row == 0 { State::START } else { *state };
                    state.write(tile.add(i, level, before));
                }
                crew.wait();
                if !op.gradient.is_null() {
                    tile.sums().run_in(level, crew, products, &mut queue);
                }
            }
        }
        crew.wait();
        for i in own {
            // SAFETY: all sums are complete; each token is one thread's, and so is the memory for a row.
            unsafe { finish(op, level, start + i, &*states_at.add(i), scratch.own.cast()) };
        }
    }
}

/// A block of tokens and a tile of the vocabulary.
struct VocabularyTile<'a> {
    op: &'a CrossEntropy,
    tokens: Range<usize>,
    rows: Range<usize>,
    /// `[rows, tokens]`.
    logits: *mut f32,
}

impl<'a> VocabularyTile<'a> {
    fn new(
        op: &'a CrossEntropy,
        tokens: Range<usize>,
        rows: Range<usize>,
        logits: *mut f32,
    ) -> Self {
        Self { op, tokens, rows, logits }
    }

    /// The tile's rows of the weight.
    fn weight(&self) -> Weight {
        let weight = self.op.weight;
        let data = weight.data.wrapping_add(self.rows.start * weight.stride);
        Weight { data, rows: self.rows.len(), ..weight }
    }

    /// Where the block's gradient lies, if anybody wants it.
    fn gradient(&self) -> *mut f32 {
        self.op.gradient.wrapping_add(self.tokens.start * self.op.weight.width)
    }

    /// The logits as a product.
    fn logits(&self) -> Product {
        let width = self.op.weight.width;
        Product {
            weight: self.weight(),
            x: Vectors::to_read(self.op.hidden, width).from(self.tokens.start),
            tokens: self.tokens.len(),
            y: Vectors::new(self.logits, self.rows.len()),
            to_bytes: false,
            is_packed: false,
        }
    }

    /// What their weights add to the sums of rows, as a product.
    fn sums(&self) -> ProductBack {
        ProductBack {
            weight: self.weight(),
            dy: Vectors::to_read(self.logits, self.rows.len()),
            tokens: self.tokens.len(),
            dx: Vectors::new(self.gradient(), self.op.weight.width),
            accumulate: self.rows.start > 0,
        }
    }

    /// Adds the logits of token `i` to what is known of it, and makes weights of them.
    ///
    /// # Safety
    /// The processor has the level; only this thread uses the token's logits and gradient.
    unsafe fn add(&self, i: usize, level: Level, state: State) -> State {
        let (n, width) = (self.rows.len(), self.op.weight.width);
        let keeps = !self.op.gradient.is_null();
        let has_sums = keeps && self.rows.start > 0;
        // SAFETY: the token's, as the caller says; tiles before have written the sums.
        unsafe {
            let logits = std::slice::from_raw_parts_mut(self.logits.add(i * n), n);
            let sums: &mut [f32] = if has_sums {
                std::slice::from_raw_parts_mut(self.gradient().add(i * width), width)
            } else {
                &mut []
            };
            let target = *self.op.targets.add(self.tokens.start + i) as usize;
            let target = self.rows.contains(&target).then(|| target - self.rows.start);
            let tile =
                Tile { logits, first: self.rows.start, target, cap: self.op.cap, sums, keeps };
            tile.add(level, state)
        }
    }
}
