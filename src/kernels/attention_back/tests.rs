use super::*;
use crate::kernels::oracle::{Random, random_floats, relative_error};
use crate::kernels::testing::{Together, levels, run_crew};

const HIDDEN: f32 = f32::NEG_INFINITY;

/// What a mask hides: (query, key) of so many tokens.
type Hides = fn(usize, usize, usize) -> bool;

/// Masks of every kind that the trainer makes, and a few that it does not.
const MASKS: [(&str, Hides); 7] = [
    ("causal", |q, k, _| k > q),
    ("window", |q, k, _| k > q || q - k >= 37),
    ("packed", |q, k, tokens| k > q || part(q, tokens) != part(k, tokens)),
    ("itself", |q, k, _| q != k),
    ("everything", |_, _, _| false),
    ("some rows nothing", |q, k, _| k > q || q % 5 == 2 || (64..160).contains(&q)),
    ("nothing", |_, _, _| true),
];

/// The example, of several in a row, that a token belongs to.
fn part(token: usize, tokens: usize) -> usize {
    (token * 5 + 3) / tokens.max(1)
}

/// An attention with random values.
struct Case {
    shape: AttentionShape,
    q: Vec<f32>,
    k: Vec<f32>,
    v: Vec<f32>,
    dy: Vec<f32>,
    mask: Vec<f32>,
}

/// What a kernel gave.
#[derive(Debug, Clone, PartialEq)]
struct Results {
    out: Vec<f32>,
    lse: Vec<f32>,
    dq: Vec<f32>,
    dk: Vec<f32>,
    dv: Vec<f32>,
}

impl Case {
    fn new(tokens: usize, [heads, groups]: [usize; 2], [k, v]: [usize; 2], hides: Hides) -> Self {
        let scale = 1.5 / (k as f32).sqrt();
        let shape = AttentionShape { tokens, heads, groups, head_k: k, head_v: v, scale };
        let scores = (0..tokens * tokens).map(|i| (i / tokens, i % tokens));
        let mask = scores.map(|(q, k)| if hides(q, k, tokens) { HIDDEN } else { 0.0 }).collect();
        let seed = (tokens * 31 + heads * 7 + k) as u64;
        let random = |n, seed| random_floats(n, seed).iter().map(|x| x * 2.0).collect();
        Self {
            shape,
            q: random(heads * tokens * k, seed),
            k: random(groups * tokens * k, seed + 1),
            v: random(groups * tokens * v, seed + 2),
            dy: random(heads * tokens * v, seed + 3),
            mask,
        }
    }

    /// Both passes, by so many threads.
    fn run(&self, level: Level, threads: usize) -> Results {
        let like = |x: &[f32]| vec![f32::NAN; x.len()];
        let mut results = Results {
            out: like(&self.dy),
            lse: vec![f32::NAN; self.shape.heads * self.shape.tokens],
            dq: like(&self.q),
            dk: like(&self.k),
            dv: like(&self.v),
        };
        let forward = Together(TrainAttention {
            shape: self.shape,
            q: self.q.as_ptr(),
            k: self.k.as_ptr(),
            v: self.v.as_ptr(),
            mask: self.mask.as_ptr(),
            out: results.out.as_mut_ptr(),
            lse: results.lse.as_mut_ptr(),
        });
        run_crew(threads, forward.get().need(level).unwrap(), |crew, scratch| {
            // SAFETY: the vectors have the sizes that the shape says, and outlive the crew.
            unsafe { forward.get().run(level, crew, scratch) }
        });
        let backward = Together(AttentionBack {
            shape: self.shape,
            q: self.q.as_ptr(),
            k: self.k.as_ptr(),
            v: self.v.as_ptr(),
            mask: self.mask.as_ptr(),
            out: results.out.as_ptr(),
            lse: results.lse.as_ptr(),
            dy: self.dy.as_ptr(),
            dq: results.dq.as_mut_ptr(),
            dk: results.dk.as_mut_ptr(),
            dv: results.dv.as_mut_ptr(),
        });
        run_crew(threads, backward.get().need(level).unwrap(), |crew, scratch| {
            // SAFETY: the vectors have the sizes that the shape says, and outlive the crew.
            unsafe { backward.get().run(level, crew, scratch) }
        });
        results
    }

    /// The same in f64, one score at a time.
    fn expected(&self) -> [Vec<f64>; 5] {
        let AttentionShape { tokens, heads, head_k, head_v, scale, .. } = self.shape;
        let wide = |x: &[f32]| x.iter().map(|x| f64::from(*x)).collect::<Vec<_>>();
        let [q, k, v, dy, mask] =
            [&self.q, &self.k, &self.v, &self.dy, &self.mask].map(|x| wide(x));
        let (mut out, mut lse) = (vec![0.0; dy.len()], vec![0.0; heads * tokens]);
        let (mut dq, mut dk, mut dv) = (vec![0.0; q.len()], vec![0.0; k.len()], vec![0.0; v.len()]);
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let add = |to: &mut [f64], x: &[f64], f: f64| {
            to.iter_mut().zip(x).for_each(|(to, x)| *to += x * f);
        };
        for row in 0..heads * tokens {
            let group = row / tokens / self.shape.share();
            let (qs, vs) = (row * head_k..(row + 1) * head_k, row * head_v..(row + 1) * head_v);
            let key = |j: usize| (group * tokens + j) * head_k..(group * tokens + j + 1) * head_k;
            let value = |j: usize| (group * tokens + j) * head_v..(group * tokens + j + 1) * head_v;
            let mask = &mask[row % tokens * tokens..][..tokens];
            let score = |j: usize| f64::from(scale) * dot(&q[qs.clone()], &k[key(j)]) + mask[j];
            let mut p: Vec<f64> = (0..tokens).map(score).collect();
            let most = p.iter().copied().fold(f64::MIN, f64::max);
            let sum: f64 = p.iter().map(|s| (s - most).exp()).sum();
            lse[row] = most + sum.ln();
            for p in &mut p {
                *p = if sum == 0.0 { 0.0 } else { (*p - lse[row]).exp() };
            }
            (0..tokens).for_each(|j| add(&mut out[vs.clone()], &v[value(j)], p[j]));
            let delta = dot(&out[vs.clone()], &dy[vs.clone()]);
            for j in (0..tokens).filter(|j| p[*j] != 0.0) {
                let ds = p[j] * (dot(&dy[vs.clone()], &v[value(j)]) - delta) * f64::from(scale);
                add(&mut dv[value(j)], &dy[vs.clone()], p[j]);
                add(&mut dk[key(j)], &q[qs.clone()], ds);
                add(&mut dq[qs.clone()], &k[key(j)], ds);
            }
        }
        [out, lse, dq, dk, dv]
    }

