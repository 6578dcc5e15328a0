//! The sampler chain as a whole: determinism, saved state, the distribution, odd input.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

use nestling::options::{Mirostat, SamplingOptions};
use nestling::sampling::{Sampler, SamplerState, VocabularyView};
use nestling::{Code, Result};

/// A vocabulary without texts: only its size matters.
struct Size(usize);

impl VocabularyView for Size {
    fn n_vocab(&self) -> usize {
        self.0
    }

    fn token_bytes(&self, _: i32) -> Vec<u8> {
        Vec::new()
    }

    fn encode(&self, _: &str) -> Result<Vec<i32>> {
        Ok(Vec::new())
    }
}

/// Repeatable logits that look like a model's: a few high, most low.
fn logits(n: usize, seed: u64) -> Vec<f32> {
    let mut x = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut unit = || {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        (x >> 40) as f32 / (1u64 << 24) as f32
    };
    (0..n).map(|_| (unit() + unit() + unit() + unit() - 2.0) * 6.0).collect()
}

/// Every sampler off, temperature 1.
fn plain() -> SamplingOptions {
    SamplingOptions {
        temperature: 1.0,
        top_k: 0,
        top_p: 1.0,
        min_p: 0.0,
        seed: 7.into(),
        ..SamplingOptions::default()
    }
}

fn sampler(options: &SamplingOptions, n: usize) -> Sampler {
    Sampler::new(options, &Size(n)).unwrap()
}

fn run(sampler: &mut Sampler, n: usize, from: u64, history: &mut Vec<i32>) {
    for step in from..from + 50 {
        history.push(sampler.sample(&logits(n, step), history).unwrap());
    }
}

/// Settings that use every part of a sampler's state.
fn varied() -> Vec<SamplingOptions> {
    let seeded = SamplingOptions { seed: 3.into(), ..SamplingOptions::default() };
    vec![
        seeded.clone(),
        SamplingOptions { temperature: 1.5, xtc_probability: 0.5, ..seeded.clone() },
        SamplingOptions { mirostat: Mirostat::V2, mirostat_tau: 3.0, ..seeded.clone() },
        SamplingOptions { repeat_penalty: 1.3, dry_multiplier: 0.8, top_k: 0, ..seeded },
    ]
}

#[test]
fn equal_seeds_give_equal_tokens_and_others_do_not() {
    for options in varied() {
        let (mut a, mut b, mut c) = (Vec::new(), Vec::new(), Vec::new());
        run(&mut sampler(&options, 2000), 2000, 0, &mut a);
        run(&mut sampler(&options, 2000), 2000, 0, &mut b);
        run(&mut sampler(&SamplingOptions { seed: 4.into(), ..options }, 2000), 2000, 0, &mut c);
        assert_eq!(a, b);
        assert_ne!(a, c);
    }
}

#[test]
fn a_restored_sampler_continues_as_if_never_stopped() {
    for options in varied() {
        let mut history = Vec::new();
        let mut first = sampler(&options, 500);
        run(&mut first, 500, 0, &mut history);
        let json = serde_json::to_string(&first.state()).unwrap();
        let mut cloned = first.clone();
        let (mut expected, mut forked) = (history.clone(), history.clone());
        run(&mut first, 500, 50, &mut expected);
        run(&mut cloned, 500, 50, &mut forked);
        assert_eq!(expected, forked);

        let mut second = sampler(&SamplingOptions { seed: 99.into(), ..options }, 500);
        second.restore(serde_json::from_str(&json).unwrap()).unwrap();
        run(&mut second, 500, 50, &mut history);
        assert_eq!(history, expected);
        assert_eq!(first.state(), second.state());
    }
}

