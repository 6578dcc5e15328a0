//! What layers that keep a state of fixed size compute besides products: convolutions along the tokens, and gated delta
//! rules.

mod convolution;
mod delta;

pub(crate) use convolution::Convolution;
pub(crate) use delta::{DeltaRule, Steps};

#[cfg(test)]
mod convolution_tests;
#[cfg(test)]
mod delta_tests;
