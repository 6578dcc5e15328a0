//! Against the products, and then the steps of their heads: the same to the bit, wherever the products lie.

use super::super::rows::{Chain, NormForward, Rope, SetRows};
use super::super::testing::{Together, levels, run_crew};
use super::super::{FusedProduct, Product, Then, Weight, WeightType, oracle};
use super::*;

const WIDTH: usize = 96;
const HEAD: usize = 32;
/// Of queries, keys and values.
const HEADS: [usize; 3] = [3, 2, 2];
/// Rows of the cache.
const CELLS: usize = 50;

#[derive(Clone, Copy, Debug)]
struct Case {
    kind: WeightType,
    tokens: usize,
    are_normed: bool,
    /// Whether all heads are parts of one product.
    is_one: bool,
}

/// What is read and written. Pointers into it stay while it is moved.
struct Data {
    x: Vec<f32>,
    factors: Vec<f32>,
    weight: Vec<u8>,
    positions: Vec<i32>,
    numbers: Vec<i64>,
    queries: Vec<f32>,
    cells: [Vec<u16>; 2],
}

impl Case {
    fn data(&self) -> Data {
        let rows = HEADS.iter().sum::<usize>() * HEAD;
        Data {
            x: oracle::random_floats(self.tokens * WIDTH, 1),
            factors: oracle::random_floats(WIDTH, 2),
            weight: oracle::random_weight(self.kind, rows, WIDTH, 3),
            positions: (0..self.tokens as i32).map(|i| 5 * i).collect(),
            numbers: (0..self.tokens as i64).map(|i| 49 - i).collect(),
            queries: vec![f32::NAN; self.tokens * HEADS[0] * HEAD],
            cells: [1, 2].map(|i| vec![0; CELLS * HEADS[i] * HEAD]),
        }
    }

    /// A chain for each third, with results in the data, that begins at `x` with tokens so far apart.
    fn chains(&self, data: &mut Data, x: [*mut f32; 3], token: [usize; 3]) -> [Option<Chain>; 3] {
        let q = data.queries.as_mut_ptr();
        let tables = data.cells.each_mut().map(|cells| cells.as_mut_ptr().cast::<u8>());
        let chain = |i: usize| {
            let (heads, x, x_token) = (HEADS[i], x[i], token[i]);
            let (y, y_token) = if i == 0 { (q, heads * HEAD) } else { (x, x_token) };
            let norm = NormForward {
                weight: data.factors.as_ptr(),
                eps: 1e-5,
                width: HEAD,
                rows: heads * self.tokens,
                x,
                x_stride: HEAD,
                y: x,
                y_stride: HEAD,
            };
            let rope = Rope {
                width: HEAD,
                heads,
                tokens: self.tokens,
                turned: HEAD,
                neighbours: false,
                positions: data.positions.as_ptr(),
                base: 1e4,
                scale: 1.0,
                factors: std::ptr::null(),
                magnitude: 1.0,
                x,
                x_head: HEAD,
                x_token,
                y,
                y_head: HEAD,
                y_token,
            };
            let set = (i > 0).then(|| SetRows {
                width: heads * HEAD,
                x,
                x_stride: x_token,
                numbers: data.numbers.as_ptr(),
                kind: WeightType::F16,
                table: tables[i - 1],
                table_stride: heads * HEAD * 2,
                table_rows: CELLS,
            });
            // A norm of heads wants all of them to be neighbours.
            let norm = (self.are_normed && !self.is_one && i < 2).then_some(norm);
            Some(Chain { heads, norm, rope: (i < 2).then_some(rope), set })
        };
        [0, 1, 2].map(chain)
    }

