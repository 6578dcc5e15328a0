//! A panel of weights times tiles of tokens, one after the other: the panel is read from the nearest cache each time.

use std::ops::Range;

use super::super::Vectors;
use super::kernel::Kernel;
use super::pack::Tokens;
use super::tile::Tile;

/// Multiplies a packed panel with those words of the tokens in some tiles. The sums begin with those at `from`, if any.
///
/// # Safety
/// The processor has the kernel's level. The panel and the tiles are packed, and the sums, which are not picked, have
/// `LANES` places for each token of the tiles.
pub(super) unsafe fn sweep<K: Kernel>(
    panel: *const u32,
    words: Range<usize>,
    (tokens, tiles): (&Tokens, Range<usize>),
    from: Option<Vectors>,
    to: Vectors,
) {
    let (from_stride, to_stride) = (from.and_then(|from| from.distance()), to.distance());
    let mut ready_for = 0;
    for tile in tiles.clone() {
        let span = tokens.of_tiles(&(tile..tile + 1));
        let next = if tile + 1 < tiles.end { tile + 1 } else { tiles.start };
        // SAFETY: the caller's.
        unsafe {
            let job = Tile {
                words: words.len(),
                weights: panel,
                tokens: tokens.at(tile, words.start),
                next: tokens.at(next, words.start),
                from: from.map_or(std::ptr::null_mut(), |from| from.at(span.start)),
                from_stride: from_stride.unwrap_or(0),
                to: to.at(span.start),
                to_stride: to_stride.unwrap_or(0),
            };
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
