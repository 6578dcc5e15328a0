//! Both factors of a product as the innermost loop reads them.

use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
use std::ops::Range;

use super::super::rows::NormForward;
use super::super::{Crew, Level, Vectors, Weight, WeightType};
use super::kernel::{Kernel, Rows};

/// Packs elements of at most `SIDE` rows: word `w` of row `r` goes to `to[w * to_stride + r]`.
///
/// # Safety
/// The processor has the kernel's level. The rows and elements exist, the elements are whole blocks and begin a word.
/// `between` has room for `SIDE` rows of `WORDS` words, and `to` for what is written.
pub(super) unsafe fn rows<K: Kernel>(
    weight: &Weight,
    rows: Range<usize>,
    elements: Range<usize>,
    between: Rows,
    to: *mut u32,
    to_stride: usize,
) {
    let (words, count) = (K::words(elements.len()), rows.len());
    for (i, row) in rows.enumerate() {
        fetch(weight, row + 4, &elements);
        // SAFETY: the caller's.
        unsafe { put_between::<K>(weight, row, &elements, between, i) };
    }
    // SAFETY: the rows have just been written; their stride is a whole number of groups.
    unsafe { K::transpose(between, count, words, to, to_stride) }
}

/// As [`rows`], for elements of at most `TOKENS` vectors.
///
/// # Safety
/// As for [`rows`].
pub(super) unsafe fn vectors<K: Kernel>(
    vectors: Vectors,
    tokens: Range<usize>,
    elements: Range<usize>,
    between: Rows,
    to: *mut u32,
) {
    let (words, count) = (K::words(elements.len()), tokens.len());
    for (i, token) in tokens.enumerate() {
        // SAFETY: the caller's.
        unsafe {
            let data = vectors.at(token).cast_const().cast();
            let weight_type = WeightType::F32;
            let row = Weight { weight_type, data, stride: 0, rows: 1, width: elements.end };
            put_between::<K>(&row, 0, &elements, between, i);
        }
    }
    // SAFETY: as in `rows`.
    unsafe { K::transpose(between, count, words, to, count) }
}

/// Packs elements of vectors in groups of so many words. `put` makes groups of one vector's elements: it is given where they
/// are, how many, where its first group goes, and the words from one of its groups to the next.
///
/// # Safety
/// The elements exist and are whole groups, there is room for their words, and `put` may be called for them.
pub(super) unsafe fn groups(
    vectors: Vectors,
    tokens: Range<usize>,
    elements: Range<usize>,
    words: usize,
    to: *mut u32,
    put: unsafe fn(*const f32, usize, *mut u32, usize),
) {
    let stride = tokens.len() * words;
    for (i, token) in tokens.enumerate() {
        // SAFETY: the caller's.
        unsafe {
            let x = vectors.at(token).add(elements.start);
            put(x, elements.len(), to.add(i * words), stride);
        }
    }
}

/// Puts elements of a row at place `i` between.
///
/// # Safety
/// As for [`rows`].
unsafe fn put_between<K: Kernel>(
    weight: &Weight,
    row: usize,
    elements: &Range<usize>,
    between: Rows,
    i: usize,
) {
    let words = K::words(elements.len());
    let last = words.saturating_sub(16);
    // SAFETY: the caller's. Of the words that are not filled, the last 16 at most, the zeros are written first.
    unsafe {
        let at = between.data.add(i * between.stride);
        at.add(last).write_bytes(0, words - last);
        K::elements(weight, row, elements.start, elements.len(), at);
    }
}

/// Asks for elements of a row, which need not exist, to be brought into the cache.
pub(super) fn fetch(weight: &Weight, row: usize, elements: &Range<usize>) {
    let bytes = |elements| weight.weight_type.bytes_of(elements);
    let row = weight.data.wrapping_add(row * weight.stride + bytes(elements.start));
    for line in (0..bytes(elements.len()) + 63).step_by(64) {
        // SAFETY: a prefetch may have any address, and every processor of this kind knows it.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(row.wrapping_add(line).cast()) };
    }
}

/// The vectors that are packed.
#[derive(Clone, Copy)]
pub(super) enum Source {
    /// As they are.
    Vectors(Vectors),
    /// Each normed at a level first, for which this thread has room.
    Normed(NormForward, Level, *mut f32),
}

impl Source {
    /// Those of some tokens, and which of the vectors given they are.
    ///
    /// # Safety
    /// They are there. If they are to be normed, the processor has the level, and there is room for all of them.
    unsafe fn of(&self, tokens: Range<usize>) -> (Vectors, Range<usize>) {
        match *self {
            Self::Vectors(vectors) => (vectors, tokens),
            Self::Normed(norm, level, room) => {
                let (width, count) = (norm.width, tokens.len());
                let y = room.wrapping_sub(tokens.start * width);
                // SAFETY: the caller's.
                unsafe { NormForward { y, y_stride: width, ..norm }.run_rows(level, tokens) };
                (Vectors::new(room, width), 0..count)
            }
        }
    }
}

/// Vectors of some tokens, packed in tiles as the kernel reads them: for each word that of every token of the tile,
/// or for each group of words those of every token.
pub(super) struct Tokens {
    data: *mut u32,
    /// How many there are.
    pub count: usize,
    /// Elements of a token.
    width: usize,
    /// Words of a token.
    words: usize,
    /// How many tiles there are.
    pub tiles: usize,
}

impl Tokens {
    /// `count` vectors of `width` elements, to be packed at `data`.
    pub(super) fn new<K: Kernel>(count: usize, width: usize, data: *mut u8) -> Self {
        let (words, tiles) = (K::words(width), count.div_ceil(K::TOKENS));
        Self { data: data.cast(), count, width, words, tiles }
    }

    /// The tokens of some tiles: each has as many as the others, or one more.
    pub(super) fn of_tiles(&self, tiles: &Range<usize>) -> Range<usize> {
        let at = |tile: usize| self.count * tile / self.tiles;
        at(tiles.start)..at(tiles.end)
    }

    /// The tiles of one of so many parts.
    pub(super) fn part(&self, part: usize, parts: usize) -> Range<usize> {
        self.tiles * part / parts..self.tiles * (part + 1) / parts
    }

    /// Where a word of a tile lies.
    pub(super) fn at(&self, tile: usize, word: usize) -> *mut u32 {
        let tokens = self.of_tiles(&(tile..tile + 1));
        self.data.wrapping_add(tokens.start * self.words + word * tokens.len())
    }

    /// Packs them together with the crew's other threads, when none reads what was packed before.
    ///
    /// # Safety
    /// The processor has the kernel's level. There are as many vectors, and there is room for their words, and for those of a
    /// tile where they are normed; `between` holds rows before they are transposed.
    pub(super) unsafe fn pack_together<K: Kernel>(
        &self,
        source: Source,
        crew: Crew<'_>,
        between: Rows,
    ) {
        crew.wait();
        for tile in crew.share(self.tiles, 1) {
            // SAFETY: the caller's.
            let (vectors, tokens) = unsafe { source.of(self.of_tiles(&(tile..tile + 1))) };
            for start in (0..self.width).step_by(K::ELEMENTS) {
                let end = (start + K::ELEMENTS).min(self.width);
                // SAFETY: the caller's; an f32 is a block of its own, and the tile is this thread's.
                unsafe {
                    let to = self.at(tile, K::words(start));
                    K::tile(vectors, tokens.clone(), start..end, between, to);
                }
            }
        }
        crew.wait();
    }
}
