//! Against the oracle, in all shapes and types.

use super::super::super::oracle::{Random, dequantize, product, random_floats, random_weight};
use super::super::super::testing::{Together, levels, run_crew};
use super::super::super::{Queue, Vectors};
use super::super::run;
use super::*;

/// The types with kernels here.
const TYPES: [WeightType; 13] = [
    WeightType::Q4_0,
    WeightType::Q4_1,
    WeightType::Q5_0,
    WeightType::Q5_1,
    WeightType::Q8_0,
    WeightType::Q2K,
    WeightType::Q3K,
    WeightType::Q4K,
    WeightType::Q5K,
    WeightType::Q6K,
    WeightType::Iq4Nl,
    WeightType::Iq4Xs,
    WeightType::Mxfp4,
];

/// The levels that this processor has and that have a kernel for the type.
fn levels_of(weight_type: WeightType) -> Vec<Level> {
    let has_kernel = |level: &Level| Kernel::of(weight_type, *level).is_some();
    levels().into_iter().filter(has_kernel).collect()
}

/// Elements that share a scale when they are quantized.
const BLOCK: usize = 32;

#[derive(Debug, Clone)]
struct Case {
    weight_type: WeightType,
    rows: usize,
    width: usize,
    /// All tokens' activations.
    x: Vec<f32>,
    data: Vec<u8>,
}

impl Case {
    fn new(weight_type: WeightType, [rows, blocks, tokens]: [usize; 3], seed: u64) -> Self {
        let width = blocks * weight_type.block();
        let x = random_floats(tokens * width, seed + 1);
        Self { weight_type, rows, width, x, data: random_weight(weight_type, rows, width, seed) }
    }

    fn tokens(&self) -> usize {
        self.x.len() / self.width
    }

    /// Values of all tokens. Weights and activations lie at odd addresses, in memory full of NaNs.
    fn run(&self, level: Level, threads: usize) -> Vec<f32> {
        let (rows, width, tokens) = (self.rows, self.width, self.tokens());
        let bytes = self.weight_type.bytes_of(width);
        let stride = bytes + 6;
        let mut data = vec![0xffu8; rows * stride + 2];
        let odd = 1 - data.as_ptr().addr() % 2;
        for (row, from) in self.data.chunks_exact(bytes).enumerate() {
            data[odd + row * stride..][..bytes].copy_from_slice(from);
        }
        let (x_stride, y_stride) = (width + 3, rows + 2);
        let mut x = vec![f32::NAN; tokens * x_stride + 1];
        for (t, from) in self.x.chunks_exact(width).enumerate() {
            x[1 + t * x_stride..][..width].copy_from_slice(from);
        }
        let mut y = vec![7.0f32; tokens * y_stride];
        let weight_type = self.weight_type;
        let weight = Weight { weight_type, data: data[odd..].as_ptr(), stride, rows, width };
        let x = Vectors::to_read(x[1..].as_ptr(), x_stride);
        let y_at = Vectors::new(y.as_mut_ptr(), y_stride);
        let p = &Together(Product { weight, x, tokens, y: y_at, to_bytes: true, is_packed: false });
        let need = need(&p.0, level).expect("a kernel");
        run_crew(threads, need, |crew, scratch| {
            // SAFETY: the vectors have the rows, the scratch what is needed; the level is one of the processor's.
            unsafe { run(&p.0, level, crew, scratch, &mut Queue::new(0)) }
        });
        let (values, between): (Vec<_>, Vec<_>) =
            y.iter().enumerate().partition(|(i, _)| i % y_stride < rows);
        assert!(between.iter().all(|(_, y)| **y == 7.0), "written between the rows");
        values.into_iter().map(|(_, y)| *y).collect()
    }

    /// Compares every value with what it should be: each activation may be wrong by `steps` of 1/127 of its block's
    /// largest.
    fn check(&self, level: Level, threads: usize, steps: f64) -> Vec<f32> {
        let w = dequantize(self.weight_type, &self.data, self.width);
        let expected = product(&w, self.rows, self.width, &self.x, self.tokens());
        let got = self.run(level, threads);
        for (i, (got, expected)) in got.iter().zip(expected).enumerate() {
            let w = &w[i % self.rows * self.width..][..self.width];
            let x = &self.x[i / self.rows * self.width..][..self.width];
            let mut allowed = 0.0;
            for (w, x) in w.chunks(BLOCK).zip(x.chunks(BLOCK)) {
                let largest = f64::from(x.iter().fold(0.0f32, |m, x| m.max(x.abs())));
                let size: f64 = w.iter().map(|w| w.abs()).sum();
                // The rest is for rounded sums, of which those for minimums cancel out partly.
                allowed += size * largest * (steps / 127.0 + 4e-6);
            }
            let difference = (f64::from(*got) - expected).abs();
            assert!(
                difference <= allowed,
                "{:?} {level:?} {} x {}, value {i}: {got} {expected}, {difference} > {allowed}",
                self.weight_type,
                self.rows,
                self.width
            );
        }
        got
    }
}

#[test]
fn every_shape_is_computed_as_precisely_as_8_bits_are() {
    let mut random = Random(1);
    for weight_type in TYPES {
        let levels = levels_of(weight_type);
        let most = 1 + 600 / weight_type.block();
        for i in 0..40 {
            let tokens = 1 + i % TOKENS;
            let shape = [1 + random.below(40), 1 + random.below(most), tokens];
            let case = Case::new(weight_type, shape, random.next());
            let mut first = None;
            for level in &levels {
                let got = case.check(*level, 1 + i % 3, 0.5);
                // Vectors of the same size are summed up in the same order.
                if *level >= Level::Avx512 {
                    assert_eq!(*first.get_or_insert_with(|| got.clone()), got, "levels differ");
                }
            }
        }
    }
}

