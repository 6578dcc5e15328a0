//! The sampler chain as a whole: determinism, saved state, odd input, and llama.cpp's samplers as the reference.

#![allow(unsafe_code, reason = "drives the engine's C samplers as an oracle")]

mod support;

use std::ffi::CString;
use std::ptr::{null, null_mut};

use llama_cpp_sys_2 as llama;
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

/// Runs one of llama.cpp's samplers after accepting `history`, and returns what it leaves as (id, p), by id.
fn reference(s: *mut llama::llama_sampler, row: &[f32], history: &[i32]) -> Vec<(i32, f64)> {
    let mut data: Vec<llama::llama_token_data> =
        (0..).zip(row).map(|(id, &logit)| llama::llama_token_data { id, logit, p: 0.0 }).collect();
    let mut array = llama::llama_token_data_array {
        data: data.as_mut_ptr(),
        size: data.len(),
        selected: -1,
        sorted: false,
    };
    // SAFETY: `s` is a sampler that its init function just made; `array` describes `data`, which outlives the calls.
    let kept = unsafe {
        for &token in history {
            llama::llama_sampler_accept(s, token);
        }
        llama::llama_sampler_apply(s, &raw mut array);
        llama::llama_sampler_free(s);
        std::slice::from_raw_parts(array.data, array.size).to_vec()
    };
    let max = kept.iter().fold(f64::NEG_INFINITY, |max, c| max.max(f64::from(c.logit)));
    let sum: f64 = kept.iter().map(|c| (f64::from(c.logit) - max).exp()).sum();
    let mut kept: Vec<_> =
        kept.iter().map(|c| (c.id, (f64::from(c.logit) - max).exp() / sum)).collect();
    kept.sort_by_key(|&(id, _)| id);
    kept
}

fn assert_same(
    options: &SamplingOptions,
    s: *mut llama::llama_sampler,
    row: &[f32],
    history: &[i32],
) {
    assert_same_with(options, &Size(row.len()), s, row, history);
}

fn assert_same_with(
    options: &SamplingOptions,
    vocabulary: &dyn VocabularyView,
    s: *mut llama::llama_sampler,
    row: &[f32],
    history: &[i32],
) {
    let expected = reference(s, row, history);
    let mut found = Sampler::new(options, vocabulary).unwrap().distribution(row, history).unwrap();
    found.sort_by_key(|&(id, _)| id);
    let ids = |list: &[(i32, f64)]| list.iter().map(|&(id, _)| id).collect::<Vec<_>>();
    let found: Vec<_> = found.into_iter().map(|(id, p)| (id, f64::from(p))).collect();
    assert_eq!(ids(&found), ids(&expected), "{options:?}");
    for (a, b) in found.iter().zip(&expected) {
        assert!((a.1 - b.1).abs() < 1e-5, "{a:?} {b:?} {options:?}");
    }
}

#[test]
fn truncation_keeps_what_llama_cpp_keeps() {
    for seed in 0..40u64 {
        let row = logits(if seed % 2 == 0 { 300 } else { 5000 }, seed + 1);
        let p = (seed as f64 + 0.37) / 41.0;
        let f = p as f32;
        let k = 1 + seed as i32 * 7;
        // SAFETY: the init functions take plain numbers; `reference` frees what they return.
        unsafe {
            let o = SamplingOptions { top_k: k.into(), ..plain() };
            assert_same(&o, llama::llama_sampler_init_top_k(k), &row, &[]);
            let o = SamplingOptions { top_p: p, ..plain() };
            assert_same(&o, llama::llama_sampler_init_top_p(f, 1), &row, &[]);
            let o = SamplingOptions { min_p: p, ..plain() };
            assert_same(&o, llama::llama_sampler_init_min_p(f, 1), &row, &[]);
            let o = SamplingOptions { typical_p: p, ..plain() };
            assert_same(&o, llama::llama_sampler_init_typical(f, 1), &row, &[]);
            let o = SamplingOptions { xtc_probability: 1.0, xtc_threshold: p / 30.0, ..plain() };
            assert_same(&o, llama::llama_sampler_init_xtc(1.0, f / 30.0, 1, 0), &row, &[]);
            let tau = 1.0 + p * 4.0;
            let o = SamplingOptions { mirostat: Mirostat::V2, mirostat_tau: tau, ..plain() };
            assert_same(&o, llama::llama_sampler_init_mirostat_v2(0, tau as f32, 0.1), &row, &[]);
        }
    }
}

