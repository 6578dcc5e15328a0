//! Attention against its definition in f64.

use super::Attention;
use super::plan::Plan;
use crate::kernels::oracle::{
    Random, dequantize, f16, random_floats, random_weight, relative_error,
};
use crate::kernels::testing::{Together, levels, run_crew};
use crate::kernels::{Level, WeightType};

const UNSEEN: u16 = 0xfc00;

/// What a token sees.
#[derive(Debug, Clone, Copy)]
enum Mask {
    /// Everything, for want of a mask.
    Null,
    /// The cells up to its own, which come after others.
    Causal,
    /// Some cells up to its own.
    Window(usize),
    /// Those of its own sequence, one of several in a row, up to its own.
    Packed(usize),
    /// So many of ten cells, some of which count less than others.
    Scattered(usize),
    /// Nothing, if it is an odd one.
    Odd,
}

#[derive(Debug, Clone, Copy)]
struct Case {
    heads: usize,
    groups: usize,
    tokens: usize,
    kv: usize,
    head: [usize; 2],
    types: [WeightType; 2],
    mask: Mask,
    soft_cap: f32,
    max_bias: f32,
    sinks: bool,
    seed: u64,
}

/// A case's data. Between the rows that count lie NaNs.
struct Data {
    case: Case,
    q: Vec<f32>,
    k: Vec<u8>,
    v: Vec<u8>,
    mask: Vec<u16>,
    sinks: Vec<f32>,
    scale: f32,
    expected: Vec<f64>,
}

/// Floats between the queries of two tokens, bytes before the first cell and between cells, columns after a mask's row.
const GAPS: [usize; 3] = [5, 3, 7];

impl Data {
    fn new(case: Case) -> Self {
        let Case { heads, groups, tokens, kv, head: [head_k, head_v], seed, .. } = case;
        let mut random = Random(seed);
        let mask = mask(&case, &mut random);
        let cells = |head: usize, weight_type: WeightType, seed| {
            let row = weight_type.bytes_of(groups * head);
            let data = random_weight(weight_type, kv, groups * head, seed);
            let values = dequantize(weight_type, &data, groups * head);
            let mut spread = vec![0xff; GAPS[1]];
            for (cell, row) in data.chunks_exact(row).enumerate() {
                // What nobody sees may be anything.
                let is_seen = (0..tokens).any(|t| mask[t * (kv + GAPS[2]) + cell] != UNSEEN);
                let row = if is_seen { row } else { &vec![0xff; row.len()] };
                spread.extend_from_slice(row);
                spread.extend_from_slice(&[0xff; GAPS[1]]);
            }
            (spread, values)
        };
        let (k, keys) = cells(head_k, case.types[0], seed ^ 1);
        let (v, values) = cells(head_v, case.types[1], seed ^ 2);
        let row = heads * head_k;
        let q = random_floats(tokens * (row + GAPS[0]), seed ^ 3);
        let size = keys.iter().map(|x| x * x).sum::<f64>() / keys.len() as f64;
        let scale = (3.0 / (size * head_k as f64).sqrt()) as f32;
        let sinks = random_floats(heads, seed ^ 4).iter().map(|x| 4.0 * x).collect();
        let mut data = Self { case, q, k, v, mask, sinks, scale, expected: Vec::new() };
        data.expected = data.definition(&keys, &values);
        data
    }

    fn definition(&self, keys: &[f64], values: &[f64]) -> Vec<f64> {
        let Case { heads, groups, tokens, kv, head: [head_k, head_v], .. } = self.case;
        let mut out = Vec::new();
        for (token, head) in (0..tokens).flat_map(|t| (0..heads).map(move |h| (t, h))) {
            let group = head / (heads / groups);
            let q = &self.q[token * (heads * head_k + GAPS[0]) + head * head_k..][..head_k];
            let scores: Vec<f64> = (0..kv)
                .map(|cell| {
                    let k = &keys[(cell * groups + group) * head_k..][..head_k];
                    let dot: f64 = k.iter().zip(q).map(|(k, q)| k * f64::from(*q)).sum();
                    let (s, cap) = (dot * f64::from(self.scale), f64::from(self.case.soft_cap));
                    let s = if cap == 0.0 { s } else { cap * (s / cap).tanh() };
                    s + self.slope(head) * f16(self.mask[token * (kv + GAPS[2]) + cell])
                })
                .collect();
            let sink = if self.case.sinks { self.sinks[head].into() } else { f64::NEG_INFINITY };
            let highest = scores.iter().fold(sink, |a, b| a.max(*b)).max(-1e9);
            let weights: Vec<f64> = scores.iter().map(|s| (s - highest).exp()).collect();
            let total = weights.iter().sum::<f64>() + (sink - highest).exp();
            let mut sums = vec![0.0; head_v];
            for (cell, weight) in weights.iter().enumerate() {
                let v = &values[(cell * groups + group) * head_v..][..head_v];
                sums.iter_mut().zip(v).for_each(|(sum, v)| *sum += weight * v);
            }
            out.extend(sums.iter().map(|x| if total == 0.0 { 0.0 } else { x / total }));
        }
        out
    }

