//! The pair of a LoRA adapter beside a weight: y += s B u with u = A x, and the way back.
//!
//! With du = s B^T dy: dB += s dy u^T, dA += du x^T, dx = A^T du. Source: Hu et al., LoRA: Low-Rank Adaptation of Large
//! Language Models, 2021.

use super::narrow::{COLUMNS, Dots, Narrow, Outer, Sink, Spread, Sums, TOKENS};
use crate::kernels::lanes;
use crate::kernels::{Crew, Level, Need, Scratch};

/// Ranks up to which these kernels are worth it: wider matrices are products like others.
const MOST: usize = 64;

/// A pair's matrices: `a` is `[rank][n_in]`, `b` is `[n_out][rank]`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pair {
    pub a: *const f32,
    pub b: *const f32,
    pub rank: usize,
    pub n_in: usize,
    pub n_out: usize,
    /// The adapter's s.
    pub scale: f32,
}

/// u = A x: the way down to the pair's rank.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LoraDown {
    pub pair: Pair,
    pub tokens: usize,
    /// `[tokens][n_in]`.
    pub x: *const f32,
    /// `[tokens][rank]`.
    pub u: *mut f32,
}

/// y += s B u: the way up again.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LoraUp {
    pub pair: Pair,
    pub tokens: usize,
    /// `[tokens][rank]`.
    pub u: *const f32,
    /// `[tokens][n_out]`.
    pub y: *mut f32,
}

/// What goes back through [`LoraDown`] and [`LoraUp`]: sums of gradients are added to, `dx` is set.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LoraBack {
    pub pair: Pair,
    pub tokens: usize,
    /// What was multiplied with A, `[tokens][n_in]`.
    pub x: *const f32,
    /// A times it, `[tokens][rank]`.
    pub u: *const f32,
    /// `[tokens][n_out]`.
    pub dy: *const f32,
    /// As `a`.
    pub da: *mut f32,
    /// As `b`.
    pub db: *mut f32,
    /// `[tokens][n_in]`; null if it is not wanted.
    pub dx: *mut f32,
    /// What `dx` is multiplied with, element by element; may be null.
    pub mask: *const f32,
    /// Adds to what is in `dx`.
    pub accumulate: bool,
}

impl Pair {
    /// Room for so many floats, where the pair is offered.
    fn need(&self, level: Level, floats: usize) -> Option<Need> {
        let offered = level >= Level::Avx2 && (1..=MOST).contains(&self.rank);
        offered.then_some(Need { shared: floats * size_of::<f32>(), own: 0 })
    }

    /// This thread's part of B transposed, `[rank][n_out]`.
    ///
    /// # Safety
    /// `to` has room for it, and nobody reads it yet.
    unsafe fn transpose(&self, crew: Crew<'_>, to: *mut f32) {
        for o in crew.share(self.n_out, 16) {
            for j in 0..self.rank {
                // SAFETY: both are inside their matrices.
                unsafe { *to.add(j * self.n_out + o) = *self.b.add(o * self.rank + j) };
            }
        }
    }
}

impl LoraDown {
    /// What it works with; `None` where it is not offered.
    pub(crate) fn need(&self, level: Level) -> Option<Need> {
        self.pair.need(level, 0)
    }

    /// Computes this thread's share.
    ///
    /// # Safety
    /// [`need`](Self::need) gave this scratch's size for this level, which the processor has; the matrices are as large
    /// as their shapes say; all threads of the crew call it.
    pub(crate) unsafe fn run(&self, level: Level, crew: Crew<'_>, _scratch: Scratch) {
        let Pair { a, rank, n_in, .. } = self.pair;
        let m = Narrow { data: a, rank, width: n_in };
        let tokens = crew.share(self.tokens, TOKENS);
        // SAFETY: by the contract of this function; the tokens are this thread's alone.
        unsafe { lanes::run(level, Dots { m, x: self.x, tokens, out: self.u, scale: 1.0 }) };
    }
}

impl LoraUp {
    /// What it works with; `None` where it is not offered.
    pub(crate) fn need(&self, level: Level) -> Option<Need> {
        self.pair.need(level, self.pair.rank * self.pair.n_out)
    }

    /// Computes this thread's share.
    ///
    /// # Safety
    /// As for [`LoraDown::run`].
    pub(crate) unsafe fn run(&self, level: Level, crew: Crew<'_>, scratch: Scratch) {
        let Pair { rank, n_out, scale, .. } = self.pair;
        let transposed = scratch.shared.cast::<f32>();
        let m = Narrow { data: transposed, rank, width: n_out };
        let sink = Sink { to: self.y, add: true, mask: std::ptr::null(), scale };
        let tokens = crew.share(self.tokens, TOKENS);
        // SAFETY: by the contract of this function; the barrier is between writing and reading the transpose, and the
        // tokens are this thread's alone.
        unsafe {
            self.pair.transpose(crew, transposed);
            crew.wait();
            lanes::run(level, Spread { m, c: self.u, tokens, sink });
        }
    }
}

impl LoraBack {
    /// What it works with; `None` where it is not offered.
    pub(crate) fn need(&self, level: Level) -> Option<Need> {
        self.pair.need(level, self.pair.rank * (self.pair.n_out + self.tokens))
    }

    /// Computes this thread's share.
    ///
    /// # Safety
    /// As for [`LoraDown::run`].
    pub(crate) unsafe fn run(&self, level: Level, crew: Crew<'_>, scratch: Scratch) {
        let Pair { a, rank, n_in, n_out, scale, .. } = self.pair;
        let n = self.tokens;
        let tokens = crew.share(n, TOKENS);
        let transposed = scratch.shared.cast::<f32>();
        let du = transposed.wrapping_add(rank * n_out);
        let down = Narrow { data: a, rank, width: n_in };
        let up = Narrow { data: transposed, rank, width: n_out };
        let da = Outer {
            c: du,
            rank,
            x: self.x,
            width: n_in,
            tokens: n,
            columns: crew.share(n_in, COLUMNS),
            sums: Sums { to: self.da, rank_step: n_in, column_step: 1, scale: 1.0 },
        };
        let db = Outer {
            c: self.u,
            rank,
            x: self.dy,
            width: n_out,
            tokens: n,
            columns: crew.share(n_out, COLUMNS),
            sums: Sums { to: self.db, rank_step: 1, column_step: rank, scale },
        };
        // SAFETY: by the contract of this function; barriers are between writing and reading the transpose and du; tokens
        // and columns are this thread's alone.
        unsafe {
            self.pair.transpose(crew, transposed);
            lanes::run(level, db);
            crew.wait();
            let all = Dots { m: up, x: self.dy, tokens: tokens.clone(), out: du, scale };
            lanes::run(level, all);
            crew.wait();
            lanes::run(level, da);
            if !self.dx.is_null() {
                let sink = Sink { to: self.dx, add: self.accumulate, mask: self.mask, scale: 1.0 };
                lanes::run(level, Spread { m: down, c: du, tokens, sink });
            }
        }
    }
}
