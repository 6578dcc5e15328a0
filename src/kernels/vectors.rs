//! Where the vectors of tokens lie.

use std::ops::Range;

/// Vectors of f32 at even distances, or some of them by their numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Vectors {
    data: *mut f32,
    stride: usize,
    /// Null: all of them, in order.
    numbers: *const u32,
}

impl Vectors {
    /// Vectors that begin so many floats apart.
    pub(crate) fn new(data: *mut f32, stride: usize) -> Self {
        Self { data, stride, numbers: std::ptr::null() }
    }

    /// The same to read from alone.
    pub(crate) fn to_read(data: *const f32, stride: usize) -> Self {
        Self::new(data.cast_mut(), stride)
    }

    /// Those of some numbers, in this order.
    pub(crate) fn picked(self, numbers: *const u32) -> Self {
        Self { numbers, ..self }
    }

    /// The addresses from the first element of `count` vectors to the last, if they are all that there are.
    pub(crate) fn span(&self, count: usize, width: usize) -> Range<usize> {
        let start = self.data.addr();
        let floats = count.saturating_sub(1) * self.stride + width;
        start..start + floats * size_of::<f32>()
    }

    /// Floats from one to the next; `None` if they are picked.
    pub(crate) fn distance(&self) -> Option<usize> {
        self.numbers.is_null().then_some(self.stride)
    }

    /// The same from vector `first` on.
    pub(crate) fn from(self, first: usize) -> Self {
        if self.numbers.is_null() {
            Self { data: self.data.wrapping_add(first * self.stride), ..self }
        } else {
            Self { numbers: self.numbers.wrapping_add(first), ..self }
        }
    }

    /// The same vectors from their element `first` on.
    pub(crate) fn elements(self, first: usize) -> Self {
        Self { data: self.data.wrapping_add(first), ..self }
    }

    /// Where vector `i` begins.
    ///
    /// # Safety
    /// If the vectors are picked, there is such a number.
    #[inline(always)]
    pub(crate) unsafe fn at(&self, i: usize) -> *mut f32 {
        // SAFETY: the caller's.
        let i = if self.numbers.is_null() { i } else { unsafe { *self.numbers.add(i) as usize } };
        self.data.wrapping_add(i * self.stride)
    }

    /// Copies the first `n` elements of some of them.
    ///
    /// # Safety
    /// They exist here and there, and do not overlap.
    pub(crate) unsafe fn copy(&self, to: Vectors, some: Range<usize>, n: usize) {
        // A few at a time: calling a function takes longer than that.
        const FEW: usize = 8;
        for i in some {
            // SAFETY: the caller's.
            unsafe {
                let (from, to) = (self.at(i), to.at(i));
                let whole = n - n % FEW;
                for k in (0..whole).step_by(FEW) {
                    let few = from.add(k).cast::<[f32; FEW]>().read_unaligned();
                    to.add(k).cast::<[f32; FEW]>().write_unaligned(few);
                }
                for k in whole..n {
                    *to.add(k) = *from.add(k);
                }
            }
        }
    }
}
