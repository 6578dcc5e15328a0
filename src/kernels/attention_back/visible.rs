//! Which tiles of the scores the mask lets through.

use crate::kernels::lanes::Lanes;

/// What a tile's queries see of its keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sight {
    /// From the first query that sees a key to the one after the last.
    pub queries: [u8; 2],
    /// From the first key that is seen to the one after the last.
    pub keys: [u8; 2],
    /// Whether the mask, which need not be added then, is zero in the whole tile.
    pub is_plain: bool,
}

/// A tile whose keys nobody sees.
const NOTHING: Sight = Sight { queries: [0; 2], keys: [0; 2], is_plain: false };

/// A map of the tiles of `tokens * tokens` scores, in memory that somebody else owns.
#[derive(Clone, Copy)]
pub(super) struct Map {
    at: *mut Sight,
    tokens: usize,
    /// Queries of a tile, at most 255, and keys, at most 64.
    tile: [usize; 2],
}

impl Map {
    /// Bytes that a map takes.
    pub(super) fn bytes(tokens: usize, tile: [usize; 2]) -> usize {
        tokens.div_ceil(tile[0]) * tokens.div_ceil(tile[1]) * size_of::<Sight>()
    }

    /// The map that lies there.
    pub(super) fn new(at: *mut u8, tokens: usize, tile: [usize; 2]) -> Self {
        Self { at: at.cast(), tokens, tile }
    }

    /// Tiles one below the other, and side by side.
    pub(super) fn tiles(&self) -> [usize; 2] {
        self.tile.map(|size| self.tokens.div_ceil(size))
    }

    /// What is seen in tile (i, j), if anything is.
    ///
    /// # Safety
    /// The tile's row has been filled in, and nobody writes to it any more.
    pub(super) unsafe fn get(&self, i: usize, j: usize) -> Option<Sight> {
        // SAFETY: the caller knows the tile to be within the map.
        let sight = unsafe { *self.at.add(i * self.tiles()[1] + j) };
        (sight != NOTHING).then_some(sight)
    }

    /// Fills in the tiles of row `i`.
    ///
    /// # Safety
    /// The processor has the instructions of `L`; the mask has `tokens * tokens` elements, and only this thread uses this
    /// row of the map.
    #[inline(always)]
    pub(super) unsafe fn fill<L: Lanes>(&self, i: usize, mask: *const f32) {
        let [height, width] = self.tile;
        for j in 0..self.tiles()[1] {
            let end = self.tokens.min((j + 1) * width);
            let mut sight = Sight { is_plain: true, ..NOTHING };
            let mut seen = 0u64;
            for query in 0..height.min(self.tokens - i * height) {
                let mut seen_here = 0u64;
                for key in (j * width..end).step_by(L::N) {
                    let n = L::N.min(end - key);
                    let at = (i * height + query) * self.tokens + key;
                    // SAFETY: within the row of the mask; the lanes end with the tile.
                    let (shows, alters) = unsafe {
                        let x = L::load_first(n, mask.add(at));
                        (L::finite(x) & ((1 << n) - 1), L::nonzero(x))
                    };
                    seen_here |= u64::from(shows) << (key - j * width);
                    sight.is_plain &= alters == 0;
                }
                if seen_here != 0 {
                    let start = if seen == 0 { query as u8 } else { sight.queries[0] };
                    sight.queries = [start, query as u8 + 1];
                }
                seen |= seen_here;
            }
            if seen == 0 {
                sight = NOTHING;
            } else {
                sight.keys = [seen.trailing_zeros() as u8, 64 - seen.leading_zeros() as u8];
            }
            // SAFETY: within the map, in this thread's row.
            unsafe { *self.at.add(i * self.tiles()[1] + j) = sight };
        }
    }
}
