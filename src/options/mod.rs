//! Every option of the library, in tables: one row gives the typed field, the setter by key that the C
//! ABI uses, the command-line flag and the line of the printed reference.

mod adapter;
mod compare;
mod convert;
mod dataset;
mod embedding;
mod evaluation;
mod imatrix;
mod prune;
mod quantize;
mod seal;
mod secret;
mod table;
mod trainer;
mod value;

pub use adapter::{AdapterFormat, AdapterOptions, AverageMethod, MergeOptions};
pub use compare::CompareOptions;
pub use convert::ConvertOptions;
pub use dataset::{BadData, DatasetFormat, DatasetOptions, EncodingOptions, LossOn, TooLong};
pub use embedding::{EmbeddingOptions, PoolingType};
pub use evaluation::EvaluationOptions;
pub use imatrix::ImatrixOptions;
pub use prune::{PruneOptions, PruneTask};
pub use quantize::QuantizeOptions;
pub use seal::SealOptions;
pub use secret::Secret;
pub use table::{Options, Spec};
pub use trainer::{LrSchedule, OptimizerKind, TrainerOptions};
pub use value::{Auto, Input, Kind, Value};

use table::{choice, options};

const MAX_INT: i64 = i32::MAX as i64;

choice! {
    /// Whether the library's own kernels compute products with weights, and attention.
    Accel {
        Auto = "auto" "Where the CPU runs the layers and the processor has instructions that they are written for.",
        Off = "off" "Never: the engine computes everything.",
    }
}

choice! {
    /// Whether weights are repacked into private memory for faster kernels of the engine. The library's own cannot read
    /// repacked weights.
    Repack {
        Auto = "auto" "Where the engine knows a faster layout, the library has no faster kernels, and a second copy of the weights fits in the free memory.",
        On = "on" "Where the engine knows a faster layout, however little memory is free.",
        Off = "off" "Use the mapped weights as they are: no private copy.",
    }
}

choice! {
    /// The element type of the KV cache. Types other than F32, F16 and BF16 need flash attention.
    KvType {
        F16 = "f16" "16-bit float.",
        F32 = "f32" "32-bit float.",
        Bf16 = "bf16" "16-bit brain float.",
        Q8_0 = "q8_0" "8-bit blocks, about half of f16.",
        Q5_1 = "q5_1" "5-bit blocks with offsets.",
        Q5_0 = "q5_0" "5-bit blocks.",
        Q4_1 = "q4_1" "4-bit blocks with offsets.",
        Q4_0 = "q4_0" "4-bit blocks, about a quarter of f16.",
    }
}

choice! {
    /// Whether attention uses the fused kernel.
    FlashAttn {
        Auto = "auto" "The engine decides.",
        On = "on" "Always.",
        Off = "off" "Never.",
    }
}

choice! {
    /// What happens when the context is full.
    ContextFull {
        Error = "error" "The generation fails with `ContextFull`; what it gave out before stays.",
        Shift = "shift" "The oldest tokens after the kept prefix are dropped.",
    }
}

choice! {
    /// Adaptive sampling by target surprise instead of truncation.
    Mirostat {
        Off = "off" "Use the truncation samplers.",
        V2 = "v2" "Mirostat 2.0.",
    }
}

options! {
    /// How a model is opened.
    ModelOptions = "model" {
        device: String = "auto".into(), (), "Where layers run: auto, cpu, or a device name as `nestling devices` prints it.";
        n_gpu_layers: Auto = Auto::Auto, 0..=MAX_INT, "Layers on the GPU; auto = as many as fit in its free memory.";
        use_mmap: bool = true, (), "Map the file into memory; off reads it into private memory.";
        use_mlock: bool = false, (), "Keep the weights in RAM (needs the right to lock memory; without it a warning is logged).";
        accel: Accel = Accel::Auto, (), "The library's own kernels for this processor; off = the engine's alone.";
        repack: Repack = Repack::Auto, (), "Whether weights are copied into private memory in a layout that is faster for the engine; auto = where accel has no faster kernels.";
        check_tensors: bool = false, (), "Check every weight for invalid numbers while loading (slow).";
        vocab_only: bool = false, (), "Load the tokenizer only: no weights, no sessions; memory can still be planned.";
        key: Secret = Secret::none(), (), "The key of an encrypted file; a file that is not encrypted is then refused.";
        public_key: Secret = Secret::none(), (), "Whose signature the file must have; a file without it is refused.";
    }
}

