//! A model with our kernels and the same without, and how far apart what they say is.

use std::path::Path;

use nestling::format::Source;
use nestling::model::Model;
use nestling::options::{Accel, ModelOptions};

use super::support::Tiny;

/// The engine's own kernels alone.
pub fn off() -> ModelOptions {
    ModelOptions { accel: Accel::Off, ..Default::default() }
}

pub fn open_with(path: &Path, options: &ModelOptions) -> Model {
    Model::open(path, options).unwrap()
}

/// With our kernels, and without.
pub fn pair(tiny: &Tiny) -> [Model; 2] {
    let bytes = tiny.bytes();
    [ModelOptions::default(), off()]
        .map(|options| Model::open(Source::memory(bytes.clone()), &options).unwrap())
}

/// The Kullback-Leibler divergence of the probabilities behind two rows of logits, in nats.
pub fn divergence(expected: &[f32], got: &[f32]) -> f64 {
    assert_eq!(expected.len(), got.len());
    assert!(got.iter().all(|v| v.is_finite()), "logits are numbers");
    let (p, q) = (log_softmax(expected), log_softmax(got));
    p.iter().zip(&q).map(|(p, q)| p.exp() * (p - q)).sum()
}

fn log_softmax(logits: &[f32]) -> Vec<f64> {
    let max = logits.iter().copied().fold(f32::MIN, f32::max);
    let sum: f64 = logits.iter().map(|&v| f64::from(v - max).exp()).sum();
    logits.iter().map(|&v| f64::from(v - max) - sum.ln()).collect()
}