#[test]
fn what_8_bits_hold_is_exact() {
    for weight_type in TYPES {
        for level in levels_of(weight_type) {
            let mut case = Case::new(weight_type, [9, 3, 3], 5);
            for (i, x) in case.x.iter_mut().enumerate() {
                *x = if i % BLOCK == 7 { -127.0 } else { (*x * 127.0).round() };
            }
            case.check(level, 1, 0.0);
        }
    }
}

#[test]
fn large_matrices_are_the_same_from_any_number_of_threads() {
    for weight_type in [WeightType::Q4_0, WeightType::Q6K] {
        let case = Case::new(weight_type, [2111, 512 / weight_type.block(), 2], 6);
        for level in levels_of(weight_type) {
            let one = case.check(level, 1, 0.5);
            assert!((2..6).all(|threads| case.run(level, threads) == one));
        }
    }
}

#[test]
fn nothing_comes_of_zeros_and_nans_and_infinities_are_seen() {
    for weight_type in TYPES {
        for level in levels_of(weight_type) {
            let mut case = Case::new(weight_type, [5, 2, 1], 8);
            case.x.fill(0.0);
            assert!(case.run(level, 1).iter().all(|y| *y == 0.0));
            case.x.fill(f32::MIN_POSITIVE);
            assert!(case.run(level, 1).iter().all(|y| y.abs() < 1e-30));
            for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                case.x.fill(0.5);
                case.x[37] = value;
                assert!(case.run(level, 1).iter().all(|y| !y.is_finite()), "{weight_type:?}");
            }
        }
    }
}

#[test]
fn other_types_shapes_and_levels_are_not_offered() {
    let (data, nowhere) = ([0u8; 1024], Vectors::to_read(std::ptr::null(), 0));
    let with = |weight_type: WeightType, width, tokens| {
        let weight = Weight { weight_type, data: data.as_ptr(), stride: 0, rows: 1, width };
        Product { weight, x: nowhere, tokens, y: nowhere, to_bytes: true, is_packed: false }
    };
    for weight_type in TYPES {
        let width = weight_type.block();
        assert!(need(&with(weight_type, width, 8), Level::Avx512).is_some());
        assert!(need(&with(weight_type, width, 9), Level::Avx512Bf16).is_none());
        assert!(need(&with(weight_type, width, 0), Level::Avx512Bf16).is_none());
        assert!(need(&with(weight_type, width + 16, 1), Level::Avx512Bf16).is_none());
        assert!(need(&with(weight_type, width, 1), Level::None).is_none());
    }
    assert!(need(&with(WeightType::F32, 32, 1), Level::Avx512Bf16).is_none());
}

/// Rows that end where the memory does.
#[cfg(target_os = "linux")]
#[test]
fn nothing_behind_the_last_row_is_read() {
    for weight_type in TYPES {
        for level in levels_of(weight_type) {
            for blocks in 1..=5 {
                let case = Case::new(weight_type, [3, blocks, 1], 9);
                let data = Guarded::new(&case.data);
                let x: Vec<u8> = case.x.iter().flat_map(|x| x.to_ne_bytes()).collect();
                let x = Guarded::new(&x);
                let mut y = [0.0f32; 3];
                let stride = weight_type.bytes_of(case.width);
                let (rows, width) = (case.rows, case.width);
                let weight = Weight { weight_type, data: data.start, stride, rows, width };
                let x = Vectors::to_read(x.start.cast(), width);
                let y_at = Vectors::new(y.as_mut_ptr(), rows);
                let p = &Together(Product {
                    weight,
                    x,
                    tokens: 1,
                    y: y_at,
                    to_bytes: true,
                    is_packed: false,
                });
                run_crew(1, need(&p.0, level).expect("a kernel"), |crew, scratch| {
                    // SAFETY: as in the other tests.
                    unsafe { run(&p.0, level, crew, scratch, &mut Queue::new(0)) }
                });
                assert_eq!(y.as_slice(), case.run(level, 1));
            }
        }
    }
}

/// A copy of bytes that is followed by a page that cannot be read.
#[cfg(target_os = "linux")]
struct Guarded {
    map: *mut libc::c_void,
    size: usize,
    start: *const u8,
}

#[cfg(target_os = "linux")]
impl Guarded {
    const PAGE: usize = 4096;

    fn new(bytes: &[u8]) -> Self {
        let size = bytes.len().next_multiple_of(Self::PAGE) + Self::PAGE;
        let access = libc::PROT_READ | libc::PROT_WRITE;
        let kind = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // SAFETY: a new mapping, of which only the part before the last page is written to.
        unsafe {
            let map = libc::mmap(std::ptr::null_mut(), size, access, kind, -1, 0);
            assert_ne!(map, libc::MAP_FAILED);
            let end = map.cast::<u8>().add(size - Self::PAGE);
            assert_eq!(libc::mprotect(end.cast(), Self::PAGE, libc::PROT_NONE), 0);
            let start = end.sub(bytes.len());
            start.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
            Self { map, size, start }
        }
    }
}

#[cfg(target_os = "linux")]
impl Drop for Guarded {
    fn drop(&mut self) {
        // SAFETY: the mapping that was made, which nobody uses any more.
        unsafe { libc::munmap(self.map, self.size) };
    }
}
