//! Rows of packed words become columns.

use std::arch::x86_64::*;

/// Writes word `w` of row `r` to `to[w * to_stride + r]`; at most 16 rows.
///
/// # Safety
/// The processor has AVX-512 F. There are `rows` rows, one at least, of `words` words, `stride` words apart, and of each,
/// whole groups of 16 can be read; every place that is named can be written.
#[target_feature(enable = "avx512f")]
pub(in crate::kernels) unsafe fn rows16(
    from: *const u32,
    stride: usize,
    rows: usize,
    words: usize,
    to: *mut u32,
    to_stride: usize,
) {
    let rows = rows.min(16);
    let kept = (0xffff_u32 >> (16 - rows)) as u16;
    // Always 16 of each, so that they stay in registers: in place of rows that do not exist, the last one.
    let last = rows.saturating_sub(1);
    for word in (0..words).step_by(16) {
        let mut square = [_mm512_setzero_si512(); 16];
        for (r, row) in square.iter_mut().enumerate() {
            // SAFETY: the caller's; the last group may be read whole.
            *row = unsafe { _mm512_loadu_si512(from.add(r.min(last) * stride + word).cast()) };
        }
        let kept = |w: usize| if word + w < words { kept } else { 0 };
        for (w, column) in square16(square).into_iter().enumerate() {
            let to = to.wrapping_add((word + w) * to_stride);
            // SAFETY: the lanes of rows that exist, for words that exist.
            unsafe { _mm512_mask_storeu_epi32(to.cast(), kept(w), column) };
        }
    }
}

/// The transpose of 16 by 16 words.
#[inline]
#[target_feature(enable = "avx512f")]
fn square16(r: [__m512i; 16]) -> [__m512i; 16] {
    let mut t = [_mm512_setzero_si512(); 16];
    let mut u = t;
    for i in 0..8 {
        t[2 * i] = _mm512_unpacklo_epi32(r[2 * i], r[2 * i + 1]);
        t[2 * i + 1] = _mm512_unpackhi_epi32(r[2 * i], r[2 * i + 1]);
    }
    // Lane L of u[4i + j] holds column 4L + j of rows 4i to 4i + 3.
    for i in 0..4 {
        u[4 * i] = _mm512_unpacklo_epi64(t[4 * i], t[4 * i + 2]);
        u[4 * i + 1] = _mm512_unpackhi_epi64(t[4 * i], t[4 * i + 2]);
        u[4 * i + 2] = _mm512_unpacklo_epi64(t[4 * i + 1], t[4 * i + 3]);
        u[4 * i + 3] = _mm512_unpackhi_epi64(t[4 * i + 1], t[4 * i + 3]);
    }
    for j in 0..4 {
        let a = _mm512_shuffle_i32x4::<0x44>(u[j], u[4 + j]);
        let b = _mm512_shuffle_i32x4::<0xee>(u[j], u[4 + j]);
        let c = _mm512_shuffle_i32x4::<0x44>(u[8 + j], u[12 + j]);
        let d = _mm512_shuffle_i32x4::<0xee>(u[8 + j], u[12 + j]);
        t[j] = _mm512_shuffle_i32x4::<0x88>(a, c);
        t[4 + j] = _mm512_shuffle_i32x4::<0xdd>(a, c);
        t[8 + j] = _mm512_shuffle_i32x4::<0x88>(b, d);
        t[12 + j] = _mm512_shuffle_i32x4::<0xdd>(b, d);
    }
    t
}

/// Puts `n` elements of 16 bits of two rows together, each followed by the other row's: those of 32 columns after the
/// other, `to_stride` words apart.
///
/// # Safety
/// The processor has AVX-512 F and BW. The second row lies `stride` words behind the first; the elements can be read up to a
/// multiple of 32, and the words written.
#[target_feature(enable = "avx512f,avx512bw")]
pub(in crate::kernels) unsafe fn interleave(
    from: *const u32,
    stride: usize,
    n: usize,
    to: *mut u32,
    to_stride: usize,
) {
    /// Elements `first` and on of the first row, each followed by the second row's.
    const fn pairs(first: i16) -> [i16; 32] {
        let mut order = [0; 32];
        let mut i = 0;
        while i < 32 {
            order[i] = first + (i / 2) as i16 + 32 * (i % 2) as i16;
            i += 1;
        }
        order
    }
    const ORDER: [[i16; 32]; 2] = [pairs(0), pairs(16)];
    // SAFETY: 64 bytes each; the rows and the place to write to are the caller's.
    unsafe {
        let [low, high] = ORDER.map(|order| _mm512_loadu_epi16(order.as_ptr()));
        for panel in 0..n.div_ceil(32) {
            let at = from.add(panel * 16);
            let a = _mm512_loadu_si512(at.cast());
            let b = _mm512_loadu_si512(at.add(stride).cast());
            let to = to.add(panel * to_stride);
            _mm512_storeu_si512(to.cast(), _mm512_permutex2var_epi16(a, low, b));
            _mm512_storeu_si512(to.add(16).cast(), _mm512_permutex2var_epi16(a, high, b));
        }
    }
}

/// As [`rows16`], for at most 8 rows, whose words can be read in groups of 8.
///
/// # Safety
/// The processor has AVX2. As for [`rows16`].
#[target_feature(enable = "avx2")]
pub(super) unsafe fn rows8(
    from: *const u32,
    stride: usize,
    rows: usize,
    words: usize,
    to: *mut u32,
    to_stride: usize,
) {
    let whole = if rows == 8 { words / 8 * 8 } else { 0 };
    for word in (0..whole).step_by(8) {
        let mut square = [_mm256_setzero_si256(); 8];
        for (r, row) in square.iter_mut().enumerate() {
            // SAFETY: the caller's.
            *row = unsafe { _mm256_loadu_si256(from.add(r * stride + word).cast()) };
        }
        for (w, column) in square8(square).into_iter().enumerate() {
            // SAFETY: all 8 rows exist.
            unsafe { _mm256_storeu_si256(to.add((word + w) * to_stride).cast(), column) };
        }
    }
    for word in whole..words {
        for r in 0..rows {
            // SAFETY: the row and the word exist.
            unsafe { *to.add(word * to_stride + r) = *from.add(r * stride + word) };
        }
    }
}

/// The transpose of 8 by 8 words.
#[inline]
#[target_feature(enable = "avx2")]
fn square8(r: [__m256i; 8]) -> [__m256i; 8] {
    let mut t = [_mm256_setzero_si256(); 8];
    let mut u = t;
    for i in 0..4 {
        t[2 * i] = _mm256_unpacklo_epi32(r[2 * i], r[2 * i + 1]);
        t[2 * i + 1] = _mm256_unpackhi_epi32(r[2 * i], r[2 * i + 1]);
    }
    for i in 0..2 {
        u[4 * i] = _mm256_unpacklo_epi64(t[4 * i], t[4 * i + 2]);
        u[4 * i + 1] = _mm256_unpackhi_epi64(t[4 * i], t[4 * i + 2]);
        u[4 * i + 2] = _mm256_unpacklo_epi64(t[4 * i + 1], t[4 * i + 3]);
        u[4 * i + 3] = _mm256_unpackhi_epi64(t[4 * i + 1], t[4 * i + 3]);
    }
    for j in 0..4 {
        t[j] = _mm256_permute2x128_si256::<0x20>(u[j], u[4 + j]);
        t[4 + j] = _mm256_permute2x128_si256::<0x31>(u[j], u[4 + j]);
    }
    t
}