options! {
    /// How a session's context is made.
    SessionOptions = "session" {
        n_ctx: Auto = Auto::Auto, 8..=MAX_INT, "Context length in tokens; auto = the training length, at most 8192 and what fits in half of the free memory.";
        n_ubatch: i64 = 512, 1..=65_536, "Prompt tokens evaluated at a time; cancelling waits for at most one such batch.";
        n_threads: Auto = Auto::Auto, 1..=512, "CPU threads; auto = the performance cores, fewer while another program keeps one of them busy.";
        kv_type: KvType = KvType::F16, (), "Element type of the KV cache.";
        flash_attn: FlashAttn = FlashAttn::Auto, (), "Fused attention.";
        swa_full: bool = true, (), "Keep the whole cache of sliding-window layers: any prefix can be reused; off saves memory.";
        offload_kqv: bool = true, (), "Keep the KV cache on the GPU that runs the layers.";
        context_full: ContextFull = ContextFull::Error, (), "What happens when the context is full.";
        n_keep: Auto = Auto::Auto, 0..=MAX_INT, "Tokens kept at the front by a shift; auto = the system prompt, or the first token.";
    }
}

options! {
    /// How the next token is chosen from the logits.
    SamplingOptions = "sampling" {
        temperature: f64 = 0.8, 0.0..=100.0, "Divides the logits; 0 takes the most likely token.";
        top_k: i64 = 40, 0..=MAX_INT, "Keep the k most likely tokens; 0 = off.";
        top_p: f64 = 0.95, 0.0..=1.0, "Keep the most likely tokens that together have this probability; 1 = off.";
        min_p: f64 = 0.05, 0.0..=1.0, "Drop tokens below this share of the best token's probability; 0 = off.";
        typical_p: f64 = 1.0, 0.0..=1.0, "Keep tokens of typical surprise, up to this probability; 1 = off.";
        xtc_probability: f64 = 0.0, 0.0..=1.0, "Chance per token to exclude the top choices (XTC); 0 = off.";
        xtc_threshold: f64 = 0.1, 0.0..=1.0, "Tokens at least this likely count as top choices for XTC.";
        repeat_penalty: f64 = 1.0, 0.01..=100.0, "Divides (or multiplies) the logits of recent tokens; 1 = off.";
        frequency_penalty: f64 = 0.0, -100.0..=100.0, "Subtracted from a logit for each recent occurrence.";
        presence_penalty: f64 = 0.0, -100.0..=100.0, "Subtracted once from the logits of recent tokens.";
        penalty_last_n: i64 = 64, -1..=MAX_INT, "How many recent tokens the three penalties see; -1 = all, 0 = off.";
        dry_multiplier: f64 = 0.0, 0.0..=100.0, "Strength of the DRY penalty on repeated sequences; 0 = off.";
        dry_base: f64 = 1.75, 1.0..=100.0, "Growth of the DRY penalty with the length of the repetition.";
        dry_allowed_length: i64 = 2, 0..=MAX_INT, "Repetitions up to this length are free.";
        dry_penalty_last_n: i64 = -1, -1..=MAX_INT, "How many recent tokens DRY sees; -1 = all, 0 = off.";
        dry_sequence_breakers: Vec<String> = ["\n", ":", "\"", "*"].map(String::from).to_vec(), (), "Texts that end a repeated sequence for DRY.";
        mirostat: Mirostat = Mirostat::Off, (), "Adaptive sampling instead of top-k, typical, top-p, min-p and XTC.";
        mirostat_tau: f64 = 5.0, 0.0..=100.0, "Mirostat's target surprise in bits.";
        mirostat_eta: f64 = 0.1, 0.0..=1.0, "Mirostat's learning rate.";
        logit_bias: Vec<String> = Vec::new(), (), "TOKEN=BIAS added to a token id's logit; a bias of -inf forbids it.";
        seed: Auto = Auto::Auto, 0..=i64::MAX, "Seed of the random numbers; auto = from the operating system.";
    }
}

