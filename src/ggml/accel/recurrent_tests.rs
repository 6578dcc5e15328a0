//! Layers with a state of fixed size, against the engine.

use super::super::testing::{Builder, Graph, Tensor};
use super::*;
use crate::kernels::Level;

const TOKENS: i64 = 37;
const CHANNELS: i64 = 50;
const SIZE: i64 = 32;
const HEADS: i64 = 6;

#[test]
fn convolutions_are_the_engines() {
    for (taps, sequences) in [(4, 1), (3, 2), (1, 1)] {
        let graph = Graph::new(1, |of, _| {
            let x = of.squared(of.given([TOKENS + taps - 1, CHANNELS, sequences]));
            vec![of.convolved(x, of.given([taps, CHANNELS, 1]))]
        });
        graph.assert_engines(1e-6);
    }
}

/// A rule for vectors of a token that lie beside others, as they do behind a convolution.
fn rule(of: &Builder, [q_heads, gates, tokens, kept]: [i64; 4]) -> Tensor {
    let some = |heads: i64| of.head(of.squared(of.given([SIZE, heads + 1, tokens])), heads);
    let gate = of.given([gates, HEADS, tokens]);
    let beta = of.given([1, HEADS, tokens]);
    let state = of.given([SIZE, SIZE, HEADS]);
    of.delta_rule([some(q_heads), some(q_heads), some(HEADS), gate, beta, state], kept)
}

#[test]
fn delta_rules_are_the_engines() {
    for [q_heads, gates, tokens] in
        [[HEADS, 1, 3], [2, 1, 3], [HEADS, SIZE, 2], [1, SIZE, 1], [3, 1, 1]]
    {
        let graph = Graph::new(1, |of, _| vec![rule(of, [q_heads, gates, tokens, 1])]);
        graph.assert_engines(1e-4);
    }
}

#[test]
fn rules_that_keep_more_states_stay_with_the_engine() {
    let graph = Graph::new(1, |of, _| vec![rule(of, [HEADS, 1, 3, 2])]);
    // SAFETY: the graph is valid, and so are its tensors.
    assert!(unsafe { Kernel::of(&graph.from(graph.last()), Level::Avx2) }.is_none());
}
