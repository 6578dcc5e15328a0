//! The options of evaluation.

use super::table::options;
use super::{Auto, EncodingOptions, FlashAttn, KvType, MAX_INT};

options! {
    /// How a model is measured on a dataset. Of the encoding options those that change examples at random do nothing.
    EvaluationOptions = "evaluation" + encoding: EncodingOptions {
        n_ctx: Auto = Auto::Auto, 8..=MAX_INT, "Tokens of an example at most; auto = the longest example, as far as the model's context goes, at most 8192.";
        n_ubatch: i64 = 512, 1..=65_536, "Tokens evaluated at a time; cancelling waits for at most one such batch.";
        n_threads: Auto = Auto::Auto, 1..=512, "CPU threads; auto = the performance cores.";
        kv_type: KvType = KvType::F16, (), "Element type of the KV cache.";
        flash_attn: FlashAttn = FlashAttn::Auto, (), "Fused attention.";
        labels: Vec<String> = Vec::new(), (), "The labels to choose from for labelled examples, of equals the first; none = those of the dataset.";
    }
}
