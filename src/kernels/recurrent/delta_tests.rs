//! Gated delta rules against their formula in f64.

use super::{DeltaRule, Steps};
use crate::kernels::Level;
use crate::kernels::oracle::{random_floats, relative_error};
use crate::kernels::testing::{Together, levels, run_crew};

#[derive(Clone, Copy, Debug)]
struct Case {
    size: usize,
    heads: usize,
    q_heads: usize,
    k_heads: usize,
    tokens: usize,
    sequences: usize,
    gates_elements: bool,
    threads: usize,
}

const CASE: Case = Case {
    size: 32,
    heads: 4,
    q_heads: 4,
    k_heads: 4,
    tokens: 20,
    sequences: 1,
    gates_elements: false,
    threads: 2,
};

/// A value for each element, head, token and sequence. Between tokens lie NaNs.
struct Data {
    values: Vec<f32>,
    width: usize,
    heads: usize,
    tokens: usize,
}

impl Data {
    fn new(case: &Case, width: usize, heads: usize, seed: u64, map: fn(f32) -> f32) -> Self {
        let Case { tokens, sequences, .. } = *case;
        let mut values = random_floats(sequences * tokens * (heads * width + 3), seed);
        values.iter_mut().for_each(|x| *x = map(*x));
        for token in values.chunks_mut(heads * width + 3) {
            token[heads * width..].fill(f32::NAN);
        }
        Self { values, width, heads, tokens }
    }

    fn token(&self) -> usize {
        self.heads * self.width + 3
    }

    fn steps(&self) -> Steps {
        let at = self.values.as_ptr();
        Steps { at, head: self.width, token: self.token(), sequence: self.tokens * self.token() }
    }

    fn of(&self, head: usize, token: usize, sequence: usize) -> Vec<f64> {
        let at = (sequence * self.tokens + token) * self.token() + head % self.heads * self.width;
        self.values[at..][..self.width].iter().map(|x| f64::from(*x)).collect()
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// The results, then the states afterwards.
fn definition(case: &Case, data: &[Data; 5], state: &[f32]) -> Vec<f64> {
    let Case { size, heads, tokens, sequences, .. } = *case;
    let [q, k, v, gate, beta] = data;
    let mut y = vec![0.0; sequences * tokens * heads * size];
    let mut states: Vec<f64> = state.iter().map(|x| f64::from(*x)).collect();
    for (i, state) in states.chunks_mut(size * size).enumerate() {
        let (sequence, head) = (i / heads, i % heads);
        for token in 0..tokens {
            let [q, k, v, gate, beta] = [q, k, v, gate, beta].map(|x| x.of(head, token, sequence));
            for (j, column) in state.chunks_mut(size).enumerate() {
                for (x, gate) in column.iter_mut().zip(gate.iter().cycle()) {
                    *x *= gate.exp();
                }
                let delta = beta[0] * (v[j] - dot(column, &k));
                column.iter_mut().zip(&k).for_each(|(x, k)| *x += k * delta);
                y[((sequence * tokens + token) * heads + head) * size + j] =
                    dot(column, &q) / (size as f64).sqrt();
            }
        }
    }
    [y, states].concat()
}

fn run(case: Case, level: Level, threads: usize) -> (Vec<f32>, Vec<f64>) {
    let Case { size, heads, q_heads, k_heads, tokens, sequences, gates_elements, .. } = case;
    // Keys of about length one, as a model's are.
    let small = |x: f32| 0.2 * x;
    let gates = if gates_elements { size } else { 1 };
    let data = [
        Data::new(&case, size, q_heads, 1, |x| x),
        Data::new(&case, size, k_heads, 2, small),
        Data::new(&case, size, heads, 3, |x| x),
        Data::new(&case, gates, heads, 4, |x| -x.abs()),
        Data::new(&case, 1, heads, 5, f32::abs),
    ];
    let [q, k, v, gate, beta] = data.each_ref().map(Data::steps);
    let state = random_floats(sequences * heads * size * size, 6);
    let results = sequences * tokens * heads * size;
    let mut out = vec![f32::NAN; results + state.len()];
    let rule = Together(DeltaRule {
        size,
        heads,
        tokens,
        sequences,
        q,
        q_heads,
        k,
        k_heads,
        v,
        gate,
        gates_elements,
        beta,
        state: state.as_ptr(),
        y: out.as_mut_ptr(),
        state_after: out[results..].as_mut_ptr(),
    });
    let need = rule.get().need(level).expect("a kernel");
    // SAFETY: the data is as the shape says, and the level one of the processor's.
    run_crew(threads, need, |crew, s| unsafe { rule.get().run(level, crew, s) });
    (out, definition(&case, &data, &state))
}

#[test]
fn results_and_states_are_those_of_the_formula() {
    let cases = [
        CASE,
        Case { gates_elements: true, ..CASE },
        Case { tokens: 1, ..CASE },
        Case { tokens: 16, size: 16, heads: 1, q_heads: 1, k_heads: 1, threads: 3, ..CASE },
        Case { tokens: 33, size: 128, heads: 3, q_heads: 3, k_heads: 1, threads: 4, ..CASE },
        Case { tokens: 7, sequences: 3, heads: 6, q_heads: 2, k_heads: 3, ..CASE },
        Case { tokens: 2, size: 64, heads: 2, q_heads: 1, k_heads: 2, threads: 8, ..CASE },
        Case { tokens: 300, size: 48, gates_elements: true, ..CASE },
    ];
    for level in levels() {
        for case in cases {
            let (one, expected) = run(case, level, 1);
            let error = relative_error(&one, &expected);
            assert!(error < 1e-5, "{error:e} at {level:?} of {case:?}");
            let (more, _) = run(case, level, case.threads);
            let same = one.iter().zip(&more).all(|(a, b)| a.to_bits() == b.to_bits());
            assert!(same, "threads differ at {level:?} of {case:?}");
        }
    }
}
