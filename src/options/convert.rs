//! The options of converting.

use super::Auto;
use super::table::options;

options! {
    /// How a checkpoint becomes a model file.
    ConvertOptions = "convert" {
        ftype: String = "auto".into(), (), "The types, as llama.cpp names them: f32, f16, bf16, or a mix such as q4_k_m; auto = bf16 or f16, as the checkpoint has it.";
        tensor_types: Vec<String> = Vec::new(), (), "PATTERN=TYPE for tensors whose names in the model file the regular expression matches; the first that matches counts.";
        output_tensor_type: String = String::new(), (), "The type of output.weight (or of token_embd.weight, where it is both); empty = as the mix says.";
        token_embedding_type: String = String::new(), (), "The type of token_embd.weight; empty = as the mix says.";
        imatrix: String = String::new(), (), "The path of an importance matrix (`nestling imatrix`); empty = none.";
        pre_tokenizer: String = String::new(), (), "The name of the pre-tokenizer, where it is not recognised: gpt-2, llama-bpe, qwen2, ...; empty = by what tokenizer.json holds.";
        n_threads: Auto = Auto::Auto, 1..=512, "CPU threads; auto = all.";
        force: bool = false, (), "Replace the output when it is there already.";
        dry_run: bool = false, (), "Write nothing: report what would be written.";
    }
}
