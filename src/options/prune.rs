//! The options of leaving out parts of a model.

use super::table::{choice, options};

choice! {
    /// What a model will be used for.
    PruneTask {
        Any = "any" "Everything: only what the other options name is left out.",
        Embedding = "embedding" "Embeddings of texts: the output matrix, which only makes logits, is left out.",
    }
}

options! {
    /// What is left out of a model file.
    PruneOptions = "prune" {
        task: PruneTask = PruneTask::Any, (), "What the model will be used for: what that does not need is left out.";
        drop: Vec<String> = Vec::new(), (), "Tensors whose names this regular expression matches are left out.";
        drop_metadata: Vec<String> = Vec::new(), (), "Metadata whose keys this regular expression matches is left out.";
        force: bool = false, (), "Replace the output when it is there already.";
    }
}
