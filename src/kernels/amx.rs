//! Products of brain floats in the processor's tiles (AMX): up to 32 rows by 32 columns at a time.

use std::arch::asm;

#[cfg(test)]
#[path = "amx_tests.rs"]
mod tests;

/// Words of a tile's row, of two elements each: as many are multiplied at a time.
pub(super) const STEP: usize = 16;

/// Rows of a product, at most.
pub(super) const MOST: usize = 2 * ROWS;

/// Columns of a product.
pub(super) const COLUMNS: usize = 32;

/// Rows of a tile of the processor, at most.
const ROWS: usize = 16;

/// Bytes of a row of every tile.
const BYTES: u16 = 64;

/// How many rows and columns the processor's tiles have: the operand of `ldtilecfg`.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct Config {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    bytes: [u16; 16],
    pub rows: [u8; 16],
}

impl Config {
    /// Tiles 0 to 3 hold sums: of the first rows in the first and in the last columns, then of the other rows. 4 and 5 are
    /// for the left factor, 6 and 7 for the right one.
    pub(super) const fn new(rows: usize) -> Self {
        let first = if rows < ROWS { rows as u8 } else { ROWS as u8 };
        let other = rows as u8 - first;
        let mut config =
            Self { palette: 1, start_row: 0, reserved: [0; 14], bytes: [0; 16], rows: [0; 16] };
        let rows = [first, first, other, other, first, other, ROWS as u8, ROWS as u8];
        let mut i = 0;
        while i < rows.len() {
            config.rows[i] = rows[i];
            config.bytes[i] = if rows[i] > 0 { BYTES } else { 0 };
            i += 1;
        }
        config
    }

    /// Those of every number of rows.
    const ALL: [Self; MOST + 1] = {
        let mut all = [const { Self::new(0) }; MOST + 1];
        let mut rows = 0;
        while rows < all.len() {
            all[rows] = Self::new(rows);
            rows += 1;
        }
        all
    };
}

static CONFIGS: [Config; MOST + 1] = Config::ALL;

/// Gets the processor's tiles ready for products with so many rows, at most [`MOST`]. This takes as long as some hundred
/// additions of vectors.
///
/// # Safety
/// The processor has AMX tiles with BF16, and the system lets the process use them. [`release`] is called in the end.
pub(super) unsafe fn prepare(rows: usize) {
    // SAFETY: the caller's processor; the configuration is a valid one.
    unsafe { asm!("ldtilecfg [{}]", in(reg) &raw const CONFIGS[rows], options(nostack, readonly)) }
}

/// Leaves the processor's tiles as if they had never been used.
///
/// # Safety
/// As for [`prepare`].
pub(super) unsafe fn release() {
    // SAFETY: the caller's processor.
    unsafe { asm!("tilerelease", options(nostack, nomem)) }
}

