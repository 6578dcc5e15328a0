//! The options of files of adapters, and of merging them into a model.

use super::table::{choice, options};
use super::{Auto, MAX_INT};

choice! {
    /// What an adapter is converted to.
    AdapterFormat {
        Auto = "auto" "To what the input is not.",
        Gguf = "gguf" "A GGUF file.",
        Peft = "peft" "A directory as PEFT saves it.",
    }
}

choice! {
    /// How several adapters become one.
    AverageMethod {
        Cat = "cat" "The exact weighted sum of what they do; the ranks add up.",
        Svd = "svd" "The exact weighted sum, then its best approximation of a lower rank.",
        Linear = "linear" "Weighted sums of the As and of the Bs, for adapters of one rank: a rough approximation of the sum.",
    }
}

options! {
    /// How an adapter is converted, or several become one.
    AdapterOptions = "adapter" {
        format: AdapterFormat = AdapterFormat::Auto, (), "What is written: gguf = a file, peft = a directory; auto = converting: the other one, averaging: a file.";
        base: String = String::new(), (), "The base model: its GGUF file, its Hugging Face directory, or its config.json; empty = what the PEFT directory has or names.";
        base_model_name: String = String::new(), (), "What a PEFT directory names as its base model; empty = what the input names.";
        method: AverageMethod = AverageMethod::Cat, (), "How several adapters become one.";
        normalize: bool = true, (), "Divide the weights of an average by their sum; off takes them as they are.";
        rank: Auto = Auto::Auto, 1..=MAX_INT, "Rank of an average by svd; auto = the largest of the adapters.";
        force: bool = false, (), "Replace the output when it is there already.";
    }
}

options! {
    /// How adapters are merged into a model.
    MergeOptions = "merge" {
        ftype: String = "copy".into(), (), "The mix of types that is written, q4_k_m or another; copy = every tensor keeps its own.";
        tensor_types: Vec<String> = Vec::new(), (), "PATTERN=TYPE for tensors whose names the regular expression matches; the first that matches counts.";
        imatrix: String = String::new(), (), "The path of an importance matrix (`nestling imatrix`); empty = none.";
        requantize: bool = false, (), "Quantize tensors that are quantized already to another type; much worse than from 16 or 32 bits.";
        n_threads: Auto = Auto::Auto, 1..=512, "CPU threads; auto = all.";
        force: bool = false, (), "Replace the output when it is there already.";
    }
}
