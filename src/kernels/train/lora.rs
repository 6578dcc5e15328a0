//! The pair of a LoRA adapter beside a weight: y += s B u with u = A x, and the way back.
//!
//! With du = s B^T dy: dB += s dy u^T, dA += du x^T, dx = A^T du. Source: Hu et al., LoRA: Low-Rank Adaptation of Large
//! Language Models, 2021.

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
        let offered = level >= Level::Avx512 && (1..=MOST).contains(&self.rank);
        offered.then_some(Need { shared: floats * size_of::<f32>(), own: 0 })
    }

    /// This thread's part of B transposed, `[rank][n_out]`.
    ///
    /// # Safety
    /// `to` has room for it, and nobody reads it yet.
    #[cfg(target_arch = "x86_64")]
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
    pub(crate) unsafe fn run(&self, _level: Level, crew: Crew<'_>, _scratch: Scratch) {
        #[cfg(target_arch = "x86_64")]
        {
            use super::narrow::{Narrow, TOKENS, dots};
            let Pair { a, rank, n_in, .. } = self.pair;
            let down = Narrow { data: a, rank, width: n_in };
            // SAFETY: by the contract of this function; the tokens are this thread's alone.
            unsafe { dots(down, self.x, crew.share(self.tokens, TOKENS), self.u, 1.0) };
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = crew;
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
    pub(crate) unsafe fn run(&self, _level: Level, crew: Crew<'_>, scratch: Scratch) {
        #[cfg(target_arch = "x86_64")]
        {
            use super::narrow::{Narrow, Sink, TOKENS, spread};
            let Pair { rank, n_out, scale, .. } = self.pair;
            let transposed = scratch.shared.cast::<f32>();
            let up = Narrow { data: transposed, rank, width: n_out };
            let sink = Sink { to: self.y, add: true, mask: std::ptr::null(), scale };
            // SAFETY: by the contract of this function; the barrier is between writing and reading the transpose, and
            // the tokens are this thread's alone.
            unsafe {
                self.pair.transpose(crew, transposed);
                crew.wait();
                spread(up, self.u, crew.share(self.tokens, TOKENS), sink);
            }
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = (crew, scratch);
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
    pub(crate) unsafe fn run(&self, _level: Level, crew: Crew<'_>, scratch: Scratch) {
        #[cfg(target_arch = "x86_64")]
        {
            use super::narrow::{COLUMNS, Narrow, Sink, Sums, TOKENS, dots, outer, spread};
            let Pair { a, rank, n_in, n_out, scale, .. } = self.pair;
            let n = self.tokens;
            let tokens = crew.share(n, TOKENS);
            let transposed = scratch.shared.cast::<f32>();
            let du = transposed.wrapping_add(rank * n_out);
            let (down, up) = (
                Narrow { data: a, rank, width: n_in },
                Narrow { data: transposed, rank, width: n_out },
            );
            let sink = Sink { to: self.dx, add: self.accumulate, mask: self.mask, scale: 1.0 };
            let da = Sums { to: self.da, rank_step: n_in, column_step: 1, scale: 1.0 };
            let db = Sums { to: self.db, rank_step: 1, column_step: rank, scale };
            // SAFETY: by the contract of this function; barriers are between writing and reading the transpose and du;
            // tokens and columns are this thread's alone.
            unsafe {
                self.pair.transpose(crew, transposed);
                outer((self.u, rank), (self.dy, n_out), n, crew.share(n_out, COLUMNS), db);
                crew.wait();
                dots(up, self.dy, tokens.clone(), du, scale);
                crew.wait();
                outer((du, rank), (self.x, n_in), n, crew.share(n_in, COLUMNS), da);
                if !self.dx.is_null() {
                    spread(down, du, tokens, sink);
                }
            }
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = (crew, scratch);
    }
}
