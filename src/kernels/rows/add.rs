//! Sums of two rows, element by element.

use std::ops::Range;

use crate::kernels::Level;
use crate::kernels::lanes::{self, Kernel, Lanes};

/// `y = a + b`. Strides are in floats, from one row to the next.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AddForward {
    pub width: usize,
    pub a: *const f32,
    pub a_stride: usize,
    pub b: *const f32,
    pub b_stride: usize,
    pub y: *mut f32,
    pub y_stride: usize,
}

impl AddForward {
    /// Computes some rows.
    ///
    /// # Safety
    /// The processor has the level, which is AVX2 or more; the rows are there. Each row of `y` is where a row of the same
    /// number of `a` or `b` is, or where no other row is.
    pub(crate) unsafe fn run_rows(&self, level: Level, rows: Range<usize>) {
        // SAFETY: by the contract of this function.
        unsafe { lanes::run(level, AddRows { add: self, rows }) };
    }
}

struct AddRows<'a> {
    add: &'a AddForward,
    rows: Range<usize>,
}

impl Kernel for AddRows<'_> {
    #[inline(always)]
    unsafe fn run<L: Lanes>(self) {
        let s = self.add;
        for row in self.rows {
            let (a, b) = (s.a.wrapping_add(row * s.a_stride), s.b.wrapping_add(row * s.b_stride));
            let y = s.y.wrapping_add(row * s.y_stride);
            for i in (0..s.width).step_by(L::N) {
                let n = s.width - i;
                // SAFETY: within the rows, of which as many lanes are used as are left; all is read before it is written.
                unsafe {
                    let sum = L::add(L::load_first(n, a.add(i)), L::load_first(n, b.add(i)));
                    L::store_first(n, y.add(i), sum);
                }
            }
        }
    }
}