    /// For 2^n heads the powers of 2^(-bias / 2^n); after these every other power of its square root.
    fn slope(&self, head: usize) -> f64 {
        let bias = f64::from(self.case.max_bias);
        let power = (0..).map(|n| 1 << n).take_while(|n| *n <= self.case.heads).last().unwrap_or(1);
        if head < power {
            2f64.powf(-bias / power as f64).powi(head as i32 + 1)
        } else {
            2f64.powf(-bias / 2.0 / power as f64).powi(2 * (head - power) as i32 + 1)
        }
    }

    fn attention(&self, out: &mut [f32]) -> Attention {
        let Case { heads, groups, tokens, kv, head: [head_k, head_v], types, .. } = self.case;
        let [k_type, v_type] = types;
        Attention {
            q: self.q.as_ptr(),
            q_token: (heads * head_k + GAPS[0]) * 4,
            q_head: head_k * 4,
            k: self.k[GAPS[1]..].as_ptr(),
            k_token: k_type.bytes_of(groups * head_k) + GAPS[1],
            k_head: k_type.bytes_of(head_k),
            k_type,
            v: self.v[GAPS[1]..].as_ptr(),
            v_token: v_type.bytes_of(groups * head_v) + GAPS[1],
            v_head: v_type.bytes_of(head_v),
            v_type,
            mask: match self.case.mask {
                Mask::Null => std::ptr::null(),
                _ => self.mask.as_ptr(),
            },
            mask_stride: (kv + GAPS[2]) * 2,
            heads,
            groups,
            tokens,
            kv,
            head_k,
            head_v,
            scale: self.scale,
            soft_cap: self.case.soft_cap,
            max_bias: self.case.max_bias,
            sinks: if self.case.sinks { self.sinks.as_ptr() } else { std::ptr::null() },
            out: out.as_mut_ptr(),
        }
    }

    fn run(&self, level: Level, threads: usize) -> Vec<f32> {
        let mut out = vec![f32::NAN; self.expected.len()];
        let attention = Together(self.attention(&mut out));
        let need = attention.get().need(level).expect("offered");
        run_crew(threads, need, |crew, scratch| {
            // SAFETY: the pointers are those of the case's data, which have the strides.
            unsafe { attention.get().run(level, crew, scratch) }
        });
        out
    }

    fn is_in_bf16(&self, level: Level) -> bool {
        Plan::new(&self.attention(&mut []), level).in_amx
    }

    fn check(&self) {
        for level in levels() {
            let one = self.run(level, 1);
            let error = relative_error(&one, &self.expected);
            let bound = if self.is_in_bf16(level) { 1e-2 } else { 3e-6 };
            assert!(error < bound, "{error} at {level:?} of {:?}", self.case);
            for threads in [2, 3] {
                let same = self.run(level, threads).iter().zip(&one).all(|(a, b)| a == b);
                assert!(same, "{threads} threads differ at {level:?} of {:?}", self.case);
            }
        }
    }
}

/// The rows of a mask, with NaNs behind each.
fn mask(case: &Case, random: &mut Random) -> Vec<u16> {
    let Case { tokens, kv, .. } = *case;
    let mut mask = vec![0x7fff; tokens * (kv + GAPS[2])];
    for (token, row) in mask.chunks_exact_mut(kv + GAPS[2]).enumerate() {
        let own = (token + kv).saturating_sub(tokens);
        for (cell, x) in row.iter_mut().enumerate().take(kv) {
            let is_seen = match case.mask {
                Mask::Null => true,
                Mask::Causal => cell <= own,
                Mask::Window(n) => cell <= own && cell + n > own,
                Mask::Packed(n) => cell <= own && cell / n == own / n,
                Mask::Scattered(n) => random.below(10) < n,
                Mask::Odd => token % 2 == 0,
            };
            let bias = if matches!(case.mask, Mask::Scattered(_)) { 0xbc00 } else { 0 };
            *x = if is_seen { bias * (cell as u16 % 2) } else { UNSEEN };
        }
    }
    mask
}

const TYPES: [WeightType; 8] = [
    WeightType::F16,
    WeightType::F32,
    WeightType::Bf16,
    WeightType::Q8_0,
    WeightType::Q5_1,
    WeightType::Q5_0,
    WeightType::Q4_1,
    WeightType::Q4_0,
];

