//! Gated delta rules: Yang et al., "Gated Delta Networks", 2024; with a gate for each element, Kimi Linear, 2025.
//!
//! Columns of a state have nothing to do with each other, and are rows in memory. A few of them stay in the nearest cache
//! for some tokens, and each is passed once a token: what the next token's key finds in it is summed up with that.

use crate::kernels::lanes::{self, Kernel, Lanes, exp};
use crate::kernels::{Crew, Level, Need, Scratch};

/// Tokens for which decays and keys are made ready at a time.
const BLOCK: usize = 16;
/// Columns that are passed together.
const TOGETHER: usize = 4;
/// Sizes are multiples of this: whole vectors of any level.
const UNIT: usize = 16;
/// A head is split for more threads than there are heads, but not into fewer columns than this.
const LEAST_COLUMNS: usize = 16;

/// A tensor that holds something for each head, token and sequence. Strides are in floats.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Steps {
    pub at: *const f32,
    pub head: usize,
    pub token: usize,
    pub sequence: usize,
}

impl Steps {
    fn of(&self, head: usize, token: usize, sequence: usize) -> *const f32 {
        self.at.wrapping_add(head * self.head + token * self.token + sequence * self.sequence)
    }
}

/// For every head and sequence, token after token: `S = exp(g) S`, the rows or all of it; `d = beta (v - S^T k)`;
/// `S = S + k d^T`; `y = S^T q / sqrt(size)`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DeltaRule {
    /// Elements of a key, a query and a value.
    pub size: usize,
    pub heads: usize,
    pub tokens: usize,
    pub sequences: usize,
    /// Head `i` has the queries of head `i % q_heads`, and the keys of `i % k_heads`.
    pub q: Steps,
    pub q_heads: usize,
    pub k: Steps,
    pub k_heads: usize,
    pub v: Steps,
    /// One gate for each head, or for each of its keys' elements.
    pub gate: Steps,
    pub gates_elements: bool,
    pub beta: Steps,
    /// Column after column, head after head, sequence after sequence, without gaps.
    pub state: *const f32,
    /// Heads after tokens after sequences, without gaps; and the states afterwards. They overlap nothing that is read.
    pub y: *mut f32,
    pub state_after: *mut f32,
}

impl DeltaRule {
    /// What it works with; `None` where it is not offered.
    pub(crate) fn need(&self, level: Level) -> Option<Need> {
        let is_offered = level >= Level::Avx2
            && self.size > 0
            && self.size.is_multiple_of(UNIT)
            && self.q_heads > 0
            && self.k_heads > 0;
        let floats = 2 * BLOCK * self.size;
        is_offered.then_some(Need { shared: 0, own: size_of::<f32>() * floats })
    }

    /// Computes it. Every thread of the crew calls this.
    ///
    /// # Safety
    /// [`need`](Self::need) offered it for this level, which the processor has, and `scratch` holds as much; the pointers
    /// are valid for the shape. The crew has just been formed.
    pub(crate) unsafe fn run(&self, level: Level, crew: Crew<'_>, scratch: Scratch) {
        let all = self.heads * self.sequences;
        let mut columns = self.size;
        while all * (self.size / columns) < 2 * crew.count
            && columns.is_multiple_of(2 * LEAST_COLUMNS)
        {
            columns /= 2;
        }
        let parts = self.size / columns;
        for item in crew.tickets(0, all * parts) {
            let (i, first) = (item / parts, item % parts * columns);
            let (sequence, head) = (i / self.heads, i % self.heads);
            let own = scratch.own.cast();
            let part = Part { of: self, sequence, head, first, columns, own };
            // SAFETY: by the contract of this function; every item is one thread's.
            unsafe { lanes::run(level, part) };
        }
    }
}

/// Some columns of a head's state.
struct Part<'a> {
    of: &'a DeltaRule,
    sequence: usize,
    head: usize,
    first: usize,
    columns: usize,
    own: *mut f32,
}

impl Kernel for Part<'_> {
    #[inline(always)]
    unsafe fn run<L: Lanes>(self) {
        for token in (0..self.of.tokens).step_by(BLOCK) {
            let end = self.of.tokens.min(token + BLOCK);
            // SAFETY: by the contract of `DeltaRule::run`.
            unsafe {
                self.prepare::<L>(token, end);
                for column in (self.first..self.first + self.columns).step_by(TOGETHER) {
                    self.columns::<L>(column, token, end);
                }
            }
        }
    }
}

