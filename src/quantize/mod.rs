//! Model files in smaller types: which type each tensor gets, its numbers in that type, and the file.

mod encode;
mod imatrix;
mod imatrix_dat;
mod output;
mod piece;
mod stored;

pub(crate) use imatrix::Entry;
pub use imatrix::Imatrix;
pub use output::Written;
pub(crate) use output::{Importances, plan, write_model};
pub(crate) use piece::{Piece, Rows};
pub(crate) use stored::stored;
