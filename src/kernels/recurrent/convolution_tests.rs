//! Convolutions against their sums in f64, with gaps between all that is read and written.

use super::Convolution;
use crate::kernels::Level;
use crate::kernels::oracle::random_floats;
use crate::kernels::testing::{Together, levels, run_crew, with_gaps};

const GAP: f32 = 7.5;

/// Channels, tokens, taps, sequences and threads.
const SHAPES: [[usize; 5]; 7] = [
    [1, 4, 1, 1, 1],
    [7, 5, 4, 2, 2],
    [16, 16, 4, 1, 3],
    [40, 33, 3, 3, 2],
    [129, 8, 4, 1, 2],
    [64, 600, 4, 1, 2],
    [33, 4, 9, 2, 5],
];

fn check(level: Level, [channels, tokens, taps, sequences, threads]: [usize; 5]) {
    let row = tokens + taps - 1;
    let x = random_floats(sequences * channels * row, 1);
    let weight = random_floats(channels * taps, 2);
    let given = with_gaps(&x, row, &[f32::NAN; 3]);
    let weights = with_gaps(&weight, taps, &[f32::NAN]);
    let y_token = channels + 2;
    let mut y = vec![GAP; sequences * tokens * y_token];
    let convolution = Together(Convolution {
        channels,
        tokens,
        taps,
        sequences,
        x: given.as_ptr(),
        x_channel: row + 3,
        x_sequence: channels * (row + 3),
        weight: weights.as_ptr(),
        weight_channel: taps + 1,
        y: y.as_mut_ptr(),
        y_token,
        y_sequence: tokens * y_token,
    });
    let need = convolution.get().need(level).expect("a kernel");
    // SAFETY: the data is as the shape says, and the level one of the processor's.
    run_crew(threads, need, |crew, s| unsafe { convolution.get().run(level, crew, s) });
    for (i, y) in y.chunks(y_token).enumerate() {
        let (sequence, token) = (i / tokens, i % tokens);
        for (c, y) in y.iter().enumerate() {
            if c >= channels {
                assert_eq!(*y, GAP, "written between the tokens");
                continue;
            }
            let x = &x[(sequence * channels + c) * row + token..][..taps];
            let terms = x.iter().zip(&weight[c * taps..]);
            let exact: f64 = terms.map(|(x, w)| f64::from(*x) * f64::from(*w)).sum();
            assert!((f64::from(*y) - exact).abs() < 1e-5, "{level:?} {i} {c}: {y} for {exact}");
        }
    }
}

#[test]
fn every_token_has_the_weighted_sum_of_its_channel() {
    for level in levels() {
        for shape in SHAPES {
            check(level, shape);
        }
    }
}

#[test]
fn few_tokens_are_the_engines() {
    let (x, mut y) = ([0f32; 8], [0f32; 8]);
    let one = Convolution {
        channels: 2,
        tokens: 1,
        taps: 4,
        sequences: 1,
        x: x.as_ptr(),
        x_channel: 4,
        x_sequence: 8,
        weight: x.as_ptr(),
        weight_channel: 4,
        y: y.as_mut_ptr(),
        y_token: 2,
        y_sequence: 2,
    };
    assert!(one.need(Level::Avx2).is_none());
    let more = Convolution { tokens: 4, ..one };
    assert!(more.need(Level::Avx2).is_some() && more.need(Level::None).is_none());
}
