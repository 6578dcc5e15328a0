//! Vectors of packed words and of sums.

use std::arch::x86_64::*;

/// Words times words, added up in f32.
///
/// Every method is inlined into code that has the instructions of the implementor.
pub(super) trait Vector {
    /// f32 sums.
    type Sums: Copy;
    /// As many words.
    type Words: Copy;
    /// How many.
    const LANES: usize;
    /// Words that the innermost loop takes at a time: where it would be too short.
    const UNROLLED: usize;

    /// Nothing added up yet.
    ///
    /// # Safety
    /// The processor has the instructions.
    unsafe fn zero() -> Self::Sums;

    /// The sums at `from`.
    ///
    /// # Safety
    /// The processor has the instructions; the sums are there.
    unsafe fn load(from: *const f32) -> Self::Sums;

    /// Leaves the sums at `to`.
    ///
    /// # Safety
    /// The processor has the instructions; there is room.
    unsafe fn store(to: *mut f32, sums: Self::Sums);

    /// The words at `from`.
    ///
    /// # Safety
    /// The processor has the instructions; the words are there.
    unsafe fn words(from: *const u32) -> Self::Words;

    /// The word at `from` in every lane.
    ///
    /// # Safety
    /// The processor has the instructions; the word is there.
    unsafe fn splat(from: *const u32) -> Self::Words;

    /// `sums + a * b`, lane by lane.
    ///
    /// # Safety
    /// The processor has the instructions.
    unsafe fn add(sums: Self::Sums, a: Self::Words, b: Self::Words) -> Self::Sums;
}

macro_rules! vector {
    (
        $(#[$doc:meta])*
        $name:ident: $lanes:literal of $sums:ty, $words:ty, unrolled $unrolled:literal;
        $zero:ident, $load:ident, $store:ident, $words_at:ident, $splat:ident,
        |$s:ident, $a:ident, $b:ident| $add:expr
    ) => {
        $(#[$doc])*
        pub(super) struct $name;

        impl Vector for $name {
            type Sums = $sums;
            type Words = $words;
            const LANES: usize = $lanes;
            const UNROLLED: usize = $unrolled;

            #[inline(always)]
            unsafe fn zero() -> $sums {
                // SAFETY: the processor has the instruction.
                unsafe { $zero() }
            }

            #[inline(always)]
            unsafe fn load(from: *const f32) -> $sums {
                // SAFETY: the processor has the instruction; the sums are there.
                unsafe { $load(from) }
            }

            #[inline(always)]
            unsafe fn store(to: *mut f32, sums: $sums) {
                // SAFETY: the processor has the instruction; there is room.
                unsafe { $store(to, sums) }
            }

            #[inline(always)]
            unsafe fn words(from: *const u32) -> $words {
                // SAFETY: the processor has the instruction; the words are there.
                unsafe { $words_at(from.cast()) }
            }

            #[inline(always)]
            unsafe fn splat(from: *const u32) -> $words {
                // SAFETY: the processor has the instruction; the word is there.
                unsafe { $splat(*from.cast()) }
            }

            #[inline(always)]
            unsafe fn add($s: $sums, $a: $words, $b: $words) -> $sums {
                // SAFETY: the processor has the instruction.
                unsafe { $add }
            }
        }
    };
}

vector!(
    /// AVX-512 BF16: a word holds two brain floats, whose products go into one sum.
    Bf16x32: 16 of __m512, __m512i, unrolled 1;
    _mm512_setzero_ps, _mm512_loadu_ps, _mm512_storeu_ps, _mm512_loadu_si512, _mm512_set1_epi32,
    |sums, a, b| _mm512_dpbf16_ps(sums, brain_floats(a), brain_floats(b))
);

/// The words' halves.
#[inline(always)]
fn brain_floats(words: __m512i) -> __m512bh {
    // SAFETY: both are 64 bytes, which may be any.
    unsafe { std::mem::transmute::<__m512i, __m512bh>(words) }
}

vector!(
    /// AVX-512 F: a word holds one f32.
    F32x16: 16 of __m512, __m512, unrolled 1;
    _mm512_setzero_ps, _mm512_loadu_ps, _mm512_storeu_ps, _mm512_loadu_ps, _mm512_set1_ps,
    |sums, a, b| _mm512_fmadd_ps(a, b, sums)
);

vector!(
    /// AVX2 and FMA: a word holds one f32.
    F32x8: 8 of __m256, __m256, unrolled 4;
    _mm256_setzero_ps, _mm256_loadu_ps, _mm256_storeu_ps, _mm256_loadu_ps, _mm256_set1_ps,
    |sums, a, b| _mm256_fmadd_ps(a, b, sums)
);
