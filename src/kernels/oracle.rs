//! What the kernels' tests compare with: weights dequantized one element at a time in f64, straight from the layouts of
//! the blocks, and random data to do it with.

use super::WeightType;

/// The 16 values of the types IQ4_NL and IQ4_XS.
const NON_LINEAR: [i8; 16] =
    [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];

/// The 16 floats of 4 bits of the type MXFP4.
const FOUR_BIT_FLOATS: [f64; 16] =
    [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, -0.0, -0.5, -1.0, -1.5, -2.0, -3.0, -4.0, -6.0];

/// Rows of `width` elements, one after the other without gaps, dequantized.
pub(crate) fn dequantize(weight_type: WeightType, data: &[u8], width: usize) -> Vec<f64> {
    assert_eq!(width % weight_type.block(), 0, "a row is whole blocks");
    let block = weight_type.block();
    data.chunks_exact(weight_type.bytes())
        .flat_map(|bytes| (0..block).map(move |i| element(weight_type, bytes, i)))
        .collect()
}

/// `y[t * rows + r]`: each of the `tokens` vectors in `x` times each row of a weight.
pub(crate) fn product(w: &[f64], rows: usize, width: usize, x: &[f32], tokens: usize) -> Vec<f64> {
    let mut y = Vec::with_capacity(tokens * rows);
    for x in x.chunks_exact(width).take(tokens) {
        for w in w.chunks_exact(width).take(rows) {
            y.push(w.iter().zip(x).map(|(w, x)| w * f64::from(*x)).sum());
        }
    }
    y
}

/// The root of the summed squares of all differences, in parts of that of the expected values.
pub(crate) fn relative_error(got: &[f32], expected: &[f64]) -> f64 {
    assert_eq!(got.len(), expected.len());
    let squares = |f: fn(f64, f64) -> f64| -> f64 {
        got.iter().zip(expected).map(|(g, e)| f(f64::from(*g), *e).powi(2)).sum()
    };
    let (difference, size) = (squares(|g, e| g - e), squares(|_, e| e));
    if difference == 0.0 { 0.0 } else { (difference / size).sqrt() }
}

/// A group as fractions of its largest element, of which that one is so many.
pub(crate) fn rounded(x: &[f32], most: f32) -> Vec<f32> {
    let largest = x.iter().fold(0.0f32, |largest, x| largest.max(x.abs()));
    let (scale, inverse) = (largest / most, if largest > 0.0 { most / largest } else { 0.0 });
    x.iter().map(|x| scale * (x * inverse).round_ties_even()).collect()
}

/// The value of a 16-bit float.
pub(crate) fn f16(bits: u16) -> f64 {
    let sign = if bits >> 15 == 1 { -1.0 } else { 1.0 };
    let (exponent, fraction) = (i32::from(bits >> 10 & 31), f64::from(bits & 1023) / 1024.0);
    sign * match exponent {
        0 => fraction * 2f64.powi(-14),
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        _ => (1.0 + fraction) * 2f64.powi(exponent - 15),
    }
}

/// Element `i` of a block.
fn element(weight_type: WeightType, b: &[u8], i: usize) -> f64 {
    use WeightType::*;
    let word = |at: usize| u16::from_le_bytes([b[at], b[at + 1]]);
    let half = |at: usize| f16(word(at));
    let signed = |at: usize| f64::from(b[at] as i8);
    // In blocks of 32, a byte holds an element of the first half below one of the second.
    let nibble = |at: usize| b[at + i % 16] >> (4 * (i / 16)) & 15;
    // Where an element of 256 is in groups of 16, 32, 64 and 128.
    let (group, part, pair, big) = (i / 16, i / 32, i / 64, i / 128);
    match weight_type {
        F32 => f64::from(f32::from_le_bytes([b[0], b[1], b[2], b[3]])),
        F16 => half(0),
        Bf16 => f64::from(f32::from_bits(u32::from(word(0)) << 16)),
        Q4_0 => half(0) * (f64::from(nibble(2)) - 8.0),
        Q4_1 => half(0) * f64::from(nibble(4)) + half(2),
        Q5_0 => half(0) * (f64::from(nibble(6) | bit(&b[2..6], i) << 4) - 16.0),
        Q5_1 => half(0) * f64::from(nibble(8) | bit(&b[4..8], i) << 4) + half(2),
        Q8_0 => half(0) * signed(2 + i),
        Q2K => {
            let q = b[16 + 32 * big + i % 32] >> (2 * (part % 4)) & 3;
            let scale = b[group];
            half(80) * f64::from(scale & 15) * f64::from(q) - half(82) * f64::from(scale >> 4)
        }
        Q3K => {
            let low = b[32 + 32 * big + i % 32] >> (2 * (part % 4)) & 3;
            let high = b[i % 32] >> part & 1;
            let scale_low = b[96 + group % 8] >> (4 * (group / 8)) & 15;
            let scale_high = b[104 + group % 4] >> (2 * (group / 4)) & 3;
            let scale = f64::from(scale_low | scale_high << 4) - 32.0;
            half(108) * scale * (f64::from(low | high << 2) - 4.0)
        }
        Q4K => {
            let q = b[16 + 32 * pair + i % 32] >> (4 * (part % 2)) & 15;
            let (scale, min) = scale_and_min(&b[4..16], part);
            half(0) * scale * f64::from(q) - half(2) * min
        }
        Q5K => {
            let q = b[48 + 32 * pair + i % 32] >> (4 * (part % 2)) & 15;
            let q = q | (b[16 + i % 32] >> part & 1) << 4;
            let (scale, min) = scale_and_min(&b[4..16], part);
            half(0) * scale * f64::from(q) - half(2) * min
        }
        Q6K => {
            let low = b[64 * big + i % 64] >> (4 * (pair % 2)) & 15;
            let high = b[128 + 32 * big + i % 32] >> (2 * (part % 4)) & 3;
            half(208) * signed(192 + group) * (f64::from(low | high << 4) - 32.0)
        }
        Iq4Nl => half(0) * f64::from(NON_LINEAR[usize::from(nibble(2))]),
        Mxfp4 => 2f64.powi(i32::from(b[0]) - 127) * FOUR_BIT_FLOATS[usize::from(nibble(1))],
        Iq4Xs => {
            let q = b[8 + 16 * part + i % 16] >> (4 * (group % 2)) & 15;
            let scale_low = b[4 + part / 2] >> (4 * (part % 2)) & 15;
            let scale_high = (word(2) >> (2 * part) & 3) as u8;
            let scale = f64::from(scale_low | scale_high << 4) - 32.0;
            half(0) * scale * f64::from(NON_LINEAR[usize::from(q)])
        }
        Other(..) => panic!("only the engine knows this type"),
    }
}