/// Defines the products with one tile of rows and with two. `$right` loads the right factor.
macro_rules! products {
    ($right:literal, $one:ident, $two:ident) => {
        /// With one tile of rows.
        ///
        /// # Safety
        /// As for [`Self::run`]; there are at most 16 rows.
        unsafe fn $one(&self) {
            // SAFETY: every address is within what the caller promises, as the tiles have as many rows as there are.
            unsafe {
                asm!(
                    "tilezero tmm0",
                    "tilezero tmm1",
                    "test {from}, {from}",
                    "jz 2f",
                    "tileloadd tmm0, [{from} + {stride}]",
                    "tileloadd tmm1, [{from} + {stride} + 64]",
                    "2:",
                    "mov {stride:e}, 128",
                    "test {steps}, {steps}",
                    "jz 4f",
                    "3:",
                    "tileloadd tmm4, [{left} + {left_row}]",
                    concat!($right, " tmm6, [{right} + {stride}]"),
                    "tdpbf16ps tmm0, tmm4, tmm6",
                    concat!($right, " tmm7, [{right} + {stride} + 64]"),
                    "tdpbf16ps tmm1, tmm4, tmm7",
                    "add {left}, {left_step}",
                    "add {right}, 2048",
                    "dec {steps}",
                    "jnz 3b",
                    "4:",
                    "tilestored [{to} + {to_row}], tmm0",
                    "tilestored [{to} + {to_row} + 64], tmm1",
                    from = in(reg) self.from,
                    stride = inout(reg) 4 * self.from_row => _,
                    left = inout(reg) self.left => _,
                    left_row = in(reg) 4 * self.left_row,
                    left_step = in(reg) 4 * self.left_step,
                    right = inout(reg) self.right => _,
                    steps = inout(reg) self.steps => _,
                    to = in(reg) self.to,
                    to_row = in(reg) 4 * self.to_row,
                    out("tmm0") _, out("tmm1") _, out("tmm4") _, out("tmm6") _, out("tmm7") _,
                    options(nostack),
                );
            }
        }

        /// With two tiles of rows, the first of them full.
        ///
        /// # Safety
        /// As for [`Self::run`]; there are more than 16 rows.
        unsafe fn $two(&self) {
            // SAFETY: as in `one`. Once the first sums are there, the registers of `from` are those of the left factor's other
            // tile and of the right one's rows.
            unsafe {
                asm!(
                    "tilezero tmm0",
                    "tilezero tmm1",
                    "tilezero tmm2",
                    "tilezero tmm3",
                    "test {from}, {from}",
                    "jz 2f",
                    "tileloadd tmm0, [{from} + {stride}]",
                    "tileloadd tmm1, [{from} + {stride} + 64]",
                    "mov {other}, {stride}",
                    "shl {other}, 4",
                    "add {from}, {other}",
                    "tileloadd tmm2, [{from} + {stride}]",
                    "tileloadd tmm3, [{from} + {stride} + 64]",
                    "2:",
                    "mov {other}, {left_row}",
                    "shl {other}, 4",
                    "add {other}, {left}",
                    "mov {stride:e}, 128",
                    "test {steps}, {steps}",
                    "jz 4f",
                    "3:",
                    "tileloadd tmm4, [{left} + {left_row}]",
                    concat!($right, " tmm6, [{right} + {stride}]"),
                    "tdpbf16ps tmm0, tmm4, tmm6",
                    concat!($right, " tmm7, [{right} + {stride} + 64]"),
                    "tdpbf16ps tmm1, tmm4, tmm7",
                    "tileloadd tmm5, [{other} + {left_row}]",
                    "tdpbf16ps tmm2, tmm5, tmm6",
                    "tdpbf16ps tmm3, tmm5, tmm7",
                    "add {left}, {left_step}",
                    "add {other}, {left_step}",
                    "add {right}, 2048",
                    "dec {steps}",
                    "jnz 3b",
                    "4:",
                    "tilestored [{to} + {to_row}], tmm0",
                    "tilestored [{to} + {to_row} + 64], tmm1",
                    "mov {other}, {to_row}",
                    "shl {other}, 4",
                    "add {other}, {to}",
                    "tilestored [{other} + {to_row}], tmm2",
                    "tilestored [{other} + {to_row} + 64], tmm3",
                    from = inout(reg) self.from => _,
                    other = out(reg) _,
                    stride = inout(reg) 4 * self.from_row => _,
                    left = inout(reg) self.left => _,
                    left_row = in(reg) 4 * self.left_row,
                    left_step = in(reg) 4 * self.left_step,
                    right = inout(reg) self.right => _,
                    steps = inout(reg) self.steps => _,
                    to = in(reg) self.to,
                    to_row = in(reg) 4 * self.to_row,
                    out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                    out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                    options(nostack),
                );
            }
        }
    };
}

/// `to = from + left * right`, for all [`COLUMNS`].
#[derive(Clone, Copy)]
pub(super) struct TileProduct {
    /// From 1 to [`MOST`].
    pub rows: usize,
    /// How many times [`STEP`] words are summed over.
    pub steps: usize,
    /// The first step's words of the first row.
    pub left: *const u32,
    /// Words from one row of `left` to the next.
    pub left_row: usize,
    /// Words from one step of `left` to the next.
    pub left_step: usize,
    /// For each word, that of every column.
    pub right: *const u32,
    /// Whether the right factor is to leave the first cache to the left one, which is read again sooner.
    pub right_passes: bool,
    /// What the sums begin with; null: with nothing.
    pub from: *const f32,
    /// Floats from one row of `from` to the next.
    pub from_row: usize,
    pub to: *mut f32,
    /// Floats from one row of `to` to the next.
    pub to_row: usize,
}

impl TileProduct {
    /// Computes it.
    ///
    /// # Safety
    /// [`prepare`] was called for as many rows, of which there is at least one; both factors, `from` and `to` are as the
    /// fields say.
    pub(super) unsafe fn run(&self) {
        // SAFETY: the caller's.
        unsafe {
            match (self.rows <= ROWS, self.right_passes) {
                (true, false) => self.one(),
                (true, true) => self.one_passing(),
                (false, false) => self.two(),
                (false, true) => self.two_passing(),
            }
        }
    }

    products!("tileloadd", one, two);
    products!("tileloaddt1", one_passing, two_passing);
}
