//! Fused products against the operations that they take the place of: the same to the bit.

use super::super::WeightType;
use super::super::oracle::{self, Random};
use super::super::testing::{Together, levels, run_crew};
use super::*;

/// What follows.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Gate(Curve),
    /// As many vectors.
    Add,
    /// As many, where the result goes.
    AddInPlace,
    /// One vector.
    AddOne,
}

const KINDS: [Kind; 5] =
    [Kind::Gate(Curve::Silu), Kind::Gate(Curve::Gelu), Kind::Add, Kind::AddInPlace, Kind::AddOne];

struct Case {
    /// The second is for gates.
    types: [WeightType; 2],
    rows: usize,
    width: usize,
    tokens: usize,
    kind: Kind,
    seed: u64,
}

/// What lies between the rows of the result, and must stay.
const BETWEEN: f32 = 7.5;
const GAP: usize = 3;

/// What a case is computed with.
struct Data {
    weights: [Vec<u8>; 2],
    x: Vec<f32>,
    other: Vec<f32>,
    y: Vec<f32>,
}

impl Case {
    fn stride(&self) -> usize {
        self.rows + GAP
    }

    fn data(&self) -> Data {
        let weight = |i: usize| {
            oracle::random_weight(self.types[i], self.rows, self.width, self.seed + i as u64)
        };
        let other = oracle::random_floats(self.tokens * self.stride(), self.seed + 3);
        let (mut y, x) =
            (other.clone(), oracle::random_floats(self.tokens * self.width, self.seed + 2));
        y.chunks_mut(self.stride()).for_each(|row| row[self.rows..].fill(BETWEEN));
        Data { weights: [weight(0), weight(1)], x, other, y }
    }

    fn fused(&self, data: &mut Data) -> FusedProduct {
        let (y, other) = (data.y.as_mut_ptr(), data.other.as_ptr());
        let [product, up] = [0, 1].map(|i| {
            let (weight_type, rows, width) = (self.types[i], self.rows, self.width);
            let (data_at, stride) = (data.weights[i].as_ptr(), weight_type.bytes_of(width));
            let weight = Weight { weight_type, data: data_at, stride, rows, width };
            let (x, y) = (Vectors::to_read(data.x.as_ptr(), width), Vectors::new(y, self.stride()));
            Product { weight, x, tokens: self.tokens, y, to_bytes: true, is_packed: false }
        });
        let then = match self.kind {
            Kind::Gate(curve) => Then::Gate { up: up.weight, curve },
            Kind::Add => Then::Add(Vectors::to_read(other, self.stride())),
            Kind::AddInPlace => Then::Add(product.y),
            Kind::AddOne => Then::Add(Vectors::to_read(other, 0)),
        };
        FusedProduct::new(product, then)
    }

    /// The values with what lies between them. `None`: no kernel.
    fn run(&self, level: Level, threads: usize) -> Option<Vec<f32>> {
        let mut data = self.data();
        let fused = Together(self.fused(&mut data));
        let need = fused.get().need(level)?;
        // SAFETY: the vectors and weights are as the product says.
        run_crew(threads, need, |crew, s| unsafe { fused.get().run(level, crew, s) });
        Some(data.y)
    }

    /// The same, one operation after the other.
    fn expected(&self, level: Level) -> Vec<f32> {
        let mut data = self.data();
        let fused = self.fused(&mut data);
        let values: Vec<Vec<f32>> = fused
            .products()
            .map(|product| {
                let mut values = vec![f32::NAN; self.tokens * self.rows];
                let y = Vectors::new(values.as_mut_ptr(), self.rows);
                let product = Together(Product { y, ..product });
                let need = product.get().need(level).expect("a kernel");
                // SAFETY: the vectors are as long as the product says.
                run_crew(2, need, |crew, s| unsafe { product.get().run(level, crew, s) });
                values
            })
            .collect();
        let at = |i: usize| Vectors::to_read(values[i.min(values.len() - 1)].as_ptr(), self.rows);
        let (all, both) = (0..self.tokens, [at(0), at(1)]);
        // SAFETY: as above.
        unsafe { fused.then.apply(level, both, fused.product.y, 0..self.rows, all) };
        data.y
    }

    /// Whether there is a kernel, which is right then.
    fn check(&self, level: Level) -> bool {
        let bits = |y: Vec<f32>| y.into_iter().map(f32::to_bits).collect::<Vec<_>>();
        let mut expected = None;
        for threads in [1, 3] {
            let Some(y) = self.run(level, threads) else { return false };
            let expected = expected.get_or_insert_with(|| bits(self.expected(level)));
            let Self { types, rows, width, tokens, kind, .. } = self;
            let what = format!("{types:?} {rows} {width} {tokens} {kind:?} {level:?} {threads}");
            assert!(bits(y) == *expected, "{what}");
        }
        true
    }
}

