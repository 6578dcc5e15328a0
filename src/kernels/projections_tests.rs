//! Against the norm and the products one after the other: the same to the bit.

use super::super::oracle;
use super::super::rows::Curve;
use super::super::testing::{Together, levels, run_crew};
use super::super::{Then, Weight, WeightType};
use super::*;

/// What follows each of the products, by its weights' types.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Alone(WeightType),
    Biased(WeightType),
    Gated([WeightType; 2]),
}

struct Case {
    kinds: [Option<Kind>; 3],
    width: usize,
    tokens: usize,
    /// Whether rows of the norm have factors.
    has_factors: bool,
}

const ROWS: usize = 70;

/// What a case is computed with. Pointers into it stay while it is moved.
struct Data {
    x: Vec<f32>,
    factors: Vec<f32>,
    bias: Vec<f32>,
    weights: Vec<Vec<u8>>,
    results: [Vec<f32>; 3],
}

impl Case {
    fn data(&self) -> Data {
        let types = self.kinds.into_iter().flatten().flat_map(|kind| match kind {
            Kind::Alone(a) | Kind::Biased(a) => vec![a],
            Kind::Gated(both) => both.to_vec(),
        });
        let weight = |(i, a)| oracle::random_weight(a, ROWS, self.width, 7 + i as u64);
        Data {
            x: oracle::random_floats(self.tokens * self.width, 1),
            factors: oracle::random_floats(self.width, 2),
            bias: oracle::random_floats(ROWS, 3),
            weights: types.enumerate().map(weight).collect(),
            results: [0, 1, 2].map(|_| vec![f32::NAN; self.tokens * ROWS]),
        }
    }

    /// With vectors that are not there yet.
    fn projections(&self, data: &mut Data) -> Projections {
        let (width, tokens) = (self.width, self.tokens);
        let mut weights = data.weights.iter();
        let mut weight = |weight_type: WeightType| {
            let data = weights.next().expect("a weight").as_ptr();
            Weight { weight_type, data, stride: weight_type.bytes_of(width), rows: ROWS, width }
        };
        let bias = Vectors::to_read(data.bias.as_ptr(), 0);
        let results = data.results.each_mut().map(|y| Vectors::new(y.as_mut_ptr(), ROWS));
        let mut products = [None; 3];
        for ((slot, kind), y) in products.iter_mut().zip(self.kinds).zip(results) {
            let Some(kind) = kind else { continue };
            let (weight, then) = match kind {
                Kind::Alone(a) => (weight(a), Then::Nothing),
                Kind::Biased(a) => (weight(a), Then::Add(bias)),
                Kind::Gated([a, b]) => {
                    let gate = weight(a);
                    (gate, Then::Gate { up: weight(b), curve: Curve::Silu })
                }
            };
            let x = Vectors::to_read(std::ptr::null(), width);
            let product = Product { weight, x, tokens, y, to_bytes: true, is_packed: false };
            *slot = Some(FusedProduct::new(product, then));
        }
        let factors = if self.has_factors { data.factors.as_ptr() } else { std::ptr::null() };
        let norm = NormForward {
            weight: factors,
            eps: 1e-5,
            width,
            rows: tokens,
            x: data.x.as_ptr(),
            x_stride: width,
            y: std::ptr::null_mut(),
            y_stride: 0,
        };
        Projections { norm, products }
    }

    /// `None`: no kernel.
    fn run(&self, level: Level, threads: usize) -> Option<[Vec<f32>; 3]> {
        let mut data = self.data();
        let projections = Together(self.projections(&mut data));
        let need = projections.get().need(level)?;
        // SAFETY: the vectors and weights are as it says.
        run_crew(threads, need, |crew, s| unsafe { projections.get().run(level, crew, s) });
        Some(data.results)
    }

    /// The same, one operation after the other.
    fn expected(&self, level: Level) -> [Vec<f32>; 3] {
        let mut data = self.data();
        let projections = self.projections(&mut data);
        let mut normed = vec![f32::NAN; self.tokens * self.width];
        let y = normed.as_mut_ptr();
        let norm = NormForward { y, y_stride: self.width, ..projections.norm };
        // SAFETY: the rows are there.
        unsafe { norm.run_rows(level, 0..self.tokens) };
        for fused in projections.products.iter().flatten() {
            let fused = Together(fused.with_vectors(Vectors::to_read(y, self.width)));
            let need = fused.get().need(level).expect("a kernel");
            // SAFETY: the vectors and weights are as the product says.
            run_crew(2, need, |crew, s| unsafe { fused.get().run(level, crew, s) });
        }
        data.results
    }

