//! Concatenations of rows and of columns, with gaps between all that is read and written.

use super::{Concat, Parts};
use crate::kernels::Level;
use crate::kernels::oracle::random_floats;
use crate::kernels::testing::{Together, levels, run_crew};

const GAP: f32 = 7.5;

/// What a part holds and where.
struct Given {
    data: Vec<f32>,
    width: usize,
    strides: [usize; 4],
}

impl Given {
    /// Rows, or columns if `turned`.
    fn new(width: usize, [rows, sheets, books]: [usize; 3], turned: bool, seed: u64) -> Self {
        let [inner, outer] = if turned { [rows, width] } else { [width, rows] };
        let (line, sheet) = (inner + 2, outer * (inner + 2) + 3);
        let data = random_floats(sheets * books * sheet, seed);
        let steps = if turned { [line, 1] } else { [1, line] };
        Self { data, width, strides: [steps[0], steps[1], sheet, sheets * sheet] }
    }

    fn parts(&self) -> Parts {
        Parts { at: self.data.as_ptr(), width: self.width, strides: self.strides }
    }

    fn element(&self, place: [usize; 4]) -> f32 {
        self.data[place.iter().zip(self.strides).map(|(i, stride)| i * stride).sum::<usize>()]
    }
}

#[test]
fn rows_continue_with_rows_or_columns() {
    let shapes = [[3, 5, 1, 1, 1], [64, 16, 40, 1, 2], [1, 33, 2, 3, 3], [19, 100, 1, 2, 2]];
    let sides = [[false, false], [false, true], [true, false], [true, true]];
    for level in levels() {
        for ([width, rows, sheets, books, threads], turned) in
            shapes.into_iter().flat_map(|shape| sides.map(|turned| (shape, turned)))
        {
            let size = [rows, sheets, books];
            let given = [
                Given::new(width, size, turned[0], 1),
                Given::new(2 * width + 1, size, turned[1], 2),
            ];
            let whole = 3 * width + 1;
            let (row, sheet) = (whole + 1, rows * (whole + 1) + 2);
            let mut y = vec![GAP; sheets * books * sheet];
            let concat = Together(Concat {
                parts: given.each_ref().map(Given::parts),
                rows,
                sheets,
                books,
                y: y.as_mut_ptr(),
                y_strides: [row, sheet, sheets * sheet],
            });
            let need = concat.get().need(level).expect("a kernel");
            // SAFETY: the data is as the shape says, and the level one of the processor's.
            run_crew(threads, need, |crew, s| unsafe { concat.get().run(level, crew, s) });
            for (i, y) in y.iter().enumerate() {
                let (page, rest) = (i / sheet, i % sheet);
                let (line, column) = (rest / row, rest % row);
                let place = |column| [column, line, page % sheets, page / sheets];
                let expected = match column {
                    _ if line >= rows || column >= whole => GAP,
                    _ if column < width => given[0].element(place(column)),
                    _ => given[1].element(place(column - width)),
                };
                assert_eq!(*y, expected, "{level:?} {turned:?} {size:?} {i}");
            }
        }
    }
}

#[test]
fn tensors_with_gaps_in_both_dimensions_are_the_engines() {
    let given = Given::new(3, [4, 1, 1], false, 1);
    let mut y = [0f32; 32];
    let parts = given.parts();
    let y_strides = [6, 24, 24];
    let known =
        Concat { parts: [parts; 2], rows: 4, sheets: 1, books: 1, y: y.as_mut_ptr(), y_strides };
    assert!(known.need(Level::Avx2).is_some() && known.need(Level::None).is_none());
    let apart = Parts { strides: [2, 6, 24, 24], ..parts };
    assert!(Concat { parts: [parts, apart], ..known }.need(Level::Avx2).is_none());
}