impl Part<'_> {
    /// Where a token of a block has its decays, and then its keys that have decayed as the state will have.
    fn ready(&self, i: usize) -> [*mut f32; 2] {
        let at = self.own.wrapping_add(2 * i * self.of.size);
        [at, at.wrapping_add(self.of.size)]
    }

    fn key(&self, token: usize) -> *const f32 {
        self.of.k.of(self.head % self.of.k_heads, token, self.sequence)
    }

    fn query(&self, token: usize) -> *const f32 {
        self.of.q.of(self.head % self.of.q_heads, token, self.sequence)
    }

    /// Makes decays and keys ready for some tokens.
    ///
    /// # Safety
    /// As [`DeltaRule::run`]; no more than a block of tokens.
    #[inline(always)]
    unsafe fn prepare<L: Lanes>(&self, start: usize, end: usize) {
        for token in start..end {
            let (key, [decay, decayed]) = (self.key(token), self.ready(token - start));
            let gate = self.of.gate.of(self.head, token, self.sequence);
            // SAFETY: the caller's; sizes are whole vectors.
            unsafe {
                let mut factor = exp::<L>(L::splat(*gate));
                for i in (0..self.of.size).step_by(L::N) {
                    if self.of.gates_elements {
                        factor = exp::<L>(L::load(gate.add(i)));
                    }
                    L::store(decay.add(i), factor);
                    L::store(decayed.add(i), L::mul(factor, L::load(key.add(i))));
                }
            }
        }
    }

    /// Passes the columns from one on, for tokens that were made ready.
    ///
    /// # Safety
    /// As [`DeltaRule::run`]; there are so many.
    #[inline(always)]
    unsafe fn columns<L: Lanes>(&self, column: usize, start: usize, end: usize) {
        let of = self.of;
        let head = self.sequence * of.heads + self.head;
        let place = (head * of.size + column) * of.size;
        let to = of.state_after.wrapping_add(place);
        let before = of.state.wrapping_add(place);
        let mut from = if start == 0 { before } else { to.cast_const() };
        let scale = (of.size as f32).sqrt().recip();
        let mut found = [0f32; TOGETHER];
        let mut out = [0f32; TOGETHER];
        // SAFETY: the caller's.
        unsafe {
            let mut sums = [L::splat(0.0); TOGETHER];
            let [_, key] = self.ready(0);
            for i in (0..of.size).step_by(L::N) {
                let key = L::load(key.add(i));
                for (c, sum) in sums.iter_mut().enumerate() {
                    let place = c * of.size + i;
                    if start == 0 {
                        // The next columns, and where they go, are on their way while these are computed with.
                        L::prefetch(from.wrapping_add(place + TOGETHER * of.size).cast());
                        L::prefetch(
                            to.wrapping_add(place + TOGETHER * of.size).cast_const().cast(),
                        );
                    }
                    *sum = L::fma(L::load(from.add(place)), key, *sum);
                }
            }
            L::store_sums(found.as_mut_ptr(), sums);
            for token in start..end {
                let value = of.v.of(self.head, token, self.sequence).add(column);
                let beta = *of.beta.of(self.head, token, self.sequence);
                let mut deltas = [L::splat(0.0); TOGETHER];
                for (c, delta) in deltas.iter_mut().enumerate() {
                    *delta = L::splat(beta * (*value.add(c) - found[c]));
                }
                // The last token has no next one: what is found for its own key is not used.
                let i = token - start;
                let [decay, _] = self.ready(i);
                let [_, next] = self.ready((i + 1).min(end - 1 - start));
                let token_of =
                    Token { key: self.key(token), query: self.query(token), decay, next };
                let [outs, sums] = token_of.pass::<L>(of.size, from, to, deltas);
                L::store_sums(out.as_mut_ptr(), outs);
                L::store_sums(found.as_mut_ptr(), sums);
                let y = (self.sequence * of.tokens + token) * of.heads + self.head;
                let y = of.y.add(y * of.size + column);
                for (c, out) in out.iter().enumerate() {
                    *y.add(c) = out * scale;
                }
                from = to;
            }
        }
    }
}

/// What passes the columns for a token.
struct Token {
    key: *const f32,
    query: *const f32,
    decay: *const f32,
    /// The key of the next token, decayed.
    next: *const f32,
}

impl Token {
    /// Lets columns decay and adds the key times their deltas; returns what the query and the next key find in them, in
    /// parts.
    ///
    /// # Safety
    /// As [`Part::columns`].
    #[inline(always)]
    unsafe fn pass<L: Lanes>(
        &self,
        size: usize,
        from: *const f32,
        to: *mut f32,
        deltas: [L::V; TOGETHER],
    ) -> [[L::V; TOGETHER]; 2] {
        // SAFETY: the caller's.
        unsafe {
            let mut outs = [L::splat(0.0); TOGETHER];
            let mut sums = [L::splat(0.0); TOGETHER];
            for i in (0..size).step_by(L::N) {
                let at = [self.key, self.query, self.decay, self.next];
                let [key, query, decay, next] = at.map(|x| x.add(i));
                let (key, query) = (L::load(key), L::load(query));
                let (decay, next) = (L::load(decay), L::load(next));
                for c in 0..TOGETHER {
                    let place = c * size + i;
                    let x = L::mul(decay, L::load(from.add(place)));
                    let x = L::fma(deltas[c], key, x);
                    L::store(to.add(place), x);
                    outs[c] = L::fma(x, query, outs[c]);
                    sums[c] = L::fma(x, next, sums[c]);
                }
            }
            [outs, sums]
        }
    }
}
