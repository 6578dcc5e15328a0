//! The GEMMs against products in f64, for every type, level and kind of shape.

use super::super::oracle::{self, Random};
use super::super::testing::{Together, levels, run_crew};
use super::super::{
    Crew, Level, Need, Product, ProductBack, Queue, Scratch, Vectors, Weight, WeightType,
};

/// A product and what it is made of.
#[derive(Debug, Clone, Copy)]
struct Case {
    weight_type: WeightType,
    rows: usize,
    width: usize,
    tokens: usize,
    /// Elements between the rows of everything.
    gap: usize,
    seed: u64,
}

/// One of the known types as one that only the engine knows.
const OTHER: WeightType = WeightType::Other(32, 34, q8_0_to_f32);

extern "C" fn q8_0_to_f32(from: *const std::ffi::c_void, to: *mut f32, n: i64) {
    let n = n as usize;
    // SAFETY: whoever asks for so many elements has their blocks, and room for them.
    unsafe {
        let data = std::slice::from_raw_parts(from.cast::<u8>(), WeightType::Q8_0.bytes_of(n));
        for (i, x) in oracle::dequantize(WeightType::Q8_0, data, n).into_iter().enumerate() {
            *to.add(i) = x as f32;
        }
    }
}

/// Every type: the known ones, and the other.
fn types() -> impl Iterator<Item = WeightType> {
    WeightType::KNOWN.into_iter().map(|(_, weight_type)| weight_type).chain([OTHER])
}

/// A matrix of floats with NaNs between its rows.
struct Floats {
    data: Vec<f32>,
    stride: usize,
    width: usize,
}

impl Floats {
    fn random(rows: usize, width: usize, gap: usize, seed: u64) -> Self {
        let mut data = vec![f32::NAN; rows * (width + gap)];
        for (to, x) in data
            .chunks_mut(width + gap)
            .zip(oracle::random_floats(rows * width, seed).chunks(width))
        {
            to[..width].copy_from_slice(x);
        }
        Self { data, stride: width + gap, width }
    }

    fn vectors(&self) -> Vectors {
        Vectors::to_read(self.data.as_ptr(), self.stride)
    }

    /// The numbers, without what is between the rows.
    fn dense(&self) -> Vec<f32> {
        self.data.chunks(self.stride).flat_map(|row| row[..self.width].to_vec()).collect()
    }

    /// Whether nobody has written between the rows.
    fn is_intact(&self) -> bool {
        self.data.chunks(self.stride).all(|row| row[self.width..].iter().all(|x| x.is_nan()))
    }
}

impl Case {
    fn random(weight_type: WeightType, random: &mut Random) -> Self {
        let block = weight_type.block();
        let width = if block == 1 {
            1 + random.below(900)
        } else {
            block * (1 + random.below(1 + 640 / block))
        };
        Self {
            weight_type,
            rows: 1 + random.below(70),
            width,
            tokens: 1 + random.below(40),
            gap: random.below(3) * 5,
            seed: random.next(),
        }
    }

    /// The bytes of the weight, of which the first is not part, with NaNs between the rows.
    fn bytes(&self) -> (Vec<u8>, usize) {
        let (known, row) = (self.known(), self.weight_type.bytes_of(self.width));
        let dense = oracle::random_weight(known, self.rows, self.width, self.seed);
        let mut bytes = vec![0xff];
        for from in dense.chunks(row) {
            bytes.extend_from_slice(from);
            bytes.resize(bytes.len() + self.gap, 0xff);
        }
        (bytes, row + self.gap)
    }

    fn known(&self) -> WeightType {
        if let WeightType::Other(..) = self.weight_type {
            WeightType::Q8_0
        } else {
            self.weight_type
        }
    }

    /// The weight's elements as the level multiplies them.
    fn elements(&self, level: Level) -> Vec<f64> {
        let dense = oracle::random_weight(self.known(), self.rows, self.width, self.seed);
        let exact = oracle::dequantize(self.known(), &dense, self.width);
        exact.into_iter().map(|x| as_multiplied(level, x as f32).into()).collect()
    }

    fn weight(&self, (bytes, stride): &(Vec<u8>, usize)) -> Weight {
        let data = bytes[1..].as_ptr();
        let Self { weight_type, rows, width, .. } = *self;
        Weight { weight_type, data, stride: *stride, rows, width }
    }

    /// The product that a crew of `threads` computes.
    fn forward(&self, level: Level, threads: usize) -> Vec<f32> {
        let bytes = self.bytes();
        let x = Floats::random(self.tokens, self.width, self.gap, self.seed ^ 1);
        let mut y = Floats::random(self.tokens, self.rows, self.gap, self.seed ^ 2);
        let product = Together(Product {
            weight: self.weight(&bytes),
            x: x.vectors(),
            tokens: self.tokens,
            y: Vectors::new(y.data.as_mut_ptr(), y.stride),
            to_bytes: false,
            is_packed: false,
        });
        let need = super::need(product.get(), level).expect("a GEMM");
        run_crew(threads, need, |crew, scratch| {
            // SAFETY: the vectors are as long as the product says.
            unsafe { super::run(product.get(), level, crew, scratch, &mut Queue::new(0)) }
        });
        assert!(y.is_intact(), "{self:?} {level:?}");
        y.dense()
    }

