//! What is done with each row of activations by itself: sums, gates, norms, the rotation that tells positions, rows that
//! continue others, and rows that are put where numbers say.
//!
//! All of it is in f32. A row is one thread's work, from its first element to its last, so that neither the number of
//! threads nor what else is computed makes a difference; a single row is done by one thread, while the others go on. Only of
//! a few tokens between products and attention the heads are divided: each is a row to what is done with it (`heads.rs`).
//! Results may take the place of what they follow from.

mod add;
mod concat;
mod gate;
mod heads;
mod norm;
mod rope;
mod set_rows;
mod weighted_sum;

pub(crate) use add::AddForward;
pub(crate) use concat::{Concat, Parts};
pub(crate) use gate::{Curve, GateForward, sigmoid_part};
pub(crate) use heads::{Chain, Heads};
pub(crate) use norm::{NormForward, inverse};
pub(crate) use rope::Rope;
pub(crate) use set_rows::SetRows;
pub(crate) use weighted_sum::WeightedSum;

#[cfg(test)]
mod concat_tests;
#[cfg(test)]
mod heads_tests;
#[cfg(test)]
mod rope_tests;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
