//! The options of comparing models.

use super::table::options;
use super::{Auto, FlashAttn, KvType, MAX_INT};

options! {
    /// How models read a text to be compared.
    CompareOptions = "compare" {
        n_ctx: Auto = Auto::Auto, 8..=MAX_INT, "Tokens of each window of the text; auto = what all models allow, at most 2048.";
        windows: i64 = 0, 0..=MAX_INT, "Windows at most; 0 = the whole text.";
        parse_special: bool = false, (), "Read special tokens in the text; off treats them as plain text.";
        n_ubatch: i64 = 512, 1..=65_536, "Tokens evaluated at a time; cancelling waits for at most one such batch.";
        n_threads: Auto = Auto::Auto, 1..=512, "CPU threads; auto = the performance cores.";
        kv_type: KvType = KvType::F16, (), "Element type of the KV cache.";
        flash_attn: FlashAttn = FlashAttn::Auto, (), "Fused attention.";
    }
}