    /// Rows as integers of 14 bits.
    fn fixed(&self, x: Vec<f32>) -> Vec<f32> {
        let groups = x.chunks(self.width).flat_map(|row| row.chunks(64));
        groups.flat_map(|group| oracle::rounded(group, 5792.0)).collect()
    }

    /// What goes back through it.
    fn back(&self, level: Level, threads: usize, accumulate: bool) -> Vec<f32> {
        let bytes = self.bytes();
        let dy = Floats::random(self.tokens, self.rows, self.gap, self.seed ^ 1);
        let mut dx = Floats::random(self.tokens, self.width, self.gap, self.seed ^ 2);
        let product = Together(ProductBack {
            weight: self.weight(&bytes),
            dy: dy.vectors(),
            tokens: self.tokens,
            dx: Vectors::new(dx.data.as_mut_ptr(), dx.stride),
            accumulate,
        });
        let need = product.get().need(level).expect("a GEMM");
        run_crew(threads, need, |crew, scratch| {
            // SAFETY: the vectors are as long as the product says.
            unsafe { product.get().run(level, crew, scratch) }
        });
        assert!(dx.is_intact(), "{self:?} {level:?}");
        dx.dense()
    }

    fn check_forward(&self, level: Level) {
        let x = oracle::random_floats(self.tokens * self.width, self.seed ^ 1);
        let multiplied = super::level(&self.weight(&self.bytes()), level);
        let in_brain_floats =
            |x: Vec<f32>| x.into_iter().map(|x| as_multiplied(multiplied, x)).collect();
        let (weights, x) = match (self.weight_type, level) {
            // In two parts, which are exact.
            (WeightType::F16, Level::Amx) => (self.elements(Level::Avx512), in_brain_floats(x)),
            (WeightType::F16, Level::Avx512Vnni | Level::Avx512Bf16)
            | (WeightType::Bf16, Level::Avx512Vnni) => {
                let exact = self.elements(Level::Avx512).into_iter().map(|x| x as f32).collect();
                (self.fixed(exact).into_iter().map(f64::from).collect(), self.fixed(x))
            }
            _ => (self.elements(multiplied), in_brain_floats(x)),
        };
        let expected = oracle::product(&weights, self.rows, self.width, &x, self.tokens);
        let y = self.forward(level, 1);
        let error = oracle::relative_error(&y, &expected);
        assert!(error < TOLERANCE, "{self:?} {level:?}: {error:e}");
        assert_same(&y, &self.forward(level, 3), self);
    }

    fn check_back(&self, level: Level, accumulate: bool) {
        let dy = oracle::random_floats(self.tokens * self.rows, self.seed ^ 1);
        let dy: Vec<f32> = dy.into_iter().map(|x| as_multiplied(level, x)).collect();
        let w = self.elements(level);
        let columns: Vec<f64> =
            (0..self.width).flat_map(|k| w.iter().skip(k).step_by(self.width).copied()).collect();
        let mut expected = oracle::product(&columns, self.width, self.rows, &dy, self.tokens);
        if accumulate {
            let before = oracle::random_floats(self.tokens * self.width, self.seed ^ 2);
            expected.iter_mut().zip(before).for_each(|(x, before)| *x += f64::from(before));
        }
        let dx = self.back(level, 1, accumulate);
        let error = oracle::relative_error(&dx, &expected);
        assert!(error < TOLERANCE, "{self:?} {level:?}: {error:e}");
        assert_same(&dx, &self.back(level, 3, accumulate), self);
    }
}

/// Relative, of products of numbers as they are multiplied: what summing up in f32 costs, and that a bf16 may be
/// rounded otherwise when the exact number is between two.
const TOLERANCE: f64 = 1e-4;

/// A number in the precision of the level's products.
fn as_multiplied(level: Level, x: f32) -> f32 {
    if level < Level::Avx512Bf16 {
        return x;
    }
    let bits = x.to_bits();
    f32::from_bits((bits + 0x7fff + (bits >> 16 & 1)) & 0xffff_0000)
}

fn assert_same(a: &[f32], b: &[f32], case: &Case) {
    assert!(a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits()), "{case:?}: threads differ");
}

#[test]
fn products_of_every_type_and_shape_are_right() {
    let mut random = Random(1);
    for weight_type in types() {
        for level in levels() {
            for _ in 0..6 {
                Case::random(weight_type, &mut random).check_forward(level);
            }
        }
    }
}

#[test]
fn what_goes_back_is_right_for_every_type_and_shape() {
    let mut random = Random(2);
    for weight_type in types() {
        for level in levels() {
            for i in 0..6 {
                Case::random(weight_type, &mut random).check_back(level, i % 2 == 1);
            }
        }
    }
}

