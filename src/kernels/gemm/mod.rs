//! Products for many tokens, and what goes back through them: blocked GEMMs, straight from quantized weights.
//!
//! The tokens' vectors are packed first, by all threads together; then each thread takes panels of weights, dequantizes
//! and packs as much of one as the cache holds, and multiplies it with all tokens. How precise the factors are depends
//! on the level: bf16 where the processor multiplies it, f32 elsewhere, and integers where those are quicker
//! and may be, or lose less ([`form`]). Sums are f32.

mod amx;
mod back;
mod bytes;
mod fixed;
mod form;
mod forward;
mod groups;
mod groups_tile;
mod integers;
mod integers_tile;
mod kernel;
mod pack;
mod pairs;
mod plan;
mod quantize;
mod shorts;
mod sweep;
#[cfg(test)]
mod tests;
mod tile;
mod transpose;
mod vector;

use super::{
    Crew, FusedProduct, Level, Need, Product, ProductBack, Queue, Scratch, Weight, WeightType,
};
use amx::Amx;
use back::Back;
use bytes::{Any, AnyOfSupers, Bytes, Signs};
use fixed::Fixed;
use form::Form;
use forward::Forward;
use groups::OfGroups;
use integers::OfIntegers;
use kernel::{Avx2, Avx512, Bf16};
use pairs::Pairs;
use shorts::Shorts;
pub(super) use transpose::{interleave, rows16};

/// Numbers of tokens where one form of a product ends or the tokens are cut in parts: in between, more tokens need more
/// memory, and beyond the last none need more.
pub(crate) const ENDS: [usize; 2] = [form::FEW_FOR_TILES, plan::TOKENS];

/// Tokens that are read before the first value is written, at most.
pub(crate) const TOGETHER: usize = plan::TOKENS;

/// Evaluates an expression with `K` as a kernel.
macro_rules! with {
    ($K:ident = $kernel:ty, $do:expr) => {{
        type $K = $kernel;
        Some($do)
    }};
}

/// Evaluates an expression with `K` as the kernel of a level; nothing for [`Level::None`].
macro_rules! with_kernel {
    ($level:expr, $K:ident => $do:expr) => {
        match $level {
            Level::None => None,
            Level::Avx2 => with!($K = Avx2, $do),
            Level::Avx512 | Level::Avx512Vnni => with!($K = Avx512, $do),
            Level::Avx512Bf16 => with!($K = Bf16, $do),
            Level::Amx => with!($K = Amx<1>, $do),
        }
    };
}

/// As [`with_kernel`], for a product, which may be multiplied in another form or at a lower level.
macro_rules! with_kernel_for {
    ($product:expr, $level:expr, $K:ident => $do:expr) => {{
        let level = self::level(&$product.weight, $level);
        match Form::of($product, level) {
            None => with_kernel!(level, $K => $do),
            Some(Form::InTwoParts) => with!($K = Amx<2>, $do),
            Some(Form::Fixed) => with!($K = OfGroups<Fixed>, $do),
            Some(Form::Signed32) => with!($K = OfGroups<Bytes<8, Signs>>, $do),
            Some(Form::Any32) => with!($K = OfGroups<Bytes<8, Any>>, $do),
            Some(Form::AnyOfSupers32) => with!($K = OfGroups<Bytes<8, AnyOfSupers>>, $do),
            Some(Form::Signed16) => with!($K = OfGroups<Bytes<4, Signs>>, $do),
            Some(Form::Any16) => with!($K = OfGroups<Bytes<4, Any>>, $do),
            Some(Form::FourBits32) => with!($K = OfIntegers<Pairs<8, 8, 8>>, $do),
            Some(Form::FiveBits32) => with!($K = OfIntegers<Pairs<8, 4, 16>>, $do),
            Some(Form::ThreeBits16) => with!($K = OfIntegers<Pairs<4, 4, 4>>, $do),
            Some(Form::SixBits16) => with!($K = OfIntegers<Pairs<4, 2, 32>>, $do),
            Some(Form::Short32) => with!($K = OfIntegers<Shorts<16, false>>, $do),
            Some(Form::ShortShifted32) => with!($K = OfIntegers<Shorts<16, true>>, $do),
            Some(Form::Short16) => with!($K = OfIntegers<Shorts<8, false>>, $do),
            Some(Form::ShortShifted16) => with!($K = OfIntegers<Shorts<8, true>>, $do),
        }
    }};
}

