//! Products of integers against those in f64 of the same weights with tokens that are rounded as the kernel rounds them.

use super::super::super::oracle::{self, Random};
use super::super::super::testing::{Together, levels, run_crew};
use super::super::super::{Level, Product, Queue, Vectors, Weight, WeightType};
use super::super::bytes::Signs;
use super::super::quantize::quantize;
use super::Form;

#[derive(Debug, Clone, Copy)]
struct Case {
    weight_type: WeightType,
    to_bytes: bool,
    rows: usize,
    width: usize,
    tokens: usize,
    seed: u64,
}

impl Case {
    /// Elements that share a scale of the token's.
    fn group(&self) -> usize {
        use WeightType::*;
        if matches!(self.weight_type, Q2K | Q3K | Q6K) { 16 } else { 32 }
    }

    fn tokens(&self) -> Vec<f32> {
        oracle::random_floats(self.tokens * self.width, self.seed ^ 1)
    }

    fn weights(&self) -> Vec<u8> {
        oracle::random_weight(self.weight_type, self.rows, self.width, self.seed)
    }

    /// `y`, computed by so many threads; its rows and those of `x` have gaps.
    fn run(&self, data: &[u8], x: &[f32], level: Level, threads: usize) -> Vec<f32> {
        let mut apart = vec![f32::NAN; self.tokens * (self.width + 3)];
        for (to, from) in apart.chunks_mut(self.width + 3).zip(x.chunks(self.width)) {
            to[..self.width].copy_from_slice(from);
        }
        let y_stride = self.rows + 2;
        let mut y = vec![-1.5; self.tokens * y_stride];
        let product = Together(Product {
            weight: Weight {
                weight_type: self.weight_type,
                data: data.as_ptr(),
                stride: self.weight_type.bytes_of(self.width),
                rows: self.rows,
                width: self.width,
            },
            x: Vectors::to_read(apart.as_ptr(), self.width + 3),
            tokens: self.tokens,
            y: Vectors::new(y.as_mut_ptr(), y_stride),
            to_bytes: self.to_bytes,
            is_packed: false,
        });
        let need = super::super::need(product.get(), level).expect("a GEMM");
        run_crew(threads, need, |crew, scratch| {
            // SAFETY: the vectors are as long as the product says.
            unsafe { super::super::run(product.get(), level, crew, scratch, &mut Queue::new(0)) }
        });
        assert!(y.chunks(y_stride).all(|y| y[self.rows..] == [-1.5; 2]), "{self:?}");
        y.chunks(y_stride).flat_map(|y| y[..self.rows].to_vec()).collect()
    }

    fn check(&self, level: Level) {
        self.check_with(&self.weights(), &self.tokens(), level);
    }

    fn check_with(&self, data: &[u8], x: &[f32], level: Level) {
        let form = form(self.weight_type, self.to_bytes, level).expect("a form");
        let is_nearest = matches!(form, Form::Signed32 | Form::Any32);
        let most = if form.is_of_bytes() { 127.0 } else { 32767.0 };
        let rounded = |x| if is_nearest { nearest(x) } else { oracle::rounded(x, most) };
        let rounded: Vec<f32> = x.chunks(self.group()).flat_map(rounded).collect();
        let weights = oracle::dequantize(self.weight_type, data, self.width);
        let expected = oracle::product(&weights, self.rows, self.width, &rounded, self.tokens);
        let y = self.run(data, x, level, 1);
        let error = oracle::relative_error(&y, &expected);
        // What summing up in f32 costs, and that an element between two integers may become the other.
        assert!(error < 1e-4, "{self:?} {level:?}: {error:e}");
        let again = self.run(data, x, level, 3);
        let same = y.iter().zip(&again).all(|(a, b)| a.to_bits() == b.to_bits());
        assert!(same, "{self:?}: threads differ");
    }
}

/// A group as the kernel leaves it, of which its own tests say that it is right.
fn nearest(x: &[f32]) -> Vec<f32> {
    let mut words = [0; 10];
    assert_eq!(x.len(), 32);
    // SAFETY: the processor has the level of the form; a group, and the place of its words.
    unsafe { quantize::<8, Signs>(x.as_ptr(), 32, words.as_mut_ptr(), 10) };
    let scale = f32::from_bits(words[8]);
    oracle::bytes_of(&words[..8]).map(|q| scale * f32::from(q)).collect()
}

fn form(weight_type: WeightType, to_bytes: bool, level: Level) -> Option<Form> {
    form_for(64, weight_type, to_bytes, level)
}

fn form_for(tokens: usize, weight_type: WeightType, to_bytes: bool, level: Level) -> Option<Form> {
    let (data, nowhere) = (std::ptr::null(), Vectors::to_read(std::ptr::null(), 0));
    let weight = Weight { weight_type, data, stride: 0, rows: 1, width: 256 };
    Form::of(&Product { weight, x: nowhere, tokens, y: nowhere, to_bytes, is_packed: false }, level)
}

