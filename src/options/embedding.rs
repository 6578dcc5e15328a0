//! The options of embeddings.

use super::table::{choice, options};
use super::{Auto, FlashAttn};

choice! {
    /// How the vectors of a text's tokens become one.
    PoolingType {
        Auto = "auto" "As the model's file says; the mean for an encoder whose file does not say.",
        Mean = "mean" "The mean of all.",
        Cls = "cls" "That of the first token.",
        Last = "last" "That of the last token.",
        None = "none" "Not at all: one vector for each token.",
    }
}

options! {
    /// How texts become vectors.
    EmbeddingOptions = "embedding" {
        pooling: PoolingType = PoolingType::Auto, (), "How the vectors of a text's tokens become one; auto = as the model's file says.";
        normalize: bool = true, (), "Give every vector the length 1, so that a dot product is the cosine.";
        dimensions: Auto = Auto::Auto, 1..=65_536, "Keep the first so many numbers of each vector, for models that were trained for it (Matryoshka); auto = all.";
        truncate: bool = false, (), "Cut a text that is longer than the model reads at once; off = an error.";
        n_ubatch: i64 = 512, 1..=65_536, "Tokens evaluated at a time; short texts share a batch, a longer one has one of its own.";
        n_threads: Auto = Auto::Auto, 1..=512, "CPU threads; auto = the performance cores.";
        flash_attn: FlashAttn = FlashAttn::Auto, (), "Fused attention.";
    }
}
