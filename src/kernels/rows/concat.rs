//! Rows that continue others: keys and queries of two parts, and the windows that convolutions slide along.

use std::ops::Range;

use crate::kernels::lanes::{self, Kernel, Lanes};
use crate::kernels::{Crew, Level, Need, Scratch};

/// Rows that are one thread's at a time: where columns become rows, a line of memory of each column.
const TOGETHER: usize = 16;
/// Fewer columns are copied element by element: stores of a part of a vector take longer than that on some processors.
const LEAST_WIDTH: usize = 4;

/// A tensor that is read: floats from one element to the next in each dimension. One of the first two has no gaps.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parts {
    pub at: *const f32,
    /// Elements of a row.
    pub width: usize,
    pub strides: [usize; 4],
}

/// `y = [a, b]`, row by row. Strides are in floats.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Concat {
    pub parts: [Parts; 2],
    /// Rows, sheets of rows, and books of sheets.
    pub rows: usize,
    pub sheets: usize,
    pub books: usize,
    /// It overlaps nothing that is read.
    pub y: *mut f32,
    /// From one row, sheet and book to the next.
    pub y_strides: [usize; 3],
}

impl Concat {
    /// What it works with; `None` where it is not offered.
    pub(crate) fn need(&self, level: Level) -> Option<Need> {
        let is_known = |part: &Parts| part.strides[0] == 1 || part.strides[1] == 1;
        let is_offered = level >= Level::Avx2 && self.parts.iter().all(is_known);
        is_offered.then_some(Need::default())
    }

    /// Computes this thread's share.
    ///
    /// # Safety
    /// [`need`](Self::need) offered it for this level, which the processor has; the pointers are valid for the shape.
    pub(crate) unsafe fn run(&self, level: Level, crew: Crew<'_>, _scratch: Scratch) {
        let pieces = self.rows.div_ceil(TOGETHER);
        for i in crew.share(pieces * self.sheets * self.books, 1) {
            let (sheet, first) = (i / pieces, i % pieces * TOGETHER);
            let rows = first..self.rows.min(first + TOGETHER);
            let place = [sheet % self.sheets, sheet / self.sheets];
            let mut column = 0;
            for part in &self.parts {
                let y = self.y.wrapping_add(column + along(place, &self.y_strides[1..]));
                let from = part.at.wrapping_add(along(place, &part.strides[2..]));
                let [next, row, ..] = part.strides;
                let (to, rows) = ((y, self.y_strides[0]), rows.clone());
                let some = Rows { from, width: part.width, strides: [next, row], to, rows };
                // SAFETY: by the contract of this function; shares are disjoint.
                unsafe { lanes::run(level, some) };
                column += part.width;
            }
        }
    }
}

/// Floats to the sheet of a book.
fn along(place: [usize; 2], strides: &[usize]) -> usize {
    place.iter().zip(strides).map(|(i, stride)| i * stride).sum()
}

/// Some rows of a sheet.
struct Rows {
    from: *const f32,
    width: usize,
    strides: [usize; 2],
    /// The first row, and floats from one to the next.
    to: (*mut f32, usize),
    rows: Range<usize>,
}

impl Kernel for Rows {
    #[inline(always)]
    unsafe fn run<L: Lanes>(self) {
        let Self { from, width, strides: [next, row], to: (to, to_row), rows } = self;
        // SAFETY: by the contract of `Concat::run`.
        unsafe {
            if next == 1 || width < LEAST_WIDTH {
                for (from, to) in rows.map(|i| (from.add(i * row), to.add(i * to_row))) {
                    let whole = if next == 1 { width / L::N * L::N } else { 0 };
                    for column in (0..whole).step_by(L::N) {
                        L::store(to.add(column), L::load(from.add(column)));
                    }
                    for column in whole..width {
                        *to.add(column) = *from.add(column * next);
                    }
                }
                return;
            }
            for column in (0..width).step_by(L::N) {
                let columns = L::N.min(width - column);
                for first in rows.clone().step_by(L::N) {
                    let count = L::N.min(rows.end - first);
                    let from = from.add(column * next + first);
                    let to = to.add(first * to_row + column);
                    L::transpose_some(from, next, [columns, count], to, to_row, columns);
                }
            }
        }
    }
}