/// All that is multiplied as integers.
fn kinds() -> impl Iterator<Item = (Level, WeightType, bool)> {
    let types =
        || WeightType::KNOWN.into_iter().map(|(_, known)| known).filter(|known| known.block() > 1);
    levels()
        .into_iter()
        .flat_map(move |level| types().map(move |known| (level, known)))
        .flat_map(|(level, known)| [true, false].map(|to_bytes| (level, known, to_bytes)))
        .filter(|(level, known, to_bytes)| form(*known, *to_bytes, *level).is_some())
}

#[test]
fn every_type_and_shape_is_right() {
    let mut random = Random(1);
    for (level, weight_type, to_bytes) in kinds() {
        for _ in 0..6 {
            let block = weight_type.block();
            let case = Case {
                weight_type,
                to_bytes,
                rows: 1 + random.below(70),
                width: block * (1 + random.below(1 + 640 / block)),
                tokens: 1 + random.below(40),
                seed: random.next(),
            };
            case.check(level);
        }
    }
}

#[test]
fn shapes_beyond_every_block_are_right() {
    use WeightType::*;
    // With AMX, so many tokens are brain floats.
    for (level, weight_type, to_bytes) in kinds().filter(|(level, ..)| *level < Level::Amx) {
        if matches!(weight_type, Q8_0 | Q3K | Q6K | Q4K) {
            Case { weight_type, to_bytes, rows: 33, width: 2304, tokens: 600, seed: 2 }
                .check(level);
        }
        // One panel for many tokens: the threads share them.
        if matches!(weight_type, Q5_0) {
            Case { weight_type, to_bytes, rows: 7, width: 1056, tokens: 150, seed: 3 }.check(level);
        }
    }
}

#[test]
fn a_token_that_is_no_number_concerns_no_other_and_zeros_give_zeros() {
    for (level, weight_type, to_bytes) in kinds() {
        let case = Case { weight_type, to_bytes, rows: 37, width: 512, tokens: 14, seed: 4 };
        let mut x = case.tokens();
        x[3 * 512 + 100] = f32::NAN;
        x[5 * 512 + 511] = f32::INFINITY;
        x[7 * 512..8 * 512].fill(0.0);
        for (t, y) in case.run(&case.weights(), &x, level, 2).chunks(case.rows).enumerate() {
            let bad = t == 3 || t == 5;
            assert!(y.iter().all(|y| y.is_finite() != bad), "{weight_type:?}, token {t}");
            assert!(t != 7 || y.iter().all(|y| *y == 0.0), "{weight_type:?}");
        }
    }
}

#[test]
fn floats_are_not_rounded_and_bytes_only_made_where_they_may_be() {
    use WeightType::*;
    for (level, weight_type, to_bytes) in kinds() {
        let is_of_bytes = form(weight_type, to_bytes, level).is_some_and(Form::is_of_bytes);
        let too_large = level == Level::Avx2 && matches!(weight_type, Q8_0 | Iq4Nl | Iq4Xs);
        assert_eq!(is_of_bytes, to_bytes && !too_large, "{level:?} {weight_type:?}");
    }
    for level in [Level::None, Level::Avx512] {
        assert_eq!(form(Q4_0, true, level), None);
    }
    for (_, level) in Level::NAMES {
        assert_eq!(form(F32, true, level), None);
        let is_quicker = level == Level::Avx512Vnni;
        assert_eq!(form(Bf16, true, level), is_quicker.then_some(Form::Fixed));
        let in_two_parts = (level == Level::Amx).then_some(Form::InTwoParts);
        let is_fixed = matches!(level, Level::Avx512Vnni | Level::Avx512Bf16);
        assert_eq!(form(F16, true, level), in_two_parts.or(is_fixed.then_some(Form::Fixed)));
    }
    assert_eq!(form(Q4_0, false, Level::Avx512Vnni), None);
    assert_eq!(form_for(65, Q4_0, true, Level::Avx512Vnni), Some(Form::Signed32));
    assert_eq!(form_for(64, Q4_0, true, Level::Amx), Some(Form::Signed32));
    assert_eq!(form_for(65, Q4_0, true, Level::Amx), None);
}

/// The largest quants and the largest tokens: their sums are the largest that there can be.
#[test]
fn the_largest_sums_fit() {
    use WeightType::*;
    for (level, weight_type, to_bytes) in kinds() {
        let case = Case { weight_type, to_bytes, rows: 17, width: 256, tokens: 5, seed: 6 };
        // Where the scales of a block are, in f16.
        let scales = match weight_type {
            Q2K => 80..84,
            Q3K => 108..110,
            Q6K => 208..210,
            _ => 0..4,
        };
        for (byte, x) in [(0, 3.0), (0, -3.0), (0xff, 3.0), (0xff, -3.0), (0x80, 3.0)] {
            let mut data = case.weights();
            for block in data.chunks_exact_mut(weight_type.bytes()) {
                let others = block.iter_mut().enumerate().filter(|(i, _)| !scales.contains(i));
                others.for_each(|(_, quants)| *quants = byte);
            }
            case.check_with(&data, &vec![x; case.tokens * case.width], level);
        }
    }
}
