//! Rows that are put where numbers say: new keys and values into their cells of a cache.

use std::ops::Range;

use crate::kernels::dequant::round_to_bf16;
use crate::kernels::lanes::{self, Kernel, Lanes};
use crate::kernels::{Level, WeightType};

/// Rows of floats, written in the type of the table that they become rows of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SetRows {
    /// Elements of a row.
    pub width: usize,
    pub x: *const f32,
    /// Floats from one row to the next.
    pub x_stride: usize,
    /// Which row of the table each one becomes.
    pub numbers: *const i64,
    /// F32, F16 or BF16.
    pub kind: WeightType,
    pub table: *mut u8,
    /// Bytes from one row of the table to the next.
    pub table_stride: usize,
    /// Rows of the table.
    pub table_rows: usize,
}

impl SetRows {
    /// Whether it is offered.
    pub(crate) fn is_offered(&self, level: Level) -> bool {
        level >= Level::Avx2 && Self::makes(self.kind)
    }

    /// Whether rows of a type can be made.
    pub(crate) fn makes(kind: WeightType) -> bool {
        matches!(kind, WeightType::F32 | WeightType::F16 | WeightType::Bf16)
    }

    /// Writes some elements of some rows. Panics if a number is not one of the table's.
    ///
    /// # Safety
    /// [`is_offered`](Self::is_offered) at this level, which the processor has; the rows, the numbers and the table are
    /// there, and nobody else writes these elements.
    pub(super) unsafe fn run_part(&self, level: Level, [rows, elements]: [Range<usize>; 2]) {
        for row in rows {
            // SAFETY: there is a number for each row.
            let number = unsafe { *self.numbers.add(row) };
            let number = usize::try_from(number).unwrap_or(usize::MAX);
            assert!(number < self.table_rows, "row {number} of a cache of {}", self.table_rows);
            let bytes = self.kind.bytes();
            let row = Elements {
                kind: self.kind,
                count: elements.len(),
                x: self.x.wrapping_add(row * self.x_stride + elements.start),
                y: self.table.wrapping_add(number * self.table_stride + elements.start * bytes),
            };
            // SAFETY: by the contract of this function; the row is one of the table's.
            unsafe { lanes::run(level, row) };
        }
    }
}

/// The widest vectors' floats.
const MOST_LANES: usize = 16;

/// Elements of a row.
struct Elements {
    kind: WeightType,
    count: usize,
    x: *const f32,
    y: *mut u8,
}

impl Kernel for Elements {
    #[inline(always)]
    unsafe fn run<L: Lanes>(self) {
        let Self { kind, count, x, y } = self;
        let mut last = [0u16; MOST_LANES];
        // SAFETY: below the count, by the contract of `SetRows::run_part`; rows of a table have the alignment of its elements.
        unsafe {
            match kind {
                WeightType::F32 => y.cast::<f32>().copy_from_nonoverlapping(x, count),
                WeightType::F16 => {
                    for i in (0..count).step_by(L::N) {
                        let (left, to) = (count - i, y.cast::<u16>().add(i));
                        if left >= L::N {
                            L::store_f16(to, L::load(x.add(i)));
                        } else {
                            L::store_f16(last.as_mut_ptr(), L::load_first(left, x.add(i)));
                            to.copy_from_nonoverlapping(last.as_ptr(), left);
                        }
                    }
                }
                _ => round_to_bf16(x, count, y.cast()),
            }
        }
    }
}
