//! What a tile's logits become, for one token. Written for whatever vectors the compiler has at a level.

use crate::kernels::Level;

/// Sums that are made side by side.
const LANES: usize = 16;

/// What is known of a token after some tiles of the vocabulary.
#[derive(Debug, Clone, Copy)]
pub(super) struct State {
    /// The largest logit but for the target's.
    pub most: f32,
    /// Its row; of several the first.
    pub best: i32,
    /// The target's logit.
    pub target: f32,
    /// The sum of e^(logit - most), but for the target's.
    pub sum: f64,
}

impl State {
    /// Before the first tile.
    pub(super) const START: State = State { most: f32::MIN, best: 0, target: 0.0, sum: 0.0 };
}

/// A tile of the vocabulary, as one token sees it.
pub(super) struct Tile<'a> {
    /// The logits, which become weights.
    pub logits: &'a mut [f32],
    /// The row of the weight that the first of them belongs to.
    pub first: usize,
    /// The target, if it is among them.
    pub target: Option<usize>,
    /// 0 if logits are not capped.
    pub cap: f32,
    /// What was summed up with the weights of tiles before, if anything.
    pub sums: &'a mut [f32],
    /// Whether anybody wants the weights.
    pub keeps: bool,
}

impl Tile<'_> {
    /// Adds the tile to what is known of the token.
    ///
    /// # Safety
    /// The processor has the level.
    pub(super) unsafe fn add(self, level: Level, state: State) -> State {
        if level >= Level::Avx512 {
            // SAFETY: the caller's.
            unsafe { self.add_avx512(state) }
        } else {
            // SAFETY: the caller's.
            unsafe { self.add_avx2(state) }
        }
    }

    /// # Safety
    /// The processor has AVX-512 F, BW, VL and DQ.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx2,fma")]
    unsafe fn add_avx512(self, state: State) -> State {
        self.add_to(state)
    }

    /// # Safety
    /// The processor has AVX2 and FMA.
    #[target_feature(enable = "avx2,fma")]
    unsafe fn add_avx2(self, state: State) -> State {
        self.add_to(state)
    }

    #[inline(always)]
    fn add_to(mut self, mut state: State) -> State {
        if self.cap != 0.0 {
            self.cap();
        }
        if let Some(target) = self.target.and_then(|at| self.logits.get_mut(at)) {
            state.target = std::mem::replace(target, f32::NEG_INFINITY);
        }
        let most = largest(self.logits);
        let before = state.most;
        if most > before {
            state.most = most;
            let at = self.logits.iter().position(|z| *z == most).unwrap_or(0);
            state.best = (self.first + at) as i32;
        }
        let worth = (f64::from(before) - f64::from(state.most)).exp();
        if worth != 1.0 {
            self.sums.iter_mut().for_each(|x| *x *= worth as f32);
        }
        state.sum = state.sum * worth + f64::from(self.soften(state.most));
        state
    }

    /// Caps the logits.
    #[inline(always)]
    fn cap(&mut self) {
        let double = 2.0 / self.cap;
        for z in self.logits.iter_mut() {
            // tanh x = 1 - 2 / (e^2x + 1). Beyond 40 it is 1; what is not a number stays so.
            let x = *z * double;
            let x = if x > 40.0 { 40.0 } else { x };
            *z = self.cap * (1.0 - 2.0 / (exp(x) + 1.0));
        }
    }

    /// Makes weights of the logits, and says what they add up to. Weights of capped logits are multiplied with the
    /// slope at which they are capped.
    #[inline(always)]
    fn soften(&mut self, most: f32) -> f32 {
        if !self.keeps {
            return weigh(self.logits, most, |z, _| z);
        }
        if self.cap == 0.0 {
            return weigh(self.logits, most, |_, p| p);
        }
        let part = 1.0 / self.cap;
        weigh(self.logits, most, |z, p| {
            // The target's logit is minus infinity, and has no slope.
            let squeezed = if z < -self.cap { 1.0 } else { z * part };
            p * (1.0 - squeezed * squeezed)
        })
    }
}

/// The sum of all e^(z - most); what `f` says of z and that power is put in z's place.
#[inline(always)]
fn weigh(logits: &mut [f32], most: f32, f: impl Fn(f32, f32) -> f32) -> f32 {
    let mut sums = [0f32; LANES];
    let (whole, rest) = logits.as_chunks_mut::<LANES>();
    for z in whole {
        for (z, sum) in z.iter_mut().zip(&mut sums) {
            let p = exp(*z - most);
            *sum += p;
            *z = f(*z, p);
        }
    }
    for (z, sum) in rest.iter_mut().zip(&mut sums) {
        let p = exp(*z - most);
        *sum += p;
        *z = f(*z, p);
    }
    sums.iter().sum()
}

/// The largest of some numbers; any of them, or less, if one is not a number.
#[inline(always)]
fn largest(z: &[f32]) -> f32 {
    let mut most = [f32::NEG_INFINITY; LANES];
    let (whole, rest) = z.as_chunks::<LANES>();
    for z in whole.iter().map(|z| z.as_slice()).chain([rest]) {
        for (z, most) in z.iter().zip(&mut most) {
            *most = if *z > *most { *z } else { *most };
        }
    }
    most.into_iter().fold(f32::NEG_INFINITY, |a, b| if b > a { b } else { a })
}

/// e^x for x up to 88, to within 2 units in the last place; 0 below -87. What is not a number stays so.
#[inline(always)]
fn exp(x: f32) -> f32 {
    /// Adding it leaves no room for a fraction: the lowest bits of the sum are those of the rounded number.
    const ROUNDER: f32 = (3 << 22) as f32;
    let rounded = x.mul_add(std::f32::consts::LOG2_E, ROUNDER);
    let n = rounded - ROUNDER;
    // ln 2 in two parts, the first with few bits, so that its product with n is exact.
    let r = n.mul_add(-0.693_359_4, x);
    let r = n.mul_add(2.121_944_4e-4, r);
    let p = 1.987_569_1e-4f32;
    let p = p.mul_add(r, 1.398_2e-3).mul_add(r, 8.333_452e-3).mul_add(r, 4.166_579_6e-2);
    let p = p.mul_add(r, 1.666_666_5e-1).mul_add(r, 0.5);
    let y = p.mul_add(r * r, r) + 1.0;
    let power = f32::from_bits((rounded.to_bits() << 23).wrapping_add(127 << 23));
    if x < -87.0 { 0.0 } else { y * power }
}
