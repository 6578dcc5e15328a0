//! Panels of weights times tiles of tokens: what is read again comes from the nearest cache each time.

use std::ops::Range;

use super::super::Vectors;
use super::kernel::Kernel;
use super::pack::Tokens;
use super::tile::Tile;

/// What is multiplied with tiles: those words of a packed panel.
#[derive(Clone)]
pub(super) struct Part {
    pub panel: *const u32,
    pub words: Range<usize>,
    /// Whether it is not multiplied with the next tile before other panels are with this one.
    pub passes: bool,
    /// What the sums begin with, if anything.
    pub from: Option<Vectors>,
    /// Where they go.
    pub to: Vectors,
}

/// Multiplies a panel with some tiles, one after the other.
///
/// # Safety
/// The processor has the kernel's level. The panel and the tiles are packed, and the sums, which are not picked, have
/// `LANES` places for each token of the tiles.
pub(super) unsafe fn sweep<K: Kernel>(part: &Part, tokens: &Tokens, tiles: Range<usize>) {
    // SAFETY: the caller's.
    unsafe {
        each_tile::<K>(tokens, tiles.clone(), |tile| {
            let next = if tile + 1 < tiles.end { tile + 1 } else { tiles.start };
            part.multiply::<K>(tokens, tile, next);
        });
    }
}

/// Does something with each of some tiles, for which the processor is ready then.
///
/// # Safety
/// The processor has the kernel's level.
pub(super) unsafe fn each_tile<K: Kernel>(
    tokens: &Tokens,
    tiles: Range<usize>,
    mut multiply: impl FnMut(usize),
) {
    let mut ready_for = 0;
    for tile in tiles {
        let count = tokens.of_tiles(&(tile..tile + 1)).len();
        if count != ready_for {
            ready_for = count;
            // SAFETY: the caller's.
            unsafe { K::prepare(count) };
        }
        multiply(tile);
    }
    // SAFETY: the caller's.
    unsafe { K::release() };
}

impl Part {
    /// Multiplies it with a tile, before another one.
    ///
    /// # Safety
    /// As for [`sweep`]; the processor is ready for the tile.
    pub(super) unsafe fn multiply<K: Kernel>(&self, tokens: &Tokens, tile: usize, next: usize) {
        let span = tokens.of_tiles(&(tile..tile + 1));
        let stride = |vectors: Vectors| vectors.distance().unwrap_or(0);
        // SAFETY: the caller's.
        unsafe {
            let job = Tile {
                words: self.words.len(),
                weights: self.panel,
                weights_pass: self.passes,
                tokens: tokens.at(tile, self.words.start),
                next: tokens.at(next, self.words.start),
                from: self.from.map_or(std::ptr::null_mut(), |from| from.at(span.start)),
                from_stride: self.from.map_or(0, stride),
                to: self.to.at(span.start),
                to_stride: stride(self.to),
            };
            K::multiply(span.len(), &job);
        }
    }
}
