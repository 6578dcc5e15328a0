//! The options of importance matrices.

use super::table::options;
use super::{Auto, MAX_INT};

options! {
    /// How a model reads a text to find out which columns of its weights matter.
    ImatrixOptions = "imatrix" {
        n_ctx: i64 = 512, 8..=MAX_INT, "Tokens of each chunk of the text; the rest that is shorter is left out.";
        chunks: i64 = 0, 0..=MAX_INT, "Chunks at most; 0 = the whole text.";
        parse_special: bool = false, (), "Read special tokens in the text; off treats them as plain text.";
        process_output: bool = false, (), "The output matrix, too; mixes give it a type that hardly profits.";
        n_ubatch: i64 = 512, 1..=65_536, "Tokens evaluated at a time at most; cancelling waits for at most one such batch.";
        n_threads: Auto = Auto::Auto, 1..=512, "CPU threads; auto = the performance cores.";
        force: bool = false, (), "Replace the output when it is there already.";
    }
}