    /// The products, with results from `y` on one after the other, if they have a place.
    fn projections(&self, data: &Data, y: *mut f32) -> Projections {
        let norm = NormForward {
            weight: data.factors.as_ptr(),
            eps: 1e-5,
            width: WIDTH,
            rows: self.tokens,
            x: data.x.as_ptr(),
            x_stride: WIDTH,
            y: std::ptr::null_mut(),
            y_stride: 0,
        };
        let stride = self.kind.bytes_of(WIDTH);
        let product = |first: usize, heads: usize| {
            let rows = heads * HEAD;
            let at = data.weight.as_ptr().wrapping_add(first * HEAD * stride);
            let weight = Weight { weight_type: self.kind, data: at, stride, rows, width: WIDTH };
            let y = if y.is_null() { y } else { y.wrapping_add(first * HEAD * self.tokens) };
            let (x, y) = (Vectors::to_read(std::ptr::null(), WIDTH), Vectors::new(y, rows));
            let tokens = self.tokens;
            let product = Product { weight, x, tokens, y, to_bytes: true, is_packed: false };
            Some(FusedProduct::new(product, Then::Nothing))
        };
        let products = if self.is_one {
            [product(0, 7), None, None]
        } else {
            [product(0, 3), product(3, 2), product(5, 2)]
        };
        Projections { norm, products }
    }

    /// Where each third begins in the products' results, and the floats from one token to the next.
    fn places(&self, y: *mut f32) -> ([*mut f32; 3], [usize; 3]) {
        let first = [0, 3, 5].map(|head| head * HEAD);
        if self.is_one {
            (first.map(|first| y.wrapping_add(first)), [7 * HEAD; 3])
        } else {
            (first.map(|first| y.wrapping_add(first * self.tokens)), HEADS.map(|n| n * HEAD))
        }
    }

    fn run(&self, level: Level, threads: usize) -> Data {
        let mut data = self.data();
        // A model's graph has places for the chains' beginnings, which are not written.
        let (x, token) = self.places(std::ptr::null_mut());
        let chains = self.chains(&mut data, x, token);
        let projections = self.projections(&data, std::ptr::null_mut());
        let starts = if self.is_one {
            [(0, 0), (0, 3 * HEAD), (0, 5 * HEAD)]
        } else {
            [(0, 0), (1, 0), (2, 0)]
        };
        let (heads, starts) = (Heads { tokens: self.tokens, chains }, starts.map(Some));
        let inputs = Together(AttentionInputs { projections, heads, starts });
        let need = inputs.get().need(level).expect("a kernel");
        // SAFETY: the vectors and weights are as it says.
        run_crew(threads, need, |crew, s| unsafe { inputs.get().run(level, crew, s) });
        data
    }

    fn expected(&self, level: Level) -> Data {
        let mut data = self.data();
        let mut results = vec![f32::NAN; self.tokens * HEADS.iter().sum::<usize>() * HEAD];
        let y = results.as_mut_ptr();
        let (x, token) = self.places(y);
        let chains = self.chains(&mut data, x, token);
        let projections = Together(self.projections(&data, y));
        let heads = Together(Heads { tokens: self.tokens, chains });
        let needs = [projections.get().need(level), heads.get().need(level)];
        let [of_products, of_heads] = needs.map(|need| need.expect("a kernel"));
        // SAFETY: as in `run`.
        run_crew(1, of_products, |crew, s| unsafe { projections.get().run(level, crew, s) });
        // SAFETY: as above; the products are there.
        run_crew(1, of_heads, |crew, s| unsafe { heads.get().run(level, crew, s) });
        data
    }
}

#[test]
fn products_may_lie_anywhere() {
    for level in levels() {
        for kind in [WeightType::Q8_0, WeightType::F16] {
            for (are_normed, is_one) in [(false, false), (true, false), (false, true)] {
                for (tokens, threads) in [(1, 1), (1, 2), (3, 3), (8, 2), (40, 2), (41, 3)] {
                    let case = Case { kind, tokens, are_normed, is_one };
                    let (found, expected) = (case.run(level, threads), case.expected(level));
                    let what = format!("{case:?}, {level:?}, {threads} threads");
                    assert!(found.queries.iter().all(|x| x.is_finite()), "{what}");
                    assert_eq!(found.queries, expected.queries, "{what}");
                    assert!(found.cells == expected.cells, "{what}");
                    assert!(found.cells.iter().all(|c| c.iter().any(|x| *x != 0)), "{what}");
                }
            }
        }
    }
}
