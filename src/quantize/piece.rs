//! A tensor on its way into a file: what it is called, its shape, and how its numbers are read.

use crate::error::{Result, bail};
use crate::format::gguf::GgmlType;

/// A tensor's numbers, read row by row as 32-bit floats: from a file of any type, from several, or computed.
pub(crate) trait Rows: Send + Sync {
    /// Puts the rows from `first` on into `out`, as many whole rows as it holds. Rows are counted over all dimensions but
    /// the first, in ggml's order. Several threads read at once.
    fn read(&self, first: u64, out: &mut [f32]) -> Result<()>;

    /// The numbers that are best read at once, more or less: so few that they stay in a core's cache.
    fn part(&self) -> u64 {
        1 << 16
    }

    /// Whether [`read_bytes`](Self::read_bytes) gives the tensor as it is stored, in the type [`Piece::ggml_type`]: it is
    /// copied then when that is the type it shall have.
    fn is_stored(&self) -> bool {
        false
    }

    /// The bytes from `at` on of a tensor that is stored.
    fn read_bytes(&self, _at: u64, _out: &mut [u8]) -> Result<()> {
        bail!(Internal, "this tensor is computed and has no bytes")
    }

    /// An error when the source is not what it was when the piece was made: asked after the reading, before what was
    /// written counts.
    fn check_unchanged(&self) -> Result<()> {
        Ok(())
    }
}

/// A tensor to be written.
pub(crate) struct Piece<'a> {
    /// The name in the file that is written.
    pub name: String,
    /// The row length first.
    pub dims: Vec<u64>,
    /// The type that it has, or that its numbers come from.
    pub ggml_type: GgmlType,
    /// Its numbers.
    pub rows: Box<dyn Rows + 'a>,
}

impl Piece<'_> {
    /// The numbers in a row.
    pub fn width(&self) -> u64 {
        self.dims.first().copied().unwrap_or(0)
    }

    /// The rows, over all other dimensions.
    pub fn n_rows(&self) -> u64 {
        self.dims.iter().skip(1).product()
    }

    /// The rows of one of its matrices, at least 1.
    pub fn matrix_rows(&self) -> u64 {
        self.dims.get(1).copied().unwrap_or(1).max(1)
    }

    /// The bytes that it takes in a type; `None` where its rows are not whole blocks.
    pub fn bytes_as(&self, ggml_type: GgmlType) -> Option<u64> {
        ggml_type.row_bytes(self.width())?.checked_mul(self.n_rows())
    }
}
