//! Attention over a cache of keys and values: flash attention (Dao et al., 2022), for prompts and for single tokens.
//!
//! An item of work is a key head with all the query heads that share it, and some tokens: keys and values are read once
//! for all of these rows, in blocks of cells. Everything is f32 but what the cache holds.

#![cfg_attr(
    not(target_arch = "x86_64"),
    allow(dead_code, reason = "there are vectors to run it with on x86-64 alone")
)]

mod cells;
mod direct;
mod dots;
mod finish;
mod packed;
mod picked;
mod plan;
mod product;
mod rows;
mod softmax;
#[cfg(test)]
#[path = "attention_tests.rs"]
mod tests;
mod tile;
#[cfg(target_arch = "x86_64")]
mod tiles;
mod weighted;

use plan::Plan;
use tile::Tile;

use super::lanes::Lanes;
#[cfg(target_arch = "x86_64")]
use super::lanes::{F32x8, F32x16};
use super::{Crew, Level, Need, Scratch, WeightType};

/// The longest head: that of DeepSeek's latent keys.
const LONGEST_HEAD: usize = 576;

/// `softmax(scale * K q + mask) V` for every token and head. All strides are in bytes.
///
/// With a soft cap c, scores are `c * tanh(scale * K q / c) + mask`. With linear biases, the mask of a head is multiplied by
/// its [slope](Attention::slope). A sink is a further score of its head, without a value. A token that sees no cell gets
/// zeros.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attention {
    /// Queries: `heads` of `head_k` floats for each of the `tokens`.
    pub q: *const f32,
    pub q_token: usize,
    pub q_head: usize,
    /// Keys: `groups` heads of `head_k` elements for each of the `kv` cells.
    pub k: *const u8,
    pub k_token: usize,
    pub k_head: usize,
    pub k_type: WeightType,
    /// Values: `groups` heads of `head_v` elements for each of the `kv` cells.
    pub v: *const u8,
    pub v_token: usize,
    pub v_head: usize,
    pub v_type: WeightType,
    /// What is added to scores, as f16: `kv` columns for each token. Null: nothing. What lies in cells that are minus
    /// infinity for every token is not read; what one token sees must be finite for the others' sake.
    pub mask: *const u16,
    pub mask_stride: usize,
    /// Query heads.
    pub heads: usize,
    /// Heads of keys and values: each serves as many neighbouring query heads.
    pub groups: usize,
    pub tokens: usize,
    pub kv: usize,
    pub head_k: usize,
    pub head_v: usize,
    pub scale: f32,
    /// 0: none.
    pub soft_cap: f32,
    /// Of linear biases (ALiBi): 8, and 0 for none.
    pub max_bias: f32,
    /// One for each query head. Null: none.
    pub sinks: *const f32,
    /// Without gaps: token after token, `heads` of `head_v` floats.
    pub out: *mut f32,
}

impl Attention {
    /// The memory to work with; `None` if there is no kernel for this attention.
    pub(crate) fn need(&self, level: Level) -> Option<Need> {
        use WeightType::*;
        let is_known = |x| matches!(x, F32 | F16 | Bf16 | Q4_0 | Q4_1 | Q5_0 | Q5_1 | Q8_0);
        let is_head = |n: usize, x: WeightType| {
            let whole = n.is_multiple_of(8) && n.is_multiple_of(x.block());
            whole && n > 0 && n <= LONGEST_HEAD && is_known(x)
        };
        let is_offered = level >= Level::Avx2
            && is_head(self.head_k, self.k_type)
            && is_head(self.head_v, self.v_type)
            && self.groups > 0
            && self.heads > 0
            && self.heads.is_multiple_of(self.groups)
            && u32::try_from(self.kv).is_ok();
        is_offered.then(|| Plan::new(self, level).need(self))
    }

    /// What the mask of a head is multiplied by: the first of two geometric series for as many heads as are a power of 2, for
    /// others the terms of the second that the first lacks (Press et al., "Train Short, Test Long", 2022).
    fn slope(&self, head: usize) -> f32 {
        let power = 1 << self.heads.ilog2();
        let (bias, exponent) = match head.checked_sub(power) {
            None => (self.max_bias, head + 1),
            Some(beyond) => (self.max_bias / 2.0, 2 * beyond + 1),
        };
        (-bias * exponent as f32 / power as f32).exp2()
    }

    /// Computes it. Every thread of the crew calls this.
    ///
    /// # Safety
    /// [`Attention::need`] gave `Some` for this level, which the processor has, and `scratch` holds as much; the
    /// pointers are valid for the shapes and strides that they are said to have, and nobody writes what they show
    /// meanwhile.
    pub(crate) unsafe fn run(&self, level: Level, crew: Crew<'_>, scratch: Scratch) {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the caller's; the processor has the level's instructions.
        unsafe {
            // Heads that are no whole wide vectors are whole narrow ones.
            if level >= Level::Avx512 && (self.head_k | self.head_v).is_multiple_of(16) {
                wide(self, level, crew, scratch);
            } else {
                narrow(self, level, crew, scratch);
            }
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = (level, crew, scratch);
    }
}

/// [`attend`] with 16 floats at a time.
///
/// # Safety
/// As [`Attention::run`], and the processor has these instructions.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,f16c")]
unsafe fn wide(a: &Attention, level: Level, crew: Crew<'_>, scratch: Scratch) {
    // SAFETY: the caller's.
    unsafe { attend::<F32x16>(a, level, crew, scratch) }
}

/// [`attend`] with 8 floats at a time.
///
/// # Safety
/// As [`Attention::run`], and the processor has these instructions.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn narrow(a: &Attention, level: Level, crew: Crew<'_>, scratch: Scratch) {
    // SAFETY: the caller's.
    unsafe { attend::<F32x8>(a, level, crew, scratch) }
}

/// One thread's part.
///
/// # Safety
/// As [`Attention::run`], and the processor has the instructions of `L`.
#[inline(always)]
unsafe fn attend<L: Lanes>(a: &Attention, level: Level, crew: Crew<'_>, scratch: Scratch) {
    let plan = Plan::new(a, level);
    for item in crew.tickets(0, plan.items()) {
        let tile = Tile::new(a, &plan, level, scratch.own.cast(), item);
        // SAFETY: the caller's; each item has its own rows of the output, or of the parts.
        unsafe {
            tile::run::<L>(&tile);
            if plan.chunks > 1 {
                finish::keep_tile::<L>(&tile, scratch.shared.cast());
            } else {
                finish::write_tile::<L>(&tile);
            }
        }
    }
    if plan.chunks > 1 {
        crew.wait();
        // SAFETY: the caller's; all parts are there after the wait.
        unsafe { finish::combine::<L>(a, &plan, crew, scratch.shared.cast()) };
    }
}
