//! Rotation by position: pairs of each head turn by an angle that is the token's position times the pair's frequency.
//! Source: Su et al., RoFormer, 2021.

use std::ops::Range;

use crate::kernels::lanes::{self, Kernel, Lanes, sin_cos};
use crate::kernels::{Crew, Level, Need, Scratch};

/// The dims that can turn at most.
const LONGEST: usize = 1024;

/// Heads whose first `turned` dims are rotated; the others stay as they are. Strides are in floats.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rope {
    /// Dims of a head.
    pub width: usize,
    pub heads: usize,
    pub tokens: usize,
    /// Even.
    pub turned: usize,
    /// A pair is two neighbours; otherwise one of the first half of what turns, and one of the second.
    pub neighbours: bool,
    /// Of each token.
    pub positions: *const i32,
    /// The first pair turns once in 2 pi positions, the last nearly `base` times slower.
    pub base: f32,
    /// All frequencies are multiplied by it.
    pub scale: f32,
    /// Each pair's frequency is divided by one of these; null: by 1.
    pub factors: *const f32,
    /// What is rotated is multiplied by it.
    pub magnitude: f32,
    pub x: *const f32,
    pub x_head: usize,
    pub x_token: usize,
    pub y: *mut f32,
    pub y_head: usize,
    pub y_token: usize,
}

impl Rope {
    /// What it works with; `None` where it is not offered: frequencies, cosines and sines.
    pub(crate) fn need(&self, level: Level) -> Option<Need> {
        let fits = self.turned > 0 && self.turned <= LONGEST && self.turned <= self.width;
        let is_offered = level >= Level::Avx2 && fits && self.turned.is_multiple_of(2);
        is_offered.then(|| Need { shared: 0, own: 3 * self.turned * size_of::<f32>() })
    }

    /// Computes this thread's share.
    ///
    /// # Safety
    /// [`need`](Self::need) offered it for this level, which the processor has, and `scratch` holds as much; the
    /// pointers are valid for the shape. Each head of `y` is where the same one of `x` is, or where no head is.
    pub(crate) unsafe fn run(&self, level: Level, crew: Crew<'_>, scratch: Scratch) {
        let (tokens, own) = (crew.share(self.tokens, 1), scratch.own.cast());
        if !tokens.is_empty() {
            // SAFETY: by the contract of this function; shares are disjoint.
            unsafe {
                self.prepare(own);
                self.run_heads(level, [tokens, 0..self.heads], own);
            }
        }
    }

    /// Turns some heads of some tokens.
    ///
    /// # Safety
    /// As for [`run`](Self::run); nobody else computes these heads. `own` is as [`prepare`](Self::prepare) left it, or as
    /// this function did.
    pub(super) unsafe fn run_heads(
        &self,
        level: Level,
        [tokens, heads]: [Range<usize>; 2],
        own: *mut f32,
    ) {
        // SAFETY: by the contract of this function.
        unsafe { lanes::run(level, Turn { rope: self, tokens, heads, own }) };
    }

    /// How many cosines a token has: of every pair, or twice of each if neighbours are pairs.
    fn table(&self) -> usize {
        if self.neighbours { self.turned } else { self.turned / 2 }
    }

    /// Writes the frequency of each number in a table.
    ///
    /// # Safety
    /// There is a factor for each pair, and room at `own` as [`need`](Self::need) says.
    pub(super) unsafe fn prepare(&self, own: *mut f32) {
        // In f64, since errors of the steps add up.
        let step = f64::from(self.base).powf(-2.0 / self.turned as f64);
        let mut frequency = f64::from(self.scale);
        let copies = self.table() / (self.turned / 2);
        for pair in 0..self.turned / 2 {
            let by = if self.factors.is_null() {
                1.0
            } else {
                // SAFETY: the caller's.
                f64::from(unsafe { *self.factors.add(pair) })
            };
            for copy in 0..copies {
                // SAFETY: below the table's length.
                unsafe { *own.add(pair * copies + copy) = (frequency / by) as f32 };
            }
            frequency *= step;
        }
    }
}

/// Some heads of some tokens, turned by one thread.
struct Turn<'a> {
    rope: &'a Rope,
    tokens: Range<usize>,
    heads: Range<usize>,
    own: *mut f32,
}

impl Kernel for Turn<'_> {
    #[inline(always)]
    unsafe fn run<L: Lanes>(self) {
        let r = self.rope;
        let table = r.table();
        let (frequencies, cosines, sines) =
            (self.own, self.own.wrapping_add(r.turned), self.own.wrapping_add(2 * r.turned));
        // SAFETY: by the contract of `Rope::run`; each of the three has room for what turns.
        unsafe {
            for token in self.tokens.clone() {
                let position = L::splat(*r.positions.add(token) as f32);
                let magnitude = L::splat(r.magnitude);
                for i in (0..table).step_by(L::N) {
                    let n = table - i;
                    let angle = L::mul(position, L::load_first(n, frequencies.add(i)));
                    let (sine, cosine) = sin_cos::<L>(angle);
                    L::store_first(n, cosines.add(i), L::mul(cosine, magnitude));
                    L::store_first(n, sines.add(i), L::mul(sine, magnitude));
                }
                if r.neighbours {
                    // The first of a pair gets its neighbour times the sine taken away.
                    for i in (0..table).step_by(2) {
                        *sines.add(i) = -*sines.add(i);
                    }
                }
                for head in self.heads.clone() {
                    let x = r.x.add(token * r.x_token + head * r.x_head);
                    let y = r.y.add(token * r.y_token + head * r.y_head);
                    if r.neighbours {
                        neighbours::<L>(table, [cosines, sines], x, y);
                    } else {
                        halves::<L>(table, [cosines, sines], x, y);
                    }
                    if r.turned < r.width && !std::ptr::eq(x, y) {
                        y.add(r.turned)
                            .copy_from_nonoverlapping(x.add(r.turned), r.width - r.turned);
                    }
                }
            }
        }
    }
}

/// Turns a head whose pairs are neighbours.
///
/// # Safety
/// The head and both tables have `n` numbers.
#[inline(always)]
unsafe fn neighbours<L: Lanes>(n: usize, [cos, sin]: [*mut f32; 2], x: *const f32, y: *mut f32) {
    for i in (0..n).step_by(L::N) {
        let left = n - i;
        // SAFETY: as many lanes as are left, an even number, so that no pair is divided.
        unsafe {
            let value = L::load_first(left, x.add(i));
            let crossed = L::mul(L::swap_pairs(value), L::load_first(left, sin.add(i)));
            let turned = L::fma(value, L::load_first(left, cos.add(i)), crossed);
            L::store_first(left, y.add(i), turned);
        }
    }
}

/// Turns a head whose pairs are an element of its first half and one of its second.
///
/// # Safety
/// The tables have `n` numbers, and the head twice as many.
#[inline(always)]
unsafe fn halves<L: Lanes>(n: usize, [cos, sin]: [*mut f32; 2], x: *const f32, y: *mut f32) {
    for i in (0..n).step_by(L::N) {
        let left = n - i;
        // SAFETY: as many lanes as are left; both of a pair are read before they are written.
        unsafe {
            let (a, b) = (L::load_first(left, x.add(i)), L::load_first(left, x.add(n + i)));
            let (cos, sin) = (L::load_first(left, cos.add(i)), L::load_first(left, sin.add(i)));
            L::store_first(left, y.add(i), L::sub(L::mul(a, cos), L::mul(b, sin)));
            L::store_first(left, y.add(n + i), L::fma(a, sin, L::mul(b, cos)));
        }
    }
}