#[test]
fn an_impossible_state_is_refused_and_changes_nothing() {
    let mut s = sampler(&plain(), 10);
    let before = s.state();
    let nan = f64::NAN.to_bits();
    for bad in [
        r#"{"rng":{"s":[0,0,0,0]},"mirostat_mu":null}"#.to_owned(),
        format!(r#"{{"rng":{{"s":[1,2,3,4]}},"mirostat_mu":{nan}}}"#),
    ] {
        let state: SamplerState = serde_json::from_str(&bad).unwrap();
        assert_eq!(s.restore(state).unwrap_err().code(), Code::StateDamaged);
    }
    assert_eq!(s.state(), before);
}

#[test]
fn draws_follow_the_distribution() {
    let logits: Vec<f32> = (0..10).map(|i| i as f32 * 0.3).collect();
    let mut s = sampler(&plain(), 10);
    let expected = s.distribution(&logits, &[]).unwrap();
    let draws = 20_000;
    let mut counts = [0.0f64; 10];
    for _ in 0..draws {
        counts[s.sample(&logits, &[]).unwrap() as usize] += 1.0;
    }
    let chi_square: f64 = expected
        .iter()
        .map(|&(id, p)| (counts[id as usize] - f64::from(p) * f64::from(draws), f64::from(p)))
        .map(|(difference, p)| difference * difference / (p * f64::from(draws)))
        .sum();
    // The 99.9 % quantile for 9 degrees of freedom; the seed is fixed, so the result is too.
    assert!(chi_square < 27.9, "{chi_square}");
}

#[test]
fn greedy_takes_the_largest_and_the_lowest_id_among_equals() {
    let options = SamplingOptions { temperature: 0.0, ..SamplingOptions::default() };
    let mut row = logits(49_152, 5);
    row[300] = 50.0;
    row[40_000] = 50.0;
    assert_eq!(sampler(&options, row.len()).sample(&row, &[]).unwrap(), 300);
    assert_eq!(sampler(&options, 9).sample(&[0.0; 9], &[]).unwrap(), 0);
    let penalised = SamplingOptions { presence_penalty: 1.0, ..options.clone() };
    assert_eq!(sampler(&penalised, row.len()).sample(&row, &[300]).unwrap(), 40_000);
    let banned = SamplingOptions { logit_bias: vec!["300=-inf".into()], ..options };
    assert_eq!(sampler(&banned, row.len()).sample(&row, &[]).unwrap(), 40_000);
}

#[test]
fn odd_rows_and_settings_give_a_token_or_an_error() {
    let inf = f32::INFINITY;
    let mut settings = varied();
    for temperature in [0.0, 1e-300, 1e-9, 100.0] {
        for top_k in [0, 1, 3, i64::from(i32::MAX)] {
            for p in [0.0, 1e-12, 1.0] {
                let options = SamplingOptions { temperature, top_k, top_p: p, ..plain() };
                settings.push(SamplingOptions { typical_p: p, ..options.clone() });
                settings.push(SamplingOptions { min_p: p, ..options.clone() });
                settings.push(SamplingOptions {
                    xtc_probability: p,
                    xtc_threshold: 0.0,
                    ..options
                });
            }
        }
    }
    let history = [-1, 0, 0, 1, i32::MAX, i32::MIN, 0, 0, 1];
    for options in settings {
        for row in [vec![1.0], vec![0.0; 700], vec![-inf, -3e38, -inf], vec![3e38, -3e38, 3e38]] {
            let token = sampler(&options, row.len()).sample(&row, &history).unwrap();
            assert!(row[token as usize] > -inf, "{options:?} {row:?}");
        }
        for row in [vec![f32::NAN], vec![0.0, inf], vec![-inf; 300], vec![0.0, f32::NAN, -inf]] {
            let mut s = sampler(&options, row.len());
            let before = s.state();
            assert_eq!(s.sample(&row, &history).unwrap_err().code(), Code::Engine);
            assert_eq!(s.state(), before);
        }
        let error = sampler(&options, 2).sample(&[0.0; 3], &history).unwrap_err();
        assert_eq!(error.code(), Code::InvalidArgument);
    }
}

#[test]
fn bad_options_are_refused_with_what_to_give() {
    let new = |options: SamplingOptions| Sampler::new(&options, &Size(10)).unwrap_err();
    for (bias, code) in [
        ("10=1", Code::InvalidToken),
        ("-1=1", Code::InvalidToken),
        ("1=inf", Code::InvalidOption),
        ("1=nan", Code::InvalidOption),
        ("1", Code::InvalidOption),
        ("a=1", Code::InvalidOption),
        ("", Code::InvalidOption),
    ] {
        let error = new(SamplingOptions { logit_bias: vec![bias.into()], ..plain() });
        assert_eq!(error.code(), code, "{bias}");
        assert!(error.message().starts_with("logit_bias: "), "{error}");
    }
    let error = new(SamplingOptions { top_p: 1.5, ..plain() });
    assert_eq!(error.code(), Code::InvalidOption);
    let banned = (0..10).map(|id| format!("{id}=-inf")).collect();
    let banned = SamplingOptions { logit_bias: banned, ..plain() };
    let error = sampler(&banned, 10).sample(&[0.0; 10], &[]).unwrap_err();
    assert!(error.message().contains("logit_bias"), "{error}");
}