    /// Whether there is a kernel, which is right then.
    fn check(&self, level: Level) -> bool {
        let bits =
            |all: [Vec<f32>; 3]| all.map(|y| y.into_iter().map(f32::to_bits).collect::<Vec<_>>());
        for threads in [1, 3] {
            let Some(found) = self.run(level, threads) else { return false };
            let what = format!("{:?} {level:?} {} {threads}", self.kinds, self.tokens);
            assert!(
                found
                    .iter()
                    .zip(self.kinds)
                    .all(|(y, kind)| { y.iter().all(|y| y.is_nan() == kind.is_none()) })
            );
            assert!(bits(found) == bits(self.expected(level)), "{what}");
        }
        true
    }
}

#[test]
fn they_are_what_the_operations_give() {
    use WeightType::*;
    for level in levels() {
        for (_, weight_type) in WeightType::KNOWN {
            for tokens in [1, 2, 8] {
                let other = if weight_type.block() == 1 { Q8_0 } else { F16 };
                for kinds in [
                    [
                        Some(Kind::Alone(weight_type)),
                        Some(Kind::Alone(weight_type)),
                        Some(Kind::Biased(weight_type)),
                    ],
                    [Some(Kind::Alone(other)), Some(Kind::Biased(weight_type)), None],
                    [Some(Kind::Gated([weight_type; 2])), None, None],
                    [Some(Kind::Gated([weight_type, other])), Some(Kind::Alone(other)), None],
                ] {
                    let has_factors = tokens != 2;
                    let case = Case { kinds, width: 256, tokens, has_factors };
                    // What the engine does better with one token, or with a few, is its own.
                    let has = case.check(level);
                    let is_ours =
                        |t| !matches!((level, t), (Level::Avx2, Q2K | Q3K | Q6K | Iq4Xs | Mxfp4));
                    assert!(has || !is_ours(weight_type), "{kinds:?} {level:?} {tokens}");
                }
            }
        }
    }
}

#[test]
fn many_vectors_are_normed_where_they_are_packed() {
    use WeightType::*;
    for level in levels() {
        for (_, weight_type) in WeightType::KNOWN {
            let other = if weight_type.block() == 1 { Q8_0 } else { F16 };
            let gate = [Some(Kind::Gated([weight_type; 2])), None, None];
            let three =
                [Kind::Alone, Kind::Biased, Kind::Alone].map(|kind| Some(kind(weight_type)));
            let mixed = [Some(Kind::Alone(weight_type)), Some(Kind::Alone(other)), None];
            for (tokens, width) in [(33, 256), (40, 512), (600, 256)] {
                let has =
                    |kinds| Case { kinds, width, tokens, has_factors: tokens != 40 }.check(level);
                let what = format!("{weight_type:?} {level:?} {tokens}");
                assert!(has(gate), "{what}");
                // Not where they would be packed twice: more than are packed at a time, or in another form.
                assert_eq!(has(three), tokens < 600, "{what}");
                assert!(!has(mixed) || (level != Level::Avx2 && tokens < 600), "{what}");
            }
        }
    }
}

#[test]
fn what_is_no_projection_is_not_offered() {
    for level in levels() {
        let kinds = [Some(Kind::Alone(WeightType::Q8_0)), None, None];
        let case = |tokens| Case { kinds, width: 64, tokens, has_factors: true };
        assert!(case(8).run(level, 1).is_some());
        assert!(case(9).run(level, 1).is_none(), "more than a few, less than many");
        let either =
            Case { kinds: [Some(Kind::Alone(WeightType::Q4_0)), kinds[0], None], ..case(9) };
        assert!(either.run(level, 1).is_none(), "a few of one, and maybe many of the other");
        assert!(Case { kinds: [None; 3], ..case(1) }.run(level, 1).is_none(), "no product");
        let mut data = case(1).data();
        let mut projections = case(1).projections(&mut data);
        projections.norm.x = data.results[0].as_ptr();
        assert!(projections.need(level).is_none(), "a result is where the rows are");
        projections.norm.x = data.x.as_ptr();
        let [first, ..] = projections.products;
        let twice = Projections { products: [first, first, None], ..projections };
        assert!(twice.need(level).is_none(), "two results in one place");
        let elsewhere = Vectors::new(data.results[1].as_mut_ptr(), ROWS);
        let mut second = first.expect("a product");
        second.product.y = elsewhere;
        let mut both = Projections { products: [first, Some(second), None], ..projections };
        assert!(both.need(level).is_some());
        let added = first.map(|first| FusedProduct { then: Then::Add(elsewhere), ..first });
        both.products[0] = added;
        assert!(both.need(level).is_none(), "a result is where something is added from");
        projections.norm = NormForward { rows: 2, ..projections.norm };
        assert!(projections.need(level).is_none(), "other rows");
    }
}