/// Bit `i` of some bytes, the lowest first.
fn bit(bytes: &[u8], i: usize) -> u8 {
    bytes[i / 8] >> (i % 8) & 1
}

/// The scale and the minimum of a group of 32 in the types Q4_K and Q5_K: 6 bits each, in 12 bytes.
fn scale_and_min(b: &[u8], group: usize) -> (f64, f64) {
    let (scale, min) = if group < 4 {
        (b[group] & 63, b[group + 4] & 63)
    } else {
        let (scale, min) = (b[group - 4] >> 6, b[group] >> 6);
        (b[group + 4] & 15 | scale << 4, b[group + 4] >> 4 | min << 4)
    };
    (f64::from(scale), f64::from(min))
}

/// Rows of random blocks, one after the other: every quant may occur, scales are between 1/128 and 1/8 with both signs.
pub(crate) fn random_weight(
    weight_type: WeightType,
    rows: usize,
    width: usize,
    seed: u64,
) -> Vec<u8> {
    use WeightType::*;
    let mut random = Random(seed);
    let floats = random_floats(rows * width, seed);
    let scales: &[usize] = match weight_type {
        F32 => return floats.iter().flat_map(|x| x.to_le_bytes()).collect(),
        Bf16 => {
            let bits = floats.iter().map(|x| (x.to_bits() >> 16) as u16);
            return bits.flat_map(u16::to_le_bytes).collect();
        }
        F16 | Q4_0 | Q5_0 | Q8_0 | Iq4Nl | Iq4Xs => &[0],
        Q4_1 | Q5_1 | Q4K | Q5K => &[0, 2],
        Q2K => &[80, 82],
        Q3K => &[108],
        Q6K => &[208],
        Mxfp4 => &[],
        Other(..) => panic!("only the engine knows this type"),
    };
    let mut data: Vec<u8> =
        (0..weight_type.bytes_of(rows * width)).map(|_| random.next() as u8).collect();
    for block in data.chunks_exact_mut(weight_type.bytes()) {
        for &at in scales {
            let word = random.next();
            let (exponent, rest) = (8 + (word >> 16 & 3) as u16, word as u16 & 0x83ff);
            block[at..at + 2].copy_from_slice(&(exponent << 10 | rest).to_le_bytes());
        }
        if let Mxfp4 = weight_type {
            block[0] = 120 + (random.next() & 3) as u8;
        }
    }
    data
}

/// Random numbers between -1 and 1.
pub(crate) fn random_floats(n: usize, seed: u64) -> Vec<f32> {
    let mut random = Random(seed);
    (0..n).map(|_| (random.next() >> 40) as f32 / (1u64 << 23) as f32 - 1.0).collect()
}

/// SplitMix64.
pub(crate) struct Random(pub u64);

impl Random {
    /// 64 random bits.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A random number below `n`.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        (((self.next() >> 32) * n as u64) >> 32) as usize
    }
}

/// What is left of the square of a group that becomes integers of which the largest is 127, and 125, times the factor that
/// fits these best.
fn left_by_nearest(x: &[f32]) -> [f64; 2] {
    let largest = x.iter().fold(0.0f32, |largest, x| largest.max(x.abs()));
    [127.0, 125.0].map(|most| {
        let inverse = if largest > 0.0 { 127.0 / largest } else { 0.0 };
        let q = x.iter().map(|x| f64::from((x * inverse * (most / 127.0)).round_ties_even()));
        let (q, x): (Vec<f64>, Vec<f64>) = q.zip(x.iter().map(|x| f64::from(*x))).unzip();
        let sum = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let factor = if largest > 0.0 { sum(&x, &q) / sum(&q, &q) } else { 0.0 };
        x.iter().zip(&q).map(|(x, q)| (x - factor * q).powi(2)).sum()
    })
}

/// The bytes that some words hold.
pub(crate) fn bytes_of(words: &[u32]) -> impl Iterator<Item = i8> + '_ {
    words.iter().flat_map(|word| word.to_le_bytes().map(|byte| byte as i8))
}

/// Asserts that a group became the integers and the factor that leave least of it.
pub(crate) fn assert_nearest(x: &[f32], q: &[i8], factor: f32) {
    let [first, second] = left_by_nearest(x);
    let pairs = x.iter().zip(q).map(|(x, q)| (f64::from(*x), f64::from(*q)));
    let left: f64 = pairs.map(|(x, q)| (x - f64::from(factor) * q).powi(2)).sum();
    let least = first.min(second);
    let all: f64 = x.iter().map(|x| f64::from(*x).powi(2)).sum();
    // Both are computed in f32.
    assert!(
        left <= least * 1.01 + all * 4e-7,
        "{left:e} of {all:e}, and {least:e} is possible: {x:?}"
    );
}
