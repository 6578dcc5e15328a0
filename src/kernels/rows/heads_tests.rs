//! Norms, rotation and rows of a cache, together against one after the other.

use half::{bf16, f16};

use super::testing::Rows;
use super::{Chain, Heads, NormForward, Rope, SetRows};
use crate::kernels::testing::{Together, levels, run_crew};
use crate::kernels::{Level, WeightType};

/// Rows of a cache.
const CELLS: usize = 50;

/// Queries, keys and values of some tokens.
struct Case {
    width: usize,
    heads: [usize; 3],
    tokens: usize,
    kind: WeightType,
    is_normed: bool,
}

/// What becomes of queries, keys and values, and the cells of keys and values.
struct Results {
    heads: [Rows; 3],
    cells: [Vec<u8>; 2],
}

impl Case {
    fn given(&self) -> Results {
        let heads = self.heads.map(|heads| {
            let shape = [self.width, self.width];
            Rows::random(heads * self.tokens, shape, 2.0, heads as u64)
        });
        let cells = [1, 2].map(|i| vec![0; CELLS * self.heads[i] * self.width * self.kind.bytes()]);
        Results { heads, cells }
    }

    /// The chains, which have their results where they begin.
    fn chains(
        &self,
        all: &mut Results,
        [positions, factors]: [*const f32; 2],
        numbers: &[i64],
    ) -> Heads {
        let [mut q, mut k, mut v] =
            self.heads.map(|heads| Chain { heads, norm: None, rope: None, set: None });
        let at = all.heads.each_mut().map(|rows| rows.data.as_mut_ptr());
        let width = self.width;
        for (chain, at) in [&mut q, &mut k].into_iter().zip(at) {
            let row = width * chain.heads;
            let norm = NormForward {
                weight: factors,
                eps: 1e-5,
                width,
                rows: chain.heads * self.tokens,
                x: at,
                x_stride: width,
                y: at,
                y_stride: width,
            };
            chain.norm = self.is_normed.then_some(norm);
            chain.rope = Some(Rope {
                width,
                heads: chain.heads,
                tokens: self.tokens,
                turned: width / 2,
                neighbours: false,
                positions: positions.cast(),
                base: 1e4,
                scale: 1.0,
                factors: std::ptr::null(),
                magnitude: 1.0,
                x: at,
                x_head: width,
                x_token: row,
                y: at,
                y_head: width,
                y_token: row,
            });
        }
        let [keys, values] = &mut all.cells;
        for (chain, (at, cells)) in
            [&mut k, &mut v].into_iter().zip([(at[1], keys), (at[2], values)])
        {
            let row = width * chain.heads;
            chain.set = Some(SetRows {
                width: row,
                x: at,
                x_stride: row,
                numbers: numbers.as_ptr(),
                kind: self.kind,
                table: cells.as_mut_ptr(),
                table_stride: row * self.kind.bytes(),
                table_rows: CELLS,
            });
        }
        Heads { tokens: self.tokens, chains: [q, k, v].map(Some) }
    }

    fn check(&self, level: Level, threads: usize) {
        let positions: Vec<i32> = (0..self.tokens as i32).map(|i| 3 * i).collect();
        let numbers: Vec<i64> = (0..self.tokens as i64).map(|i| CELLS as i64 - 1 - i).collect();
        let factors: Vec<f32> = (0..self.width).map(|i| 1.0 + i as f32 / 64.0).collect();
        let given = [positions.as_ptr().cast(), factors.as_ptr()];
        let (mut together, mut apart) = (self.given(), self.given());
        let heads = Together(self.chains(&mut together, given, &numbers));
        let need = heads.get().need(level).expect("a kernel");
        // SAFETY: the heads are as many and as long as they say; the level is one of the processor's.
        run_crew(threads, need, |crew, s| unsafe { heads.get().run(level, crew, s) });
        let heads = Together(self.chains(&mut apart, given, &numbers));
        for chain in heads.get().chains.into_iter().flatten().map(Together) {
            // SAFETY: as above.
            run_crew(1, need, |crew, s| unsafe {
                if let Some(norm) = chain.get().norm {
                    norm.run(level, crew, s);
                }
                if let Some(rope) = chain.get().rope {
                    rope.run(level, crew, s);
                }
            });
        }
        for (i, (found, expected)) in together.heads.iter().zip(&apart.heads).enumerate() {
            assert_eq!(found.data, expected.data, "{i}: {level:?}, {threads} threads");
        }
        for (cells, rows) in together.cells.iter().zip(&apart.heads[1..]) {
            let expected = self.cells(&rows.data);
            assert!(*cells == expected, "{level:?}, {threads} threads, {:?}", self.kind);
        }
    }

    /// A cache that the rows of all tokens were put into, the last row first.
    fn cells(&self, rows: &[f32]) -> Vec<u8> {
        let row = rows.len() / self.tokens;
        let mut cells = vec![0; CELLS * row * self.kind.bytes()];
        for (i, x) in rows.iter().enumerate() {
            let at = ((CELLS - 1 - i / row) * row + i % row) * self.kind.bytes();
            let bytes = match self.kind {
                WeightType::F32 => x.to_le_bytes().to_vec(),
                WeightType::F16 => f16::from_f32(*x).to_le_bytes().to_vec(),
                _ => bf16::from_f32(*x).to_le_bytes().to_vec(),
            };
            cells[at..at + bytes.len()].copy_from_slice(&bytes);
        }
        cells
    }
}

#[test]
fn steps_give_what_they_give_one_by_one() {
    let kinds = [WeightType::F32, WeightType::F16, WeightType::Bf16];
    for level in levels() {
        for (kind, is_normed) in kinds.into_iter().flat_map(|kind| [(kind, false), (kind, true)]) {
            for (width, heads) in [(64, [9, 3, 3]), (20, [1, 1, 2]), (256, [4, 1, 1])] {
                for (tokens, threads) in [(1, 1), (1, 2), (2, 3), (5, 2), (9, 2), (40, 3)] {
                    Case { width, heads, tokens, kind, is_normed }.check(level, threads);
                }
            }
        }
    }
}

#[test]
fn only_rows_of_the_cache_are_written() {
    for number in [-1, CELLS as i64, i64::MIN, i64::MAX] {
        let case = Case {
            width: 64,
            heads: [1, 1, 1],
            tokens: 1,
            kind: WeightType::F16,
            is_normed: false,
        };
        let mut all = case.given();
        let (positions, factors) = ([0i32], [1f32; 64]);
        let given = [positions.as_ptr().cast(), factors.as_ptr()];
        let heads = Together(case.chains(&mut all, given, &[number]));
        for level in levels() {
            let need = heads.get().need(level).expect("a kernel");
            let run = || {
                // SAFETY: as in `check`, but for the number, which is not followed.
                run_crew(1, need, |crew, s| unsafe { heads.get().run(level, crew, s) });
            };
            let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run));
            assert!(result.is_err(), "row {number}");
        }
    }
}

#[test]
fn other_types_are_not_offered() {
    let case =
        Case { width: 64, heads: [1, 1, 1], tokens: 1, kind: WeightType::F16, is_normed: false };
    let mut all = case.given();
    let mut heads = case.chains(&mut all, [std::ptr::null(); 2], &[0]);
    assert!(heads.need(Level::Avx2).is_some() && heads.need(Level::None).is_none());
    let set = heads.chains[1].as_mut().and_then(|chain| chain.set.as_mut());
    set.expect("keys are put into the cache").kind = WeightType::Q8_0;
    assert!(heads.need(Level::Avx2).is_none());
}