options! {
    /// How an answer is generated.
    GenerationOptions = "generation" + sampling: SamplingOptions {
        max_tokens: Auto = Auto::Auto, 0..=MAX_INT, "Tokens at most; auto = until the model ends it; context_full says what a full context does.";
        stop: Vec<String> = Vec::new(), (), "Texts that end the answer; they are not part of it.";
        stop_tokens: Vec<i64> = Vec::new(), 0..=MAX_INT, "Token ids that end the answer, beside the model's own.";
        ignore_eos: bool = false, (), "Go on when the model ends its answer.";
        logprobs: bool = false, (), "Give each token's log-probability.";
        top_logprobs: i64 = 0, 0..=128, "Give this many most likely alternatives with each token.";
        append: bool = false, (), "Put the prompt after what the session holds, instead of comparing it from the start.";
        add_special: bool = true, (), "Begin a text prompt as the model wants (BOS); not when appending.";
        parse_special: bool = false, (), "Read special tokens in a text prompt; off treats them as plain text.";
        emit_special: bool = false, (), "Give the text of special tokens in the answer.";
        chat_template: String = String::new(), (), "A built-in template's name for messages; empty = the model's own.";
        chat_template_args: String = String::new(), (), "Extra template variables, a JSON object.";
        tools: String = String::new(), (), "Tools for the template, a JSON array.";
        add_generation_prompt: bool = true, (), "End the rendered messages with the start of the assistant's turn.";
    }
}

/// Every kind of options with its table, for the printed reference.
pub fn reference() -> Vec<(&'static str, Vec<Spec>)> {
    vec![
        (ModelOptions::NAME, ModelOptions::specs()),
        (SessionOptions::NAME, SessionOptions::specs()),
        (GenerationOptions::NAME, GenerationOptions::specs()),
        (DatasetOptions::NAME, DatasetOptions::specs()),
        (TrainerOptions::NAME, TrainerOptions::specs()),
        (EvaluationOptions::NAME, EvaluationOptions::specs()),
        (AdapterOptions::NAME, AdapterOptions::specs()),
        (MergeOptions::NAME, MergeOptions::specs()),
        (EmbeddingOptions::NAME, EmbeddingOptions::specs()),
        (QuantizeOptions::NAME, QuantizeOptions::specs()),
        (SealOptions::NAME, SealOptions::specs()),
        (ConvertOptions::NAME, ConvertOptions::specs()),
        (ImatrixOptions::NAME, ImatrixOptions::specs()),
        (CompareOptions::NAME, CompareOptions::specs()),
        (PruneOptions::NAME, PruneOptions::specs()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;

    #[test]
    fn every_default_is_valid_and_reads_back() {
        fn check<O: Options>() {
            O::default().validate().unwrap();
            for spec in O::specs() {
                assert_eq!(O::default().get(spec.key).unwrap(), spec.default, "{}", spec.key);
                if !matches!(spec.kind, Kind::List | Kind::IntList(_)) {
                    O::default().set(spec.key, Input::Str(&spec.default)).unwrap();
                }
            }
        }
        check::<ModelOptions>();
        check::<SessionOptions>();
        check::<SamplingOptions>();
        check::<GenerationOptions>();
        check::<DatasetOptions>();
        check::<EncodingOptions>();
        check::<TrainerOptions>();
        check::<EvaluationOptions>();
        check::<EmbeddingOptions>();
        check::<QuantizeOptions>();
        check::<AdapterOptions>();
        check::<MergeOptions>();
        check::<SealOptions>();
        check::<ConvertOptions>();
        check::<ImatrixOptions>();
        check::<CompareOptions>();
        check::<PruneOptions>();
    }

    #[test]
    fn bad_keys_and_values_say_what_is_valid() {
        let mut options = SessionOptions::default();
        let error = options.set("n_ctxx", Input::Int(1)).unwrap_err();
        assert_eq!(error.code(), Code::UnknownOption);
        assert!(error.message().contains("n_ctx, "));
        for bad in [Input::Int(0), Input::Int(i64::MIN), Input::Str("big"), Input::Bool(true)] {
            let error = options.set("n_ctx", bad).unwrap_err();
            assert_eq!(error.code(), Code::InvalidOption, "{bad:?}");
            assert!(error.message().contains("\"auto\" or an integer from 8"), "{error}");
        }
        let error = options.set("kv_type", Input::Str("q3")).unwrap_err();
        assert!(error.message().contains("one of f16, f32"));
        assert_eq!(options, SessionOptions::default());
    }

    #[test]
    fn generation_takes_sampling_keys_and_floats_refuse_nan() {
        let mut options = GenerationOptions::default();
        options.set("temperature", Input::Int(0)).unwrap();
        options.set("stop", Input::Add("a")).unwrap();
        options.set("stop", Input::Add("b")).unwrap();
        assert_eq!(options.sampling.temperature, 0.0);
        assert_eq!(options.stop, ["a", "b"]);
        assert!(options.set("top_p", Input::Float(f64::NAN)).is_err());
        options.sampling.top_p = f64::INFINITY;
        assert_eq!(options.validate().unwrap_err().code(), Code::InvalidOption);
    }
}
