//! Our own CPU kernels: products with quantized weights, attention, and what training needs of both.
//!
//! Nothing here knows the engine: a kernel takes pointers, shapes and strides, and is run by a [`Crew`] of threads that
//! somebody else started. What a kernel can do depends on the [`Level`] of the processor, which every entry takes as a
//! value, so that tests can ask for less than the machine has. On other processors than x86-64 the level is
//! [`Level::None`], and no kernel offers itself.
//!
//! Results do not depend on the number of threads: each value is summed up by one thread in one order.

#![allow(unsafe_code, reason = "SIMD over raw memory; each block states its invariant")]

#[cfg(target_arch = "x86_64")]
mod amx;
pub(crate) mod attention;
pub(crate) mod attention_back;
mod batched;
mod crew;
pub(crate) mod dequant;
#[cfg(all(test, target_arch = "x86_64", target_os = "linux"))]
mod emulated;
mod experts;
mod fused;
#[cfg_attr(not(target_arch = "x86_64"), path = "gemm/none.rs")]
mod gemm;
#[cfg_attr(not(target_arch = "x86_64"), path = "gemv/none.rs")]
mod gemv;
mod inputs;
mod lanes;
mod level;
pub(crate) mod loss;
#[cfg(test)]
pub(crate) mod oracle;
mod product;
mod projections;
mod queue;
#[cfg(all(test, target_arch = "x86_64"))]
mod rates;
pub(crate) mod recurrent;
pub(crate) mod rows;
mod scratch;
#[cfg(test)]
pub(crate) mod testing;
pub(crate) mod train;
#[cfg(target_arch = "x86_64")]
mod vector;
mod vectors;
mod weight;

pub(crate) use batched::BatchedProduct;
pub(crate) use crew::{Crew, Shared};
pub(crate) use experts::ExpertProduct;
pub(crate) use fused::{FusedProduct, Then, is_apart};
pub(crate) use inputs::AttentionInputs;
pub(crate) use level::Level;
pub(crate) use product::{Product, ProductBack};
pub(crate) use projections::Projections;
pub(crate) use queue::Queue;
pub(crate) use scratch::{Need, Scratch};
pub(crate) use vectors::Vectors;
pub(crate) use weight::{Weight, WeightType};
