//! The options of training.

use super::table::{choice, options};
use super::{Auto, EncodingOptions, MAX_INT};

choice! {
    /// How parameters follow their gradients.
    OptimizerKind {
        Adamw = "adamw" "Adam with weight decay apart from the gradient.",
        Adam = "adam" "Adam; weight decay is added to the gradient (L2).",
        Adagrad = "adagrad" "Steps shrink with the sum of squared gradients; weight decay is L2.",
        Sgd = "sgd" "Plain gradient descent with momentum; weight decay is L2.",
    }
}

choice! {
    /// How the learning rate changes after the warm-up.
    LrSchedule {
        Linear = "linear" "Falls to zero in a straight line.",
        Cosine = "cosine" "Falls to zero along half a cosine.",
        Constant = "constant" "Stays.",
    }
}

options! {
    /// How an adapter is trained.
    TrainerOptions = "trainer" + encoding: EncodingOptions {
        lora_rank: i64 = 8, 1..=4096, "Rank of the adapter's matrices; at most the smaller side of each weight.";
        lora_alpha: f64 = 16.0, 0.001..=65_536.0, "Scale of the adapter: alpha / rank.";
        rs_lora: bool = false, (), "Scale by alpha / sqrt(rank) instead (rsLoRA), for high ranks.";
        lora_dropout: f64 = 0.0, 0.0..=0.9, "Chance that an input of the adapter is left out of a training pass.";
        lora_targets: String = "all".into(), (), "Weights to adapt: all, attention, or names such as attn_q,attn_v.";
        first_layer: i64 = 0, 0..=MAX_INT, "First layer to adapt.";
        last_layer: Auto = Auto::Auto, 0..=MAX_INT, "Last layer to adapt; auto = the model's last.";
        epochs: i64 = 2, 1..=100_000, "Passes over the examples.";
        max_steps: Auto = Auto::Auto, 1..=MAX_INT, "Optimizer steps at most; auto = as many as the epochs take.";
        batch_size: i64 = 4, 1..=65_536, "Examples in one optimizer step.";
        micro_batch: Auto = Auto::Auto, 1..=65_536, "Examples at most in one pass, whose gradients add up to the step's; auto = as many as fit in n_ctx.";
        n_ctx: Auto = Auto::Auto, 8..=MAX_INT, "Tokens in one row of a pass; auto = the longest example, as far as the model's context goes.";
        packing: bool = true, (), "Put several examples into one row; each sees only itself.";
        optimizer: OptimizerKind = OptimizerKind::Adamw, (), "How parameters follow their gradients.";
        learning_rate: Auto<f64> = Auto::Auto, 0.0..=1.0, "Step size after the warm-up; auto = 0.003, for models wider than 576 in proportion less.";
        weight_decay: f64 = 0.0, 0.0..=1.0, "Pull of the parameters towards zero; 0 = off.";
        momentum: f64 = 0.9, 0.0..=0.9999, "Share of the last direction that sgd keeps; 0 = off.";
        adam_beta1: f64 = 0.9, 0.0..=0.999_999, "Decay of Adam's mean of gradients.";
        adam_beta2: f64 = 0.999, 0.0..=0.999_999, "Decay of Adam's mean of squared gradients.";
        adam_epsilon: f64 = 1e-8, 1e-12..=0.1, "Added to the divisor of Adam, AdamW and Adagrad.";
        lr_schedule: LrSchedule = LrSchedule::Linear, (), "How the learning rate changes after the warm-up.";
        warmup_steps: Auto = Auto::Auto, 0..=MAX_INT, "Steps in which the learning rate grows from zero; auto = by warmup_ratio.";
        warmup_ratio: f64 = 0.0, 0.0..=1.0, "Share of all steps that are warm-up, where warmup_steps is auto.";
        max_grad_norm: f64 = 1.0, 0.0..=1e9, "Gradients together are scaled down to this L2 norm; 0 = off.";
        seed: i64 = 42, 0..=i64::MAX, "Seed of the initial adapter, the order of examples and the dropout.";
        validation_fraction: f64 = 0.0, 0.0..=0.9, "Share of the examples held out for validation, where no validation data is given.";
        validate_every: i64 = 0, 0..=MAX_INT, "Steps between validations; 0 = at the end of each epoch.";
        early_stopping_patience: i64 = 0, 0..=MAX_INT, "Stop after so many validations without a better loss; 0 = off.";
        min_delta: f64 = 0.0, 0.0..=1e6, "A validation loss is better when it is lower by more than this.";
        checkpoint_every: i64 = 0, 0..=MAX_INT, "Steps between checkpoints; 0 = at the end of each epoch.";
        memory_budget: Auto = Auto::Auto, 1_048_576..=i64::MAX, "Bytes that training may use beside the weights: what is left of them keeps results that are else computed twice; auto = nine tenths of the free memory, but for that only a 32nd, and three times what is needed at least.";
        n_threads: Auto = Auto::Auto, 1..=512, "CPU threads; auto = the performance cores.";
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;
    use crate::options::{Input, Options};

    #[test]
    fn absurd_values_are_refused_and_change_nothing() {
        let mut options = TrainerOptions::default();
        for (key, bad) in [
            ("lora_rank", "0"),
            ("lora_rank", "1000000"),
            ("lora_alpha", "0"),
            ("lora_alpha", "-16"),
            ("lora_dropout", "1"),
            ("first_layer", "-1"),
            ("epochs", "0"),
            ("max_steps", "0"),
            ("batch_size", "0"),
            ("n_ctx", "1"),
            ("learning_rate", "10"),
            ("learning_rate", "-0.1"),
            ("learning_rate", "NaN"),
            ("learning_rate", "inf"),
            ("momentum", "1"),
            ("adam_beta1", "1"),
            ("adam_beta2", "1.5"),
            ("adam_epsilon", "0"),
            ("optimizer", "lion"),
            ("lr_schedule", "step"),
            ("warmup_ratio", "2"),
            ("max_grad_norm", "-1"),
            ("seed", "-1"),
            ("validation_fraction", "1"),
            ("min_delta", "NaN"),
            ("memory_budget", "1000"),
        ] {
            let error = options.set(key, Input::Str(bad)).unwrap_err();
            assert_eq!(error.code(), Code::InvalidOption, "{key}={bad}");
            assert!(error.message().contains(key), "{error}");
        }
        assert_eq!(options, TrainerOptions::default());
    }

    #[test]
    fn floats_survive_as_text() {
        for value in [5e-4, 1e-8, 1e-12, 0.1 + 0.2, f64::MIN_POSITIVE] {
            let options = TrainerOptions { learning_rate: value.into(), ..Default::default() };
            let text = options.get("learning_rate").unwrap();
            let mut read = TrainerOptions::default();
            read.set("learning_rate", Input::Str(&text)).unwrap();
            assert_eq!(
                read.learning_rate.value().map(f64::to_bits),
                Some(value.to_bits()),
                "{text}"
            );
        }
    }
}