#[test]
fn shapes_beyond_every_block_are_right() {
    let case = |weight_type, rows, width, tokens| Case {
        weight_type,
        rows,
        width,
        tokens,
        gap: 0,
        seed: 3,
    };
    for level in levels() {
        let long = case(WeightType::Q4_0, 33, 1600, 600);
        long.check_forward(level);
        long.check_back(level, false);
        // So wide that the tokens do not stay in a cache.
        case(WeightType::Q5_0, 70, 4128, 260).check_forward(level);
        case(WeightType::Q8_0, 8230, 32, 2).check_back(level, false);
        case(WeightType::F16, 1, 1, 1).check_forward(level);
        case(WeightType::F16, 1, 1, 1).check_back(level, true);
        // One panel for many tokens: the threads share them.
        case(WeightType::Q6K, 7, 256, 150).check_forward(level);
        case(WeightType::Q6K, 7, 256, 150).check_back(level, true);
    }
}

#[test]
fn a_token_that_is_not_a_number_concerns_no_other() {
    let both = |level| [WeightType::Bf16, WeightType::F16].map(|weight_type| (level, weight_type));
    for (level, weight_type) in levels().into_iter().flat_map(both) {
        let case = Case { weight_type, rows: 37, width: 51, tokens: 14, gap: 0, seed: 4 };
        let bytes = case.bytes();
        let mut x = Floats::random(case.tokens, case.width, 0, 5);
        x.data[3 * case.width..4 * case.width].fill(f32::NAN);
        let mut y = vec![0.0; case.tokens * case.rows];
        let product = Together(Product {
            weight: case.weight(&bytes),
            x: x.vectors(),
            tokens: case.tokens,
            y: Vectors::new(y.as_mut_ptr(), case.rows),
            to_bytes: false,
            is_packed: false,
        });
        let need = super::need(product.get(), level).expect("a GEMM");
        run_crew(2, need, |crew, scratch| {
            // SAFETY: the vectors are as long as the product says.
            unsafe { super::run(product.get(), level, crew, scratch, &mut Queue::new(0)) }
        });
        for (t, y) in y.chunks(case.rows).enumerate() {
            assert!(y.iter().all(|y| y.is_nan() == (t == 3)), "{level:?}, token {t}");
        }
    }
}

#[test]
fn a_queue_serves_one_product_after_the_other() {
    let case =
        Case { weight_type: WeightType::Q5_1, rows: 70, width: 96, tokens: 30, gap: 0, seed: 6 };
    for level in levels() {
        let bytes = case.bytes();
        let x = Floats::random(case.tokens, case.width, 0, case.seed ^ 1);
        let mut y = vec![0.0; case.tokens * case.rows];
        let mut dx = vec![0.0; case.tokens * case.width];
        let product = Product {
            weight: case.weight(&bytes),
            x: x.vectors(),
            tokens: case.tokens,
            y: Vectors::new(y.as_mut_ptr(), case.rows),
            to_bytes: false,
            is_packed: false,
        };
        let back = ProductBack {
            weight: product.weight,
            dy: product.y,
            tokens: case.tokens,
            dx: Vectors::new(dx.as_mut_ptr(), case.width),
            accumulate: false,
        };
        let need =
            super::need(&product, level).expect("a GEMM").max(back.need(level).expect("a GEMM"));
        let both = Together((product, back));
        let run = |crew: Crew<'_>, scratch: Scratch| {
            let ((product, back), mut queue) = (both.get(), Queue::new(2));
            for _ in 0..3 {
                // SAFETY: the vectors are as long as the products say; the second reads what the first wrote.
                unsafe {
                    super::run(product, level, crew, scratch, &mut queue);
                    crew.wait();
                    back.run_in(level, crew, scratch, &mut queue);
                }
            }
        };
        run_crew(3, need, run);
        assert_same(&y, &case.forward(level, 1), &case);
        let after = dx.clone();
        run_crew(1, need, run);
        assert_same(&dx, &after, &case);
    }
}

#[test]
fn what_is_no_matrix_or_cut_otherwise_is_not_offered() {
    let case = Case { weight_type: OTHER, rows: 4, width: 96, tokens: 2, gap: 0, seed: 7 };
    let bytes = case.bytes();
    let need = |weight_type, rows, level| -> Option<Need> {
        let weight = Weight { weight_type, rows, ..case.weight(&bytes) };
        let nowhere = Vectors::to_read(std::ptr::null(), 0);
        let product = Product {
            weight,
            x: nowhere,
            tokens: 2,
            y: nowhere,
            to_bytes: false,
            is_packed: false,
        };
        super::need(&product, level)
    };
    for level in levels() {
        assert!(need(OTHER, 4, level).is_some());
        assert!(need(OTHER, 0, level).is_none());
        assert!(need(WeightType::Other(96, 34, q8_0_to_f32), 4, level).is_none());
    }
    assert!(need(OTHER, 4, Level::None).is_none());
}