    /// Compares them at every level, and the results of one thread with those of three.
    fn check(&self, name: &str) {
        let expected = self.expected();
        for level in offered_levels() {
            let got = self.run(level, 1);
            let parts = [&got.out, &got.lse, &got.dq, &got.dk, &got.dv];
            for ((part, expected), what) in
                parts.iter().zip(&expected).zip(["out", "lse", "dq", "dk", "dv"])
            {
                let finite = |x: &f64| if x.is_finite() && *x > -1e30 { *x } else { -1e3 };
                let part: Vec<f32> = part.iter().map(|x| finite(&f64::from(*x)) as f32).collect();
                let expected: Vec<f64> = expected.iter().map(finite).collect();
                // A row that sees one key alone has gradients of zero: rounding has no size there.
                let error = relative_error(&part, &expected).min(rms(&part, &expected));
                assert!(error < 3e-6, "{name} {:?} {}: {what} {error}", self.shape, level.name());
            }
            assert!(got == self.run(level, 3), "{name} {:?}: threads differ", self.shape);
        }
    }
}

/// The levels with kernels for attention that this processor has.
fn offered_levels() -> Vec<Level> {
    levels().into_iter().filter(|level| *level > Level::None).collect()
}

/// The root of the mean of the squared differences.
fn rms(got: &[f32], expected: &[f64]) -> f64 {
    let squares = got.iter().zip(expected).map(|(g, e)| (f64::from(*g) - e).powi(2));
    (squares.sum::<f64>() / got.len() as f64).sqrt()
}

#[test]
fn gradients_are_those_of_f64_under_every_mask() {
    for (name, hides) in MASKS {
        for tokens in [1, 16, 47, 130] {
            Case::new(tokens, [6, 2], [24, 24], hides).check(name);
        }
    }
}

#[test]
fn heads_may_be_of_any_width_and_share_keys_or_not() {
    let heads = [[1, 1], [2, 2], [9, 3], [4, 1], [11, 1]];
    let widths = [[64, 64], [80, 80], [96, 128], [1, 3], [33, 17], [16, 48], [192, 128]];
    for (i, widths) in widths.into_iter().enumerate() {
        let (name, hides) = MASKS[i % 3];
        Case::new(75 + i, heads[i % heads.len()], widths, hides).check(name);
    }
    Case::new(70, [4, 1], [256, 256], MASKS[0].1).check("causal");
}

#[test]
fn rows_may_be_of_any_length() {
    let mut random = Random(5);
    for _ in 0..12 {
        let (tokens, mask) = (1 + random.below(300), random.below(MASKS.len()));
        Case::new(tokens, [3, 1], [8, 8], MASKS[mask].1).check(MASKS[mask].0);
    }
}

#[test]
fn a_mask_may_favour_keys() {
    let mut case = Case::new(100, [2, 1], [32, 32], MASKS[0].1);
    case.mask.iter_mut().enumerate().for_each(|(i, x)| *x += (i % 7) as f32 * 0.5 - 1.0);
    case.check("biased");
}

#[test]
fn large_scores_do_not_overflow() {
    let mut case = Case::new(90, [2, 1], [32, 32], MASKS[0].1);
    case.q.iter_mut().for_each(|x| *x *= 300.0);
    let [out, ..] = case.expected();
    for level in offered_levels() {
        let got = case.run(level, 2);
        let all = [&got.out, &got.lse, &got.dq, &got.dk, &got.dv];
        assert!(all.iter().all(|x| x.iter().all(|x| x.is_finite())));
        assert!(relative_error(&got.out, &out) < 1e-3);
    }
}

#[test]
fn what_is_not_a_number_stays_in_its_row() {
    let mut case = Case::new(60, [1, 1], [16, 16], MASKS[3].1);
    case.q[5 * 16] = f32::NAN;
    for level in offered_levels() {
        let got = case.run(level, 1);
        let spoilt: Vec<usize> = (0..60).filter(|i| got.out[i * 16].is_nan()).collect();
        assert_eq!(spoilt, [5]);
        assert!(got.dq[5 * 16].is_nan() && !got.dq[6 * 16].is_nan());
    }
}

#[test]
fn lower_levels_and_impossible_shapes_are_left_to_the_engine() {
    let mut case = Case::new(4, [4, 2], [8, 8], MASKS[0].1);
    let offered = |case: &Case, level| case.shape.is_offered(level);
    assert!(!offered(&case, Level::None) && offered(&case, Level::Avx2));
    case.shape.groups = 3;
    assert!(!offered(&case, Level::Avx2));
    case.shape.groups = 0;
    assert!(!offered(&case, Level::Avx2));
}
