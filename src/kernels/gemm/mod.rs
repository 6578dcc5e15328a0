//! Products for many tokens, and what goes back through them: blocked GEMMs, straight from quantized weights.
//!
//! The tokens' vectors are packed first, by all threads together; then each thread takes panels of weights, dequantizes
//! and packs as much of one as the cache holds, and multiplies it with all tokens. How precise the factors are depends
//! on the level: bf16 where the processor multiplies it, f32 elsewhere, and bytes where those are quicker
//! and may be ([`bytes`]). Sums are f32.

mod back;
mod bytes;
mod bytes_tile;
mod forward;
mod kernel;
mod pack;
mod plan;
mod quantize;
mod sweep;
#[cfg(test)]
mod tests;
mod tile;
mod transpose;
mod vector;

use super::{Crew, Level, Need, Product, ProductBack, Queue, Scratch};
use back::Back;
use bytes::{Any, Bytes, Form, Signs};
use forward::Forward;
use kernel::{Avx2, Avx512, Bf16};

/// Evaluates an expression with `K` as the kernel of a level; nothing for [`Level::None`].
macro_rules! with_kernel {
    ($level:expr, $K:ident => $do:expr) => {
        match $level {
            Level::None => None,
            Level::Avx2 => {
                type $K = Avx2;
                Some($do)
            }
            Level::Avx512 | Level::Avx512Vnni => {
                type $K = Avx512;
                Some($do)
            }
            Level::Avx512Bf16 => {
                type $K = Bf16;
                Some($do)
            }
        }
    };
}

/// As [`with_kernel`], for a product that may be one of bytes.
macro_rules! with_kernel_for {
    ($product:expr, $level:expr, $K:ident => $do:expr) => {
        match Form::of($product, $level) {
            None => with_kernel!($level, $K => $do),
            Some(Form::Signed8) => {
                type $K = Bytes<8, Signs>;
                Some($do)
            }
            Some(Form::Any8) => {
                type $K = Bytes<8, Any>;
                Some($do)
            }
            Some(Form::Signed4) => {
                type $K = Bytes<4, Signs>;
                Some($do)
            }
            Some(Form::Any4) => {
                type $K = Bytes<4, Any>;
                Some($do)
            }
        }
    };
}

/// The memory to work with; `None` if there is no GEMM for this product.
pub(crate) fn need(product: &Product, level: Level) -> Option<Need> {
    plan::unit(&product.weight)?;
    with_kernel_for!(product, level, K => Forward::<K>::new(product).need())
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
    with_kernel_for!(product, level, K => unsafe { Forward::<K>::new(product).run(crew, scratch, queue) });
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
