use super::*;
use crate::kernels::WeightType;
use crate::kernels::oracle::{Random, dequantize, random_floats, random_weight, relative_error};
use crate::kernels::testing::{Together, levels, run_crew};

/// A head with random states.
struct Case {
    weight_type: WeightType,
    width: usize,
    data: Vec<u8>,
    hidden: Vec<f32>,
    targets: Vec<i32>,
    cap: f32,
}

/// What a kernel gave.
#[derive(Debug, Clone, PartialEq)]
struct Results {
    loss: Vec<f32>,
    best: Vec<i32>,
    gradient: Vec<f32>,
}

/// The same in f64.
struct Expected {
    loss: Vec<f64>,
    logits: Vec<f64>,
    gradient: Vec<f64>,
}

impl Case {
    fn new(weight_type: WeightType, [rows, width]: [usize; 2], tokens: usize, cap: f32) -> Self {
        let seed = (rows * 31 + width * 7 + tokens) as u64;
        let mut random = Random(seed);
        let data = random_weight(weight_type, rows, width, seed);
        // States for which logits are about as large as those of models.
        let w = dequantize(weight_type, &data, width);
        let row = (w.iter().map(|w| w * w).sum::<f64>() / rows as f64).sqrt();
        let scale = (4.0 / row) as f32;
        let hidden = random_floats(tokens * width, seed + 1);
        Self {
            weight_type,
            width,
            data,
            hidden: hidden.into_iter().map(|x| x * scale).collect(),
            targets: (0..tokens).map(|_| random.below(rows) as i32).collect(),
            cap,
        }
    }

    fn rows(&self) -> usize {
        self.data.len() / self.weight_type.bytes_of(self.width)
    }

    /// The loss by so many threads, with or without its gradient.
    fn run(&self, level: Level, threads: usize, back: bool) -> Results {
        let tokens = self.targets.len();
        let mut results = Results {
            loss: vec![7.0; tokens],
            best: vec![-7; tokens],
            gradient: vec![f32::NAN; if back { self.hidden.len() } else { 0 }],
        };
        let op = Together(CrossEntropy {
            weight: Weight {
                weight_type: self.weight_type,
                data: self.data.as_ptr(),
                stride: self.weight_type.bytes_of(self.width),
                rows: self.rows(),
                width: self.width,
            },
            hidden: self.hidden.as_ptr(),
            tokens,
            targets: self.targets.as_ptr(),
            cap: self.cap,
            loss: results.loss.as_mut_ptr(),
            best: results.best.as_mut_ptr(),
            gradient: if back { results.gradient.as_mut_ptr() } else { std::ptr::null_mut() },
        });
        run_crew(threads, op.get().need(level).unwrap(), |crew, scratch| {
            // SAFETY: the vectors have the sizes that the operation says, and outlive the crew.
            unsafe { op.get().run(level, crew, scratch) }
        });
        results
    }

    fn expected(&self) -> Expected {
        let (rows, width) = (self.rows(), self.width);
        let w = dequantize(self.weight_type, &self.data, width);
        let mut logits =
            crate::kernels::oracle::product(&w, rows, width, &self.hidden, self.targets.len());
        let cap = f64::from(self.cap);
        let slope = |z: f64| if cap == 0.0 { 1.0 } else { 1.0 - (z / cap).powi(2) };
        if cap != 0.0 {
            logits.iter_mut().for_each(|z| *z = cap * (*z / cap).tanh());
        }
        let mut gradient = vec![0.0; self.hidden.len()];
        let mut loss = Vec::new();
        let all = logits.chunks_exact(rows).zip(gradient.chunks_exact_mut(width));
        for ((z, gradient), target) in all.zip(&self.targets) {
            let target = *target as usize;
            let most = z.iter().copied().fold(f64::MIN, f64::max);
            let sum: f64 = z.iter().map(|z| (z - most).exp()).sum();
            let others: f64 = (0..rows).filter(|r| *r != target).map(|r| (z[r] - most).exp()).sum();
            let lse = most + sum.ln();
            loss.push(if lse - z[target] > 1.0 {
                lse - z[target]
            } else {
                (others / (z[target] - most).exp()).ln_1p()
            });
            for (r, w) in w.chunks_exact(width).enumerate() {
                let p = if r == target { -others / sum } else { (z[r] - lse).exp() };
                let p = p * slope(z[r]);
                gradient.iter_mut().zip(w).for_each(|(g, w)| *g += p * w);
            }
        }
        Expected { loss, logits, gradient }
    }

