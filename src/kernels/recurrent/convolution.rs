//! Causal convolutions of each channel along the tokens, as Mamba (Gu and Dao, 2023) and the layers after it have them.

use std::ops::Range;

use crate::kernels::lanes::{self, Kernel, Lanes};
use crate::kernels::{Crew, Level, Need, Scratch};

/// The most lanes of a vector.
const WIDEST: usize = 16;
/// With fewer tokens most lanes are idle, and the engine's own kernel is as quick.
const LEAST_TOKENS: usize = 4;

/// `y[s][t][c] = sum over k of w[c][k] * x[s][c][t + k]`, for every sequence, token and channel. Strides are in floats.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Convolution {
    pub channels: usize,
    pub tokens: usize,
    pub taps: usize,
    pub sequences: usize,
    /// For each channel `taps - 1` values before the tokens', then theirs.
    pub x: *const f32,
    pub x_channel: usize,
    pub x_sequence: usize,
    /// For each channel `taps` values.
    pub weight: *const f32,
    pub weight_channel: usize,
    /// For each token a value of every channel; they overlap nothing that is read.
    pub y: *mut f32,
    pub y_token: usize,
    pub y_sequence: usize,
}

impl Convolution {
    /// What it works with; `None` where it is not offered.
    pub(crate) fn need(&self, level: Level) -> Option<Need> {
        let is_offered = level >= Level::Avx2 && self.tokens >= LEAST_TOKENS && self.taps > 0;
        is_offered.then_some(Need::default())
    }

    /// Computes this thread's share.
    ///
    /// # Safety
    /// [`need`](Self::need) offered it for this level, which the processor has; the pointers are valid for the shape.
    pub(crate) unsafe fn run(&self, level: Level, crew: Crew<'_>, _scratch: Scratch) {
        let channels = crew.share(self.channels, WIDEST);
        for sequence in 0..self.sequences {
            let channels = channels.clone();
            // SAFETY: by the contract of this function; shares are disjoint.
            unsafe { lanes::run(level, Channels { of: self, sequence, channels }) };
        }
    }
}

/// Some channels of a sequence.
struct Channels<'a> {
    of: &'a Convolution,
    sequence: usize,
    channels: Range<usize>,
}

impl Kernel for Channels<'_> {
    #[inline(always)]
    unsafe fn run<L: Lanes>(self) {
        for first in self.channels.clone().step_by(L::N) {
            let count = L::N.min(self.channels.end - first);
            for token in (0..self.of.tokens).step_by(L::N) {
                // SAFETY: by the contract of `Convolution::run`.
                unsafe { self.square::<L>([first, count], token) };
            }
        }
    }
}

impl Channels<'_> {
    /// The values of up to `L::N` channels and as many tokens: each channel's side by side, then each token's.
    ///
    /// # Safety
    /// As [`Convolution::run`]; there are such channels and tokens.
    #[inline(always)]
    unsafe fn square<L: Lanes>(&self, [first, count]: [usize; 2], token: usize) {
        let of = self.of;
        let tokens = L::N.min(of.tokens - token);
        let x = of.x.wrapping_add(self.sequence * of.x_sequence + token);
        let y = of.y.wrapping_add(self.sequence * of.y_sequence + token * of.y_token + first);
        let mut between = [0f32; WIDEST * WIDEST];
        // SAFETY: the caller's; a channel has `taps - 1` values more than tokens.
        unsafe {
            for i in 0..count {
                let x = x.add((first + i) * of.x_channel);
                let weight = of.weight.add((first + i) * of.weight_channel);
                let mut sum = L::splat(0.0);
                for tap in 0..of.taps {
                    let value = L::load_first(tokens, x.add(tap));
                    sum = L::fma(L::splat(*weight.add(tap)), value, sum);
                }
                L::store(between.as_mut_ptr().add(i * WIDEST), sum);
            }
            L::transpose_some(between.as_ptr(), WIDEST, [count, tokens], y, of.y_token, count);
        }
    }
}