#[test]
fn penalties_change_logits_as_llama_cpp_does() {
    for seed in 0..30u64 {
        let row = logits(50, seed + 1);
        let history: Vec<i32> =
            logits(90, seed + 9).iter().map(|x| (x.abs() * 5.0) as i32).collect();
        let options = SamplingOptions {
            repeat_penalty: 1.0 + seed as f64 / 20.0,
            frequency_penalty: 0.25,
            presence_penalty: -0.5,
            penalty_last_n: 3 * seed as i64,
            ..plain()
        };
        // SAFETY: plain numbers; `reference` frees the sampler.
        let s = unsafe {
            llama::llama_sampler_init_penalties(
                50,
                3 * seed as i32,
                options.repeat_penalty as f32,
                0.25,
                -0.5,
            )
        };
        assert_same(&options, s, &row, &history);
    }
}

/// The demo model's vocabulary, through the engine.
struct Loaded {
    model: *mut llama::llama_model,
    vocab: *const llama::llama_vocab,
}

impl Loaded {
    fn new() -> Self {
        let path = CString::new(support::smollm2().to_str().unwrap()).unwrap();
        // SAFETY: `path` is a valid C string of an existing file; the model is freed once, in drop.
        unsafe {
            llama::llama_log_set(Some(quiet), null_mut());
            let mut params = llama::llama_model_default_params();
            params.vocab_only = true;
            let model = llama::llama_model_load_from_file(path.as_ptr(), params);
            assert!(!model.is_null());
            Self { model, vocab: llama::llama_model_get_vocab(model) }
        }
    }
}

impl Drop for Loaded {
    fn drop(&mut self) {
        // SAFETY: `model` came from the loader and is freed only here.
        unsafe { llama::llama_model_free(self.model) }
    }
}

// SAFETY: ignores its arguments, so any are valid.
unsafe extern "C" fn quiet(
    _: llama::ggml_log_level,
    _: *const std::ffi::c_char,
    _: *mut std::ffi::c_void,
) {
}

impl VocabularyView for Loaded {
    fn n_vocab(&self) -> usize {
        // SAFETY: the vocabulary lives as long as the model.
        unsafe { llama::llama_vocab_n_tokens(self.vocab) as usize }
    }

    fn token_bytes(&self, token: i32) -> Vec<u8> {
        let mut bytes = vec![0u8; 256];
        // SAFETY: the buffer has the length that is passed.
        let n = unsafe {
            llama::llama_token_to_piece(self.vocab, token, bytes.as_mut_ptr().cast(), 256, 0, true)
        };
        bytes.truncate(n.try_into().unwrap());
        bytes
    }

    fn encode(&self, text: &str) -> Result<Vec<i32>> {
        let mut tokens = vec![0; text.len() + 8];
        // SAFETY: both buffers have the lengths that are passed.
        let n = unsafe {
            llama::llama_tokenize(
                self.vocab,
                text.as_ptr().cast(),
                text.len() as i32,
                tokens.as_mut_ptr(),
                tokens.len() as i32,
                false,
                false,
            )
        };
        tokens.truncate(n.try_into().unwrap());
        Ok(tokens)
    }
}

#[test]
fn dry_penalises_what_llama_cpp_penalises() {
    let vocabulary = Loaded::new();
    let text = "one two three: one two three, one two\none two three four \"one two three\" and then \
                one two three four. The end of it. The end of";
    let whole = vocabulary.encode(text).unwrap();
    let breakers = ["\n", ":", "\"", "*", "d of it", "four"];
    for (case, n_breakers) in [4usize, 6, 5, 0].into_iter().enumerate() {
        for cut in 1..=whole.len() {
            let last_n = if cut % 5 == 0 { 12 } else { 4096 };
            let options = SamplingOptions {
                dry_multiplier: 0.8,
                dry_allowed_length: 1 + case as i64,
                dry_penalty_last_n: last_n,
                dry_sequence_breakers: breakers[..n_breakers].iter().map(|&b| b.into()).collect(),
                ..plain()
            };
            let history = &whole[..cut];
            if cut % 4 != 0 && cut < whole.len() - 2 {
                continue;
            }
            let c_breakers: Vec<CString> =
                breakers[..n_breakers].iter().map(|&b| CString::new(b).unwrap()).collect();
            let mut pointers: Vec<_> = c_breakers.iter().map(|b| b.as_ptr()).collect();
            pointers.push(null());
            // SAFETY: the vocabulary and the strings outlive the call, which copies them.
            let s = unsafe {
                llama::llama_sampler_init_dry(
                    vocabulary.vocab,
                    0.8,
                    1.75,
                    1 + case as i32,
                    last_n as i32,
                    pointers.as_mut_ptr(),
                    n_breakers,
                )
            };
            let row = vec![0.0; vocabulary.n_vocab()];
            assert_same_with(&options, &vocabulary, s, &row, history);
        }
    }
}