    /// Compares them at every level; threads and the want of a gradient must not matter.
    fn check(&self) {
        let expected = self.expected();
        let name =
            format!("{:?} {}x{} {}", self.weight_type, self.rows(), self.width, self.targets.len());
        for level in levels() {
            let got = self.run(level, 1, true);
            // What the numbers are rounded to: brain floats, 14 or 16 bits of the largest near them, nothing.
            let bound = match (level, self.weight_type) {
                (Level::Avx512Bf16 | Level::Amx, _) => 0.02,
                (Level::Avx512Vnni, WeightType::F16 | WeightType::Bf16) => 3e-4,
                (Level::Avx2, _) => 2e-4,
                _ => 1e-5,
            };
            let difference = got.loss.iter().zip(&expected.loss);
            let worst = difference.map(|(g, e)| (f64::from(*g) - e).abs()).fold(0.0, f64::max);
            assert!(worst < 3.0 * bound, "{name} {}: loss {worst}", level.name());
            let error = relative_error(&got.gradient, &expected.gradient);
            assert!(error < bound, "{name} {}: gradient {error}", level.name());
            for (best, z) in got.best.iter().zip(expected.logits.chunks_exact(self.rows())) {
                let most = z.iter().copied().fold(f64::MIN, f64::max);
                let short = most - z[*best as usize];
                assert!(short <= 3.0 * bound, "{name} {}: best {short}", level.name());
            }
            assert!(got == self.run(level, 3, true), "{name} {}: threads differ", level.name());
            let alone = self.run(level, 2, false);
            assert!(got.loss == alone.loss && got.best == alone.best, "{name}: gradient matters");
        }
    }
}

#[test]
fn every_type_of_weight_gives_the_loss_of_f64() {
    for (_, weight_type) in WeightType::KNOWN {
        let width = 64usize.next_multiple_of(weight_type.block());
        Case::new(weight_type, [333, width], 9, 0.0).check();
    }
}

#[test]
fn shapes_may_be_ragged() {
    for (shape, tokens) in [([1, 32], 3), ([2, 32], 1), ([31, 64], 2), ([1000, 96], 70)] {
        Case::new(WeightType::Q8_0, shape, tokens, 0.0).check();
    }
    for (shape, tokens) in [([77, 1], 5), ([50, 33], 13), ([130, 100], 29)] {
        Case::new(WeightType::F32, shape, tokens, 0.0).check();
    }
}

#[test]
fn there_may_be_many_blocks_and_tiles() {
    Case::new(WeightType::Q4_0, [9001, 32], 300, 0.0).check();
    Case::new(WeightType::Q8_0, [4500, 32], 1030, 0.0).check();
    Case::new(WeightType::F16, [20_000, 16], 3, 0.0).check();
}

#[test]
fn logits_may_be_capped() {
    for cap in [30.0, 5.0, 0.5] {
        Case::new(WeightType::Q8_0, [500, 64], 20, cap).check();
        Case::new(WeightType::F32, [9000, 40], 5, cap).check();
    }
}

#[test]
fn large_logits_do_not_overflow() {
    let mut case = Case::new(WeightType::F32, [300, 64], 30, 0.0);
    case.hidden.iter_mut().for_each(|x| *x *= 1e3);
    let expected = case.expected();
    for level in levels() {
        let got = case.run(level, 2, true);
        assert!(got.loss.iter().chain(&got.gradient).all(|x| x.is_finite()), "{}", level.name());
        assert!(relative_error(&got.loss, &expected.loss) < 2e-2, "{}", level.name());
    }
    case.cap = 30.0;
    for level in levels() {
        let got = case.run(level, 2, true);
        assert!(got.loss.iter().all(|x| (0.0..70.0).contains(x)));
    }
}

#[test]
fn what_is_nearly_sure_keeps_its_small_gradient() {
    let mut case = Case::new(WeightType::F32, [200, 32], 8, 0.0);
    let w = dequantize(case.weight_type, &case.data, 32);
    for (i, x) in case.hidden.iter_mut().enumerate() {
        *x = 1.5 * w[case.targets[i / 32] as usize * 32 + i % 32] as f32;
    }
    let expected = case.expected();
    for level in levels() {
        let got = case.run(level, 1, true);
        let error = relative_error(&got.gradient, &expected.gradient);
        assert!(error < 0.03, "{}: {error}", level.name());
        assert!(relative_error(&got.loss, &expected.loss) < 0.03, "{}", level.name());
        assert_eq!(got.best, case.targets);
    }
}

#[test]
fn a_token_that_is_not_a_number_spoils_no_other() {
    let mut case = Case::new(WeightType::Q8_0, [100, 32], 6, 0.0);
    let mut spoilt = case.hidden.clone();
    spoilt[2 * 32] = f32::NAN;
    for level in levels() {
        let before = case.run(level, 1, true);
        let whole = std::mem::replace(&mut case.hidden, spoilt.clone());
        let after = case.run(level, 1, true);
        case.hidden = whole;
        for i in 0..6 {
            assert_eq!(after.loss[i].is_nan(), i == 2);
            assert!(i == 2 || before.gradient[i * 32..][..32] == after.gradient[i * 32..][..32]);
        }
    }
}
