//! How activations lie beside the weights that they are multiplied with.

use std::arch::x86_64::{__m512, __m512i};

/// Elements that share a scale.
pub(super) const BLOCK: usize = 32;
/// Bytes of a quarter of the widest vectors: there are four of 32 bits in it, one for each of [`ROWS`].
pub(super) const QUARTER: usize = 16;
/// Rows that are computed together: the quarters of their sums are added up side by side.
pub(super) const ROWS: usize = 4;

/// The order of the activations in one step of a type's kernel: they are moved once, so that weights need not be.
///
/// A step is some units. Each quarter of a unit's vectors has a scale of its own among the weights. A unit is, in this
/// order: its vectors of quants; the quarters' scales; what belongs to [`Extra`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Layout {
    /// Bytes of a vector.
    pub vector: usize,
    /// Vectors of quants in a unit. With two, a block is a quarter of both; with one, two quarters of it.
    pub vectors: usize,
    /// Blocks of a step.
    pub blocks: usize,
    /// Blocks that are put in another order, then so many again.
    pub group: usize,
    /// In what order: all those whose number divided by this leaves 0, then 1, and so on.
    pub interleave: usize,
    pub extra: Extra,
}

/// What a unit of activations has besides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extra {
    None,
    /// Each lane's sum times minus what was added to the weights' quants, which makes up for that.
    Lanes(i32),
    /// Each quarter's sum, with its scale, times something.
    Quarters(i32),
}

impl Layout {
    /// Blocks of a unit.
    pub(super) const fn unit_blocks(&self) -> usize {
        self.vector / BLOCK * self.vectors
    }

    /// Where a block of the step lies, counted in blocks.
    pub(super) const fn slot(&self, block: usize) -> usize {
        let (group, block) = (block / self.group, block % self.group);
        let parts = self.group / self.interleave;
        group * self.group + block % self.interleave * parts + block / self.interleave
    }

    /// Where a unit's scales are.
    pub(super) const fn scales_at(&self) -> usize {
        self.vector * self.vectors
    }

    /// Where a unit's [`Extra`] is.
    pub(super) const fn extra_at(&self) -> usize {
        self.scales_at() + self.vector
    }

    /// Bytes of a unit.
    pub(super) const fn unit_bytes(&self) -> usize {
        self.extra_at() + if matches!(self.extra, Extra::None) { 0 } else { self.vector }
    }

    /// Bytes of a step.
    pub(super) const fn step_bytes(&self) -> usize {
        self.blocks / self.unit_blocks() * self.unit_bytes()
    }

    /// Steps of a row: the last may have fewer blocks.
    pub(super) const fn steps(&self, width: usize) -> usize {
        width.div_ceil(BLOCK * self.blocks)
    }

    /// Whether a row may have fewer blocks in its last step than in others: not if a step is the type's own block.
    pub(super) const fn may_end_early(&self) -> bool {
        self.blocks * BLOCK < 256
    }

    /// Bytes of one token's activations.
    pub(super) const fn bytes(&self, width: usize) -> usize {
        self.steps(width) * self.step_bytes()
    }
}

/// What the units of a step are multiplied with: for each quarter four lanes, those of the four rows.
#[derive(Clone, Copy)]
pub(super) struct Factors<const U: usize> {
    pub scales: [__m512; U],
    /// What the quarters' sums are multiplied with; never looked at if the layout has none.
    pub mins: [__m512; U],
}

/// A type of weights: units of `V` vectors, `U` of them a step.
///
/// `blocks` says how many blocks of a step there are: the others are zeros, and not read. Every method needs AVX-512 F,
/// BW, VL and DQ.
pub(super) trait Format<const U: usize, const V: usize> {
    const LAYOUT: Layout;
    /// Bytes of a whole step of weights.
    const BYTES: usize;

    /// The factors of four rows.
    ///
    /// # Safety
    /// The processor has the instructions; the blocks can be read.
    unsafe fn factors(rows: &[*const u8; ROWS], blocks: usize) -> Factors<U>;

    /// A unit of one row: bytes without sign.
    ///
    /// # Safety
    /// The processor has the instructions; the blocks can be read.
    unsafe fn quants<const UNIT: usize>(row: *const u8, blocks: usize) -> [__m512i; V];
}