/// Whether the tokens of this product would be rounded to bytes.
pub(crate) fn is_of_bytes(product: &Product, level: Level) -> bool {
    Form::of(product, level).is_some_and(Form::is_of_bytes)
}

/// The level whose GEMM multiplies a weight: f32 is not rounded to bf16, whoever keeps it wants its precision. What goes
/// back may be.
pub(crate) fn level(weight: &Weight, level: Level) -> Level {
    match weight.weight_type {
        WeightType::F32 => level.min(Level::Avx512),
        _ => level,
    }
}

/// The memory to work with; `None` if there is no GEMM for this product.
pub(crate) fn need(product: &Product, level: Level) -> Option<Need> {
    plan::unit(&product.weight)?;
    with_kernel_for!(product, level, K => Forward::<K>::new(product, None).need())
}

/// Computes the product.
///
/// # Safety
/// As for [`Product::run_in`].
pub(crate) unsafe fn run(
    product: &Product,
    level: Level,
    crew: Crew<'_>,
    scratch: Scratch,
    queue: &mut Queue,
) {
    // SAFETY: the caller's.
    with_kernel_for!(product, level, K => unsafe { Forward::<K>::new(product, None).run(crew, scratch, queue) });
}

/// Whether the vectors of one product are packed as those of another, all of them at a time, so that they can be shared.
pub(crate) fn pack_alike(a: &Product, b: &Product, level: Level) -> bool {
    let shape = |product: &Product| (product.tokens, product.weight.width);
    shape(a) == shape(b) && a.tokens <= TOGETHER && kind(a, level) == kind(b, level)
}

/// Which kernel multiplies it.
fn kind(product: &Product, level: Level) -> (Level, Option<Form>) {
    (self::level(&product.weight, level), Form::of(product, level))
}

/// As [`need`], for a product and what follows.
pub(crate) fn need_fused(fused: &FusedProduct, level: Level) -> Option<Need> {
    let product = &fused.product;
    let are_alike = |other: Product| {
        plan::unit(&other.weight).is_some() && kind(product, level) == kind(&other, level)
    };
    if !fused.products().all(are_alike) {
        return None;
    }
    with_kernel_for!(product, level, K => Forward::<K>::new(product, Some((fused, level))).need())
}

/// Computes it.
///
/// # Safety
/// As for [`FusedProduct::run`].
pub(crate) unsafe fn run_fused(
    fused: &FusedProduct,
    level: Level,
    crew: Crew<'_>,
    scratch: Scratch,
    queue: &mut Queue,
) {
    let product = &fused.product;
    // SAFETY: the caller's.
    with_kernel_for!(product, level, K => unsafe {
        Forward::<K>::new(product, Some((fused, level))).run(crew, scratch, queue);
    });
}

/// As [`need`], for what goes back.
pub(crate) fn need_back(product: &ProductBack, level: Level) -> Option<Need> {
    plan::unit(&product.weight)?;
    with_kernel!(level, K => Back::<K>::new(product).need())
}

/// Computes what goes back.
///
/// # Safety
/// As for [`ProductBack::run_in`].
pub(crate) unsafe fn run_back(
    product: &ProductBack,
    level: Level,
    crew: Crew<'_>,
    scratch: Scratch,
    queue: &mut Queue,
) {
    // SAFETY: the caller's.
    with_kernel!(level, K => unsafe { Back::<K>::new(product).run(crew, scratch, queue) });
}
