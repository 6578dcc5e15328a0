//! The entries: that every number of tokens finds a kernel that computes all of them.

use super::super::oracle;
use super::super::testing::{Together, levels, run_crew};
use super::{Level, Need, Product, Vectors, Way, Weight, WeightType};

const ROWS: usize = 40;
const WIDTH: usize = 256;

/// `y`, if there is a kernel, and how far it is from the exact one.
fn error(weight_type: WeightType, level: Level, tokens: usize) -> Option<f64> {
    let data = oracle::random_weight(weight_type, ROWS, WIDTH, 1);
    let x = oracle::random_floats(tokens * WIDTH, 2);
    let mut y = vec![f32::NAN; tokens * ROWS];
    let product = Together(Product {
        weight: weight(weight_type, data.as_ptr()),
        x: Vectors::to_read(x.as_ptr(), WIDTH),
        tokens,
        y: Vectors::new(y.as_mut_ptr(), ROWS),
        to_bytes: true,
    });
    let need: Need = product.get().need(level)?;
    run_crew(2, need, |crew, scratch| {
        // SAFETY: the vectors are as long as the product says.
        unsafe { product.get().run(level, crew, scratch) }
    });
    let exact = oracle::dequantize(weight_type, &data, WIDTH);
    Some(oracle::relative_error(&y, &oracle::product(&exact, ROWS, WIDTH, &x, tokens)))
}

fn weight(weight_type: WeightType, data: *const u8) -> Weight {
    let stride = weight_type.bytes_of(WIDTH);
    Weight { weight_type, data, stride, rows: ROWS, width: WIDTH }
}

fn way(weight_type: WeightType, level: Level, tokens: usize) -> Option<Way> {
    let nowhere = Vectors::to_read(std::ptr::null(), 0);
    let weight = weight(weight_type, std::ptr::null());
    let product = Product { weight, x: nowhere, tokens, y: nowhere, to_bytes: true };
    product.need(level).and_then(|_| product.way(level)).map(|(way, _)| way)
}

#[test]
fn any_number_of_tokens_is_multiplied() {
    for level in levels() {
        for (_, weight_type) in WeightType::KNOWN {
            for tokens in [1, 2, 7, 8, 9, 15, 16, 17, 31, 32, 33, 65] {
                let error = error(weight_type, level, tokens);
                assert!(
                    error.is_none_or(|error| error < 2e-2),
                    "{weight_type:?} {level:?} {tokens} {error:?}"
                );
                // With AVX-512, the engine is never quicker.
                assert!(
                    error.is_some() || level == Level::Avx2,
                    "{weight_type:?} {level:?} {tokens}"
                );
            }
        }
    }
}

#[test]
fn few_and_many_tokens_have_their_own_kernels() {
    for level in levels().into_iter().filter(|level| *level >= Level::Avx512) {
        assert_eq!(way(WeightType::Q8_0, level, 1), Some(Way::Few));
        assert_eq!(way(WeightType::Q8_0, level, 512), Some(Way::Many));
    }
    assert_eq!(way(WeightType::Q4K, Level::Avx2, 8), Some(Way::Few));
    assert_eq!(way(WeightType::Q4K, Level::Avx2, 9), Some(Way::Many));
    assert_eq!(way(WeightType::Q5_0, Level::Avx2, 512), Some(Way::Many));
    assert_eq!(way(WeightType::Q5_0, Level::None, 512), None);
    assert_eq!(way(WeightType::Q5_0, Level::Avx512, 0), None);
}
