//! The entries: that every number of tokens finds a kernel that computes all of them.

use super::super::oracle;
use super::super::testing::{Together, levels, run_crew};
use super::{Level, Need, Product, Queue, Vectors, Way, Weight, WeightType};

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
        is_packed: false,
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
    let product =
        Product { weight, x: nowhere, tokens, y: nowhere, to_bytes: true, is_packed: false };
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

/// Two products with the same vectors, the second maybe as the first has packed them.
fn second_of_two(
    types: [WeightType; 2],
    level: Level,
    tokens: usize,
    shared: bool,
) -> Option<Vec<f32>> {
    let data = types.map(|weight_type| oracle::random_weight(weight_type, ROWS, WIDTH, 1));
    let x = oracle::random_floats(tokens * WIDTH, 2);
    let mut values = [0, 1].map(|_| vec![f32::NAN; tokens * ROWS]);
    let product = |i: usize, y: *mut f32| Product {
        weight: weight(types[i], data[i].as_ptr()),
        x: Vectors::to_read(x.as_ptr(), WIDTH),
        tokens,
        y: Vectors::new(y, ROWS),
        to_bytes: true,
        is_packed: false,
    };
    let [first, second] = [0, 1].map(|i| product(i, values[i].as_mut_ptr()));
    if !first.packs_for(&second, level) {
        return None;
    }
    let second = Product { is_packed: shared, ..second };
    let need = first.need(level)?.max(second.need(level)?);
    let both = Together([first, second]);
    run_crew(3, need, |crew, scratch| {
        let mut queue = Queue::new(0);
        for product in both.get() {
            // SAFETY: the vectors are as long as the products say; the second begins when the first has ended.
            unsafe { product.run_in(level, crew, scratch, &mut queue) };
            crew.wait();
        }
    });
    let [_, values] = values;
    Some(values)
}

#[test]
fn products_share_vectors_that_are_packed() {
    for level in levels() {
        for (_, weight_type) in WeightType::KNOWN {
            let of = |shared| second_of_two([weight_type; 2], level, 100, shared);
            assert!(of(true).is_some(), "{weight_type:?} {level:?}");
            assert_eq!(of(true), of(false), "{weight_type:?} {level:?}");
        }
        let is_shared = |types, tokens| second_of_two(types, level, tokens, true).is_some();
        let [few, many] = [1, 513];
        assert!(!is_shared([WeightType::Q8_0; 2], few));
        assert!(!is_shared([WeightType::Q8_0; 2], many), "only the last of them are there");
        // All weights are multiplied as f32 with AVX-512 alone.
        let is_one = level == Level::Avx512;
        assert_eq!(is_shared([WeightType::Q8_0, WeightType::F32], 100), is_one, "{level:?}");
    }
}

#[test]
fn other_vectors_are_not_shared() {
    for level in levels() {
        let weight = weight(WeightType::Q4_1, std::ptr::null());
        let (x, y) = ([0f32; 2], Vectors::to_read(std::ptr::null(), 0));
        let x = Vectors::to_read(x.as_ptr(), WIDTH);
        let product = Product { weight, x, tokens: 90, y, to_bytes: true, is_packed: false };
        let wide = Weight { width: 2 * WIDTH, ..weight };
        let others = [
            Product { x: x.elements(1), ..product },
            Product { x: Vectors::to_read(std::ptr::null(), WIDTH), ..product },
            Product { tokens: 91, ..product },
            Product { weight: wide, ..product },
        ];
        assert!(product.packs_for(&product, level));
        assert!(others.iter().all(|other| !product.packs_for(other, level)), "{level:?}");
        let picked = Product { x: x.picked([0u32; 90].as_ptr()), ..product };
        assert!(!picked.packs_for(&picked, level), "numbers may change");
    }
}
