//! A panel of weights times tiles of tokens, one after the other: the panel is read from the nearest cache each time.

use std::ops::Range;

use super::kernel::Kernel;
use super::pack::Tokens;
use super::tile::Tile;

/// Where the sums of a panel are, token by token.
#[derive(Clone, Copy)]
pub(super) struct Sums {
    pub data: *mut f32,
    /// Floats from one token to the next.
    pub stride: usize,
}

impl Sums {
    /// Those of a token.
    fn at(self, token: usize) -> *mut f32 {
        self.data.wrapping_add(token * self.stride)
    }

    /// Copies the first `n` sums of some tokens.
    ///
    /// # Safety
    /// They exist here and there, and do not overlap.
    pub(super) unsafe fn copy(self, to: Sums, tokens: Range<usize>, n: usize) {
        for token in tokens {
            // SAFETY: the caller's.
            unsafe { self.at(token).copy_to_nonoverlapping(to.at(token), n) };
        }
    }
}

/// Multiplies a packed panel with those words of the tokens in some tiles. The sums begin with those at `from`, if any.
///
/// # Safety
/// The processor has the kernel's level. The panel and the tiles are packed, and the sums have `LANES` places for each
/// token of the tiles.
pub(super) unsafe fn sweep<K: Kernel>(
    panel: *const u32,
    words: Range<usize>,
    (tokens, tiles): (&Tokens, Range<usize>),
    from: Option<Sums>,
    to: Sums,
) {
    let mut ready_for = 0;
    for tile in tiles.clone() {
        let span = tokens.of_tiles(&(tile..tile + 1));
        let next = if tile + 1 < tiles.end { tile + 1 } else { tiles.start };
        let job = Tile {
            words: words.len(),
            weights: panel,
            tokens: tokens.at(tile, words.start),
            next: tokens.at(next, words.start),
            from: from.map_or(std::ptr::null(), |from| from.at(span.start).cast_const()),
            from_stride: from.map_or(0, |from| from.stride),
            to: to.at(span.start),
            to_stride: to.stride,
        };
        // SAFETY: the caller's.
        unsafe {
            if span.len() != ready_for {
                ready_for = span.len();
                K::prepare(ready_for);
            }
            K::multiply(span.len(), &job);
        }
    }
    // SAFETY: the caller's.
    unsafe { K::release() };
}
