//! Rows of keys or values, picked from the cache by the numbers of their cells.

use super::rows;
use super::tile::Tile;
use crate::kernels::lanes::Lanes;
use crate::kernels::{WeightType, dequant};

/// Bytes of a line of memory.
const LINE: usize = 64;
/// Bytes that should be on their way while earlier ones are computed with. Measured: nearer ones come late, with
/// further ones reading is slower again.
const AHEAD: usize = 6144;

/// Rows of one head that lie at equal distances.
#[derive(Clone, Copy)]
pub(super) struct Rows {
    pub weight_type: WeightType,
    pub at: *const u8,
    /// Bytes from one row to the next.
    pub stride: usize,
    /// Elements of a row.
    pub width: usize,
    /// Bytes of a row.
    bytes: usize,
    /// How far, in bytes, the rows are that should be on their way while these are computed with.
    pub ahead: usize,
}

impl Rows {
    /// Rows in a cache.
    fn new(weight_type: WeightType, at: *const u8, stride: usize, width: usize) -> Self {
        let ahead = (AHEAD / stride.max(1)).clamp(4, 16) * stride;
        let bytes = weight_type.bytes_of(width);
        Self { weight_type, at, stride, width, bytes, ahead }
    }

    /// Row `i`.
    ///
    /// # Safety
    /// There are more than `i` rows.
    #[inline(always)]
    pub(super) unsafe fn row(&self, i: usize) -> *const u8 {
        // SAFETY: the caller's.
        unsafe { self.at.add(i * self.stride) }
    }

    /// Has a row brought near that will be read some time after row `i`.
    ///
    /// # Safety
    /// As [`Rows::row`], and the processor has the instructions of `L`.
    #[inline(always)]
    pub(super) unsafe fn prefetch<L: Lanes>(&self, i: usize) {
        // SAFETY: the caller's; nothing is read from what may lie behind the last row.
        unsafe {
            let at = self.row(i).wrapping_add(self.ahead);
            for line in (0..self.bytes).step_by(LINE) {
                L::prefetch(at.wrapping_add(line));
            }
        }
    }
}

/// Rows of a head for some of the block's cells.
#[derive(Clone, Copy)]
pub(super) struct Picked {
    /// Of all cells.
    rows: Rows,
    numbers: *const u32,
    count: usize,
}

impl Picked {
    /// The keys of a tile's group, for `count` of the block's cells from `first` on.
    ///
    /// # Safety
    /// As [`super::tile::run`]; the tile has such a group, and the block such cells.
    #[inline(always)]
    pub(super) unsafe fn keys(tile: &Tile<'_>, group: usize, first: usize, count: usize) -> Self {
        let a = tile.a;
        // SAFETY: the caller's.
        unsafe {
            let at = a.k.add((tile.groups.start + group) * a.k_head);
            Self {
                rows: Rows::new(a.k_type, at, a.k_token, a.head_k),
                numbers: tile.numbers().add(first),
                count,
            }
        }
    }

    /// The values of a tile's group, for `count` of the block's cells from `first` on.
    ///
    /// # Safety
    /// As [`super::tile::run`]; the tile has such a group, and the block such cells.
    #[inline(always)]
    pub(super) unsafe fn values(tile: &Tile<'_>, group: usize, first: usize, count: usize) -> Self {
        let a = tile.a;
        // SAFETY: the caller's.
        unsafe {
            let at = a.v.add((tile.groups.start + group) * a.v_head);
            Self {
                rows: Rows::new(a.v_type, at, a.v_token, a.head_v),
                numbers: tile.numbers().add(first),
                count,
            }
        }
    }

    /// Copies them as f32 to rows so many floats apart.
    ///
    /// # Safety
    /// The processor has the instructions of `L`; the cells exist, and there is room for their rows.
    #[inline(always)]
    pub(super) unsafe fn copy<L: Lanes>(&self, tile: &Tile<'_>, to: *mut f32, apart: usize) {
        let Rows { weight_type, width, .. } = self.rows;
        for i in 0..self.count {
            // SAFETY: the caller's.
            unsafe {
                let from = self.rows.row(*self.numbers.add(i) as usize);
                rows::copy::<L>(tile.level, weight_type, from, width, to.add(i * apart));
            }
        }
    }

    /// Copies them as bf16 to rows so many words apart.
    ///
    /// # Safety
    /// The processor has the tile's level; the cells exist, and there is room for their rows.
    #[cfg(target_arch = "x86_64")]
    pub(super) unsafe fn round(&self, tile: &Tile<'_>, to: *mut u32, apart: usize) {
        let Rows { weight_type, width, .. } = self.rows;
        for i in 0..self.count {
            // SAFETY: the caller's.
            unsafe {
                let from = self.rows.row(*self.numbers.add(i) as usize);
                let to = to.add(i * apart).cast();
                dequant::to_bf16(tile.level, weight_type, from, 0, width, to);
            }
        }
    }

    /// Where they lie, if they are of a simple type and at equal distances; else a copy, as [`Picked::copy`] makes it.
    ///
    /// # Safety
    /// As [`Picked::copy`]; there is at least one.
    #[inline(always)]
    pub(super) unsafe fn readable<L: Lanes>(
        &self,
        tile: &Tile<'_>,
        to: *mut f32,
        apart: usize,
    ) -> Rows {
        // SAFETY: the caller's. The numbers ascend, but for those at the end that fill up a block with the last one.
        unsafe {
            let (first, last) = (*self.numbers, *self.numbers.add(self.count - 1));
            let is_full = self.count == 1 || *self.numbers.add(self.count - 2) != last;
            let is_simple = matches!(self.rows.weight_type, WeightType::F16 | WeightType::F32);
            if is_simple && is_full && (last - first) as usize == self.count - 1 {
                return Rows { at: self.rows.row(first as usize), ..self.rows };
            }
            self.copy::<L>(tile, to, apart);
        }
        let (at, stride, ahead) = (to.cast_const().cast(), apart * 4, 0);
        Rows { weight_type: WeightType::F32, at, stride, ahead, ..self.rows }
    }
}