const CASE: Case = Case {
    heads: 3,
    groups: 1,
    tokens: 40,
    kv: 100,
    head: [64, 64],
    types: [WeightType::F16, WeightType::F16],
    mask: Mask::Causal,
    soft_cap: 0.0,
    max_bias: 0.0,
    sinks: false,
    seed: 0,
};

#[test]
fn any_shape_gives_what_the_definition_does() {
    let mut random = Random(7);
    for seed in 0..150 {
        let shared_by = 1 + random.below(5);
        let groups = 1 + random.below(3);
        let types = [TYPES[random.below(4)], TYPES[random.below(4)]];
        let head = types.map(|x| (1 + random.below(12)) * x.block().max(8));
        let sizes = [random.below(3), random.below(3)];
        let kv = 1 + random.below([9, 70, 700][sizes[0]]);
        let tokens = 1 + random.below([3, 20, 130][sizes[1]]);
        let masks = [
            Mask::Null,
            Mask::Causal,
            Mask::Window(1 + random.below(60)),
            Mask::Packed(1 + random.below(60)),
            Mask::Scattered(1 + random.below(9)),
            Mask::Odd,
        ];
        let case = Case {
            heads: groups * shared_by,
            groups,
            tokens: tokens.min(1 + 1_000_000 / (kv * groups * shared_by * head[0])),
            kv,
            head: head.map(|n| n.min(256)),
            types,
            mask: masks[random.below(masks.len())],
            soft_cap: [0.0, 0.0, 2.0, 30.0][random.below(4)],
            max_bias: [0.0, 0.0, 8.0][random.below(3)],
            sinks: random.below(3) == 0,
            seed,
        };
        Data::new(case).check();
    }
}

#[test]
fn heads_of_models_have_kernels() {
    for head in [64, 72, 80, 96, 128, 192, 256, 512] {
        for (heads, tokens) in [(1, 1), (3, 1), (4, 1), (7, 1), (7, 6)] {
            Data::new(Case { head: [head; 2], heads, tokens, seed: 1, ..CASE }).check();
        }
    }
    Data::new(Case { head: [192, 128], heads: 4, groups: 4, ..CASE }).check();
    for (heads, tokens) in [(16, 1), (16, 20), (128, 1), (128, 2)] {
        Data::new(Case { head: [576, 512], heads, tokens, ..CASE }).check();
    }
}

#[test]
fn keys_and_values_have_heads_of_any_two_lengths() {
    for head in [[32, 256], [256, 32], [8, 512], [576, 8], [96, 320]] {
        Data::new(Case { head, ..CASE }).check();
    }
}

#[test]
fn caches_of_all_types_are_read() {
    for (i, k_type) in TYPES.into_iter().enumerate() {
        let types = [k_type, TYPES[(i + 3) % TYPES.len()]];
        for tokens in [1, 30] {
            Data::new(Case { types, tokens, heads: 4, groups: 2, seed: 2, ..CASE }).check();
        }
    }
}

#[test]
fn cells_between_others_are_left_out() {
    for seed in 0..60 {
        let [kv, head] = [8 + seed as usize, 16];
        let mask = Mask::Scattered(9);
        let case = Case { tokens: 1, kv, mask, head: [head; 2], seed, ..CASE };
        Data::new(case).check();
        Data::new(Case { tokens: 9, ..case }).check();
    }
}

#[test]
fn long_caches_are_split() {
    for (tokens, kv) in [(1, 257), (1, 3000), (2, 700), (5, 700), (20, 1500)] {
        for mask in [Mask::Causal, Mask::Window(300), Mask::Odd] {
            let case = Case { heads: 4, groups: 2, head: [32; 2], seed: 3, ..CASE };
            Data::new(Case { tokens, kv, mask, sinks: tokens == 2, ..case }).check();
        }
    }
}

#[test]
fn what_has_no_kernel_is_not_offered() {
    let data = Data::new(CASE);
    let mut out = vec![0.0; data.expected.len()];
    let known = data.attention(&mut out);
    let level = Level::Avx2;
    assert!(known.need(level).is_some());
    assert!(known.need(Level::None).is_none());
    assert!(Attention { head_k: 640, ..known }.need(level).is_none());
    assert!(Attention { head_v: 68, ..known }.need(level).is_none());
    assert!(Attention { k_type: WeightType::Q4K, ..known }.need(level).is_none());
    assert!(Attention { head_k: 80, k_type: WeightType::Q8_0, ..known }.need(level).is_none());
    assert!(Attention { groups: 2, ..known }.need(level).is_none());
}
