//! How activations lie beside the weights that they are multiplied with.

use std::arch::x86_64::{__m512, __m512i};

/// Elements that share a scale.
pub(super) const BLOCK: usize = 32;
/// Bytes of a vector.
const VECTOR: usize = 64;
/// Rows that are computed together: the quarters of their sums are added up side by side.
pub(super) const ROWS: usize = 4;

/// The order of the activations in one step of a type's kernel: they are moved once, so that weights need not be.
///
/// A step is some units. Each quarter of a unit's vectors has a scale of its own among the weights. A unit is, in this
/// order: its vectors of quants; if something was added to the weights' quants, the lanes' sums times minus that; the
/// quarters' scales; if the type has minimums, the quarters' sums.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layout {
    /// Blocks of a step.
    pub blocks: usize,
    /// Vectors of quants in a unit. With two, a block is a quarter of both; with one, two quarters of it.
    pub vectors: usize,
    /// What was added to the weights' quants.
    pub offset: i32,
    /// Whether the type adds a minimum to each weight.
    pub sums: bool,
    /// In what order the blocks lie: all those whose number divided by this leaves 0, then 1, and so on.
    pub interleave: usize,
}

impl Layout {
    /// Where a block of the step lies, counted in blocks.
    pub(super) const fn slot(&self, block: usize) -> usize {
        block % self.interleave * (self.blocks / self.interleave) + block / self.interleave
    }

    /// Units of a step.
    pub(super) const fn units(&self) -> usize {
        self.blocks / (2 * self.vectors)
    }

    /// Where a unit's lane sums are.
    pub(super) const fn offsets_at(&self) -> usize {
        VECTOR * self.vectors
    }

    /// Where a unit's scales are.
    pub(super) const fn scales_at(&self) -> usize {
        self.offsets_at() + VECTOR * (self.offset != 0) as usize
    }

    /// Where a unit's sums are.
    pub(super) const fn sums_at(&self) -> usize {
        self.scales_at() + VECTOR
    }

    /// Bytes of a unit.
    pub(super) const fn unit_bytes(&self) -> usize {
        self.sums_at() + VECTOR * self.sums as usize
    }

    /// Bytes of a step.
    pub(super) const fn step_bytes(&self) -> usize {
        self.units() * self.unit_bytes()
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
    /// What is multiplied with the sums; never looked at if the layout has none.
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
