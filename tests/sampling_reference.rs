//! The samplers against llama.cpp's own, on the same logits: the same tokens survive, with the same probabilities.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]
#![allow(unsafe_code, reason = "drives the engine's C samplers as an oracle")]

mod support;

use std::ffi::CString;
use std::ptr::{null, null_mut};

use llama_cpp_sys_2 as llama;
use nestling::Result;
use nestling::options::{Mirostat, SamplingOptions};
use nestling::sampling::{Sampler, VocabularyView};

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
