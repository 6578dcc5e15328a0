//! AMX: products of whole matrices of brain floats, up to 16 by 32 times 32 by 16, summed up in f32.
//!
//! A panel is packed as for AVX-512 BF16, but for the zeros that make its words a multiple of 16. Tokens are packed in
//! steps of 16 words: in each, those of every token of the tile.

use std::arch::x86_64::*;
use std::ops::Range;

use super::super::amx::{self, COLUMNS, MOST, STEP, TileProduct};
use super::super::vector::{brain_floats, in_two_parts};
use super::super::{Level, Vectors, Weight, dequant};
use super::kernel::{BackKernel, Bf16, Kernel, Rows};
use super::tile::Tile;
use super::transpose::rows16;

/// Tiles of brain floats. Weights may be made of two, the nearest one and what it leaves: 16 bits. Tokens are not, but come
/// twice then.
pub(super) struct Amx<const PARTS: usize>;

impl<const PARTS: usize> Kernel for Amx<PARTS> {
    const LANES: usize = COLUMNS;
    const TOKENS: usize = MOST;
    const SIDE: usize = 16;
    const ELEMENTS: usize = 640 / PARTS;
    const WORDS: usize = 320;
    const PACKED: usize = 4 * Self::ELEMENTS;
    const TOGETHER: usize = 1 << 20;
    const DEQUANTIZING: usize = 256;

    fn words(elements: usize) -> usize {
        elements.div_ceil(2 * STEP) * STEP * PARTS
    }

    unsafe fn prepare(tokens: usize) {
        // SAFETY: the caller's.
        unsafe { amx::prepare(tokens) }
    }

    unsafe fn release() {
        // SAFETY: the caller's.
        unsafe { amx::release() }
    }

    unsafe fn multiply(tokens: usize, tile: &Tile) {
        let product = TileProduct {
            rows: tokens,
            steps: tile.words / STEP,
            left: tile.tokens,
            left_row: STEP,
            left_step: STEP * tokens,
            right: tile.weights,
            right_passes: tile.weights_pass,
            from: tile.from,
            from_row: tile.from_stride,
            to: tile.to,
            to_row: tile.to_stride,
        };
        // SAFETY: the caller's.
        unsafe { product.run() }
    }

    unsafe fn elements(weight: &Weight, row: usize, start: usize, n: usize, to: *mut u32) {
        // SAFETY: the caller's; this level has what that one has.
        unsafe {
            if PARTS == 1 {
                Bf16::elements(weight, row, start, n, to);
            } else {
                in_parts(weight, row, start, n, to);
            }
        }
    }

    unsafe fn transpose(from: Rows, rows: usize, words: usize, to: *mut u32, to_stride: usize) {
        // SAFETY: the caller's.
        unsafe { rows16(from.data, from.stride, rows, words, to, to_stride) }
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512bf16")]
    unsafe fn tile(
        vectors: Vectors,
        tokens: Range<usize>,
        elements: Range<usize>,
        _: Rows,
        to: *mut u32,
    ) {
        let count = tokens.len();
        for (t, token) in tokens.enumerate() {
            for step in 0..elements.len().div_ceil(2 * STEP) {
                let start = elements.start + step * 2 * STEP;
                // SAFETY: the caller's vectors, of f32; what is behind the last element is not read.
                unsafe {
                    let x = vectors.at(token).add(start);
                    let kept = u32::MAX >> (2 * STEP).saturating_sub(elements.end - start);
                    let low = _mm512_maskz_loadu_ps(kept as u16, x);
                    let high = _mm512_maskz_loadu_ps((kept >> 16) as u16, x.wrapping_add(STEP));
                    let x = brain_floats([low, high]);
                    for part in 0..PARTS {
                        let to = to.add(((step * PARTS + part) * count + t) * STEP);
                        _mm512_storeu_si512(to.cast(), x);
                    }
                }
            }
        }
    }
}

/// Elements of a row in two parts, step by step: the words of both.
///
/// # Safety
/// As for [`Kernel::elements`]; there are at most 256.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512bf16")]
unsafe fn in_parts(weight: &Weight, row: usize, start: usize, n: usize, to: *mut u32) {
    let mut x = [0f32; Amx::<2>::ELEMENTS];
    // SAFETY: the caller's; what lies behind the last element is zeros.
    unsafe {
        let row = weight.data.add(row * weight.stride);
        dequant::to_f32(Level::Amx, weight.weight_type, row, start, n, x.as_mut_ptr());
    }
    for (step, x) in x.chunks_exact(2 * STEP).take(n.div_ceil(2 * STEP)).enumerate() {
        // SAFETY: a whole step, for which there is room.
        unsafe {
            let x = [x, &x[STEP..]].map(|x| _mm512_loadu_ps(x.as_ptr()));
            for (part, words) in in_two_parts(x).into_iter().enumerate() {
                _mm512_storeu_si512(to.add((2 * step + part) * STEP).cast(), words);
            }
        }
    }
}

impl BackKernel for Amx<1> {
    const PER_WORD: usize = 2;

    unsafe fn interleave(from: Rows, n: usize, to: *mut u32, to_stride: usize) {
        // SAFETY: the caller's; this level has what that one has.
        unsafe { Bf16::interleave(from, n, to, to_stride) }
    }
}