#[test]
fn they_are_what_the_operations_give() {
    let mut random = Random(1);
    for level in levels() {
        for (_, weight_type) in WeightType::KNOWN {
            for (i, kind) in KINDS.into_iter().enumerate() {
                let block = weight_type.block();
                let width = block.max(32) * (1 + random.below(1 + 512 / block));
                let (rows, seed) = (1 + random.below(100), random.next());
                for tokens in [1, 2 + i, 9 + i, 40 + random.below(60)] {
                    let case = Case { types: [weight_type; 2], rows, width, tokens, kind, seed };
                    // Those of few tokens may be the engine's.
                    let has = case.check(level);
                    assert!(has || tokens < 40, "{weight_type:?} {level:?} {tokens}: no kernel");
                }
            }
        }
    }
}

#[test]
fn shapes_beyond_every_block_are_right() {
    let case = |rows, width, tokens, kind| Case {
        types: [WeightType::Q8_0; 2],
        rows,
        width,
        tokens,
        kind,
        seed: 2,
    };
    for level in levels() {
        let gate = Kind::Gate(Curve::Silu);
        // As many tokens as are packed at a time, whose vectors do not stay in a core's cache; and more.
        assert!(case(70, 2080, 512, gate).check(level), "{level:?}");
        assert!(case(40, 64, 600, gate).check(level), "{level:?}");
        assert!(case(40, 64, 600, Kind::Add).check(level), "{level:?}");
        // More rows than a thread takes at a time.
        for kind in KINDS {
            assert!(case(3 * ROWS + 5, 64, 1, kind).check(level), "{level:?}");
        }
    }
}

#[test]
fn what_is_multiplied_otherwise_is_not_fused() {
    let kind = Kind::Gate(Curve::Silu);
    let case = |types, tokens| Case { types, rows: 8, width: 256, tokens, kind, seed: 3 };
    for level in levels() {
        let has = |types, tokens| case(types, tokens).run(level, 1).is_some();
        assert!(has([WeightType::Q8_0; 2], 100));
        // All weights are multiplied as f32 with AVX-512 alone.
        let is_one = level == Level::Avx512;
        assert_eq!(has([WeightType::Q8_0, WeightType::F32], 100), is_one, "{level:?}");
        let (case, mut data) =
            (case([WeightType::Q8_0; 2], 100), case([WeightType::Q8_0; 2], 100).data());
        let mut fused = case.fused(&mut data);
        let Then::Gate { up, curve } = fused.then else { unreachable!() };
        fused.then = Then::Gate { up: Weight { rows: 7, ..up }, curve };
        assert!(fused.need(level).is_none(), "another shape");
    }
    assert!(case([WeightType::Q8_0; 2], 100).run(Level::None, 1).is_none());
}

#[test]
fn the_result_may_lie_where_the_vectors_were() {
    let (rows, width) = (256, 256);
    for level in levels() {
        for (_, weight_type) in WeightType::KNOWN {
            let types = [weight_type; 2];
            for (tokens, kind) in [(1, KINDS[0]), (3, Kind::Add), (50, KINDS[1])] {
                let case = Case { types, rows, width, tokens, kind, seed: 4 };
                let Some(expected) = case.run(level, 1) else { continue };
                let mut data = case.data();
                let mut fused = case.fused(&mut data);
                let mut x = data.x.clone();
                let at = Vectors::new(x.as_mut_ptr(), width);
                fused.product = Product { x: at, y: at, ..fused.product };
                let fused = Together(fused);
                let need = fused.get().need(level).expect("a kernel");
                // SAFETY: the vectors and weights are as the product says.
                run_crew(3, need, |crew, s| unsafe { fused.get().run(level, crew, s) });
                for (y, expected) in x.chunks(width).zip(expected.chunks(case.stride())) {
                    assert_eq!(y, &expected[..rows], "{weight_type:?} {level:?} {tokens}");
                }
                // Not if some of them would be written before all are read.
                let product = Product { tokens: 513, ..fused.get().product };
                assert!(FusedProduct { product, ..fused.0 }.need(level).is_none());
                let then = Then::Add(fused.0.product.y.elements(1));
                assert!(FusedProduct { then, ..fused.0 }.need(level).is_none(), "beside");
            }
        }
    }
}
