//! The options of quantizing.

use super::Auto;
use super::table::options;

options! {
    /// Which type each tensor of a model gets, and how the file is written.
    QuantizeOptions = "quantize" {
        ftype: String = "q4_k_m".into(), (), "The mix of types, as llama.cpp names them: q4_k_m, q8_0, iq4_xs, f16, ...; copy = each tensor as it is.";
        tensor_types: Vec<String> = Vec::new(), (), "PATTERN=TYPE for tensors whose names the regular expression matches; the first that matches counts.";
        output_tensor_type: String = String::new(), (), "The type of output.weight (or of token_embd.weight, where it is both); empty = as the mix says.";
        token_embedding_type: String = String::new(), (), "The type of token_embd.weight; empty = as the mix says.";
        leave_output_tensor: bool = false, (), "Leave output.weight in its type.";
        pure: bool = false, (), "One type for all tensors that may be quantized, instead of a mix.";
        imatrix: String = String::new(), (), "The path of an importance matrix (`nestling imatrix`); empty = none.";
        requantize: bool = false, (), "Quantize tensors that are quantized already; much worse than from 16 or 32 bits.";
        n_threads: Auto = Auto::Auto, 1..=512, "CPU threads; auto = all.";
        force: bool = false, (), "Replace the output when it is there already.";
        dry_run: bool = false, (), "Write nothing: report the sizes alone.";
    }
}
