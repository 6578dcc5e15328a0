//! Every sampler against its definition, written out naively in f64 over a full sort.

use proptest::prelude::*;

use super::candidates::Candidate;
use super::testing::Words;
use super::truncate::{mass, min_p, top_p, typical, weigh};
use super::xtc::Xtc;
use super::{Sampler, VocabularyView};
use crate::options::{Mirostat, SamplingOptions};
use crate::rng::Rng;

/// Sums of probabilities this close to a threshold may fall on either side of it.
const EDGE: f64 = 1e-5;

struct Size(usize);

impl VocabularyView for Size {
    fn n_vocab(&self) -> usize {
        self.0
    }

    fn token_bytes(&self, token: i32) -> Vec<u8> {
        Words(&["a", "b"]).token_bytes(token)
    }

    fn encode(&self, text: &str) -> crate::Result<Vec<i32>> {
        Words(&["a", "b"]).encode(text)
    }
}

/// Everything off, temperature 1.
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

fn distribution(options: &SamplingOptions, logits: &[f32], history: &[i32]) -> Vec<(i32, f32)> {
    let mut sampler = Sampler::new(options, &Size(logits.len())).unwrap();
    let mut found = sampler.distribution(logits, history).unwrap();
    found.sort_by_key(|&(id, _)| id);
    found
}

fn softmax(logits: &[f64]) -> Vec<f64> {
    let max = logits.iter().fold(f64::NEG_INFINITY, |a, &b| a.max(b));
    let sum: f64 = logits.iter().map(|x| (x - max).exp()).sum();
    logits.iter().map(|x| (x - max).exp() / sum).collect()
}

fn wide(logits: &[f32]) -> Vec<f64> {
    logits.iter().map(|&x| f64::from(x)).collect()
}

/// Indices by `key` ascending, then by id.
fn order_by(n: usize, key: impl Fn(usize) -> f64) -> Vec<usize> {
    let mut ids: Vec<usize> = (0..n).collect();
    ids.sort_by(|&a, &b| key(a).total_cmp(&key(b)).then(a.cmp(&b)));
    ids
}

/// The first of `order` until their sum passes `p`, and whether that count is too close to call.
fn until(order: &[usize], probabilities: &[f64], p: f64) -> (Vec<usize>, bool) {
    let mut sum = 0.0;
    for (i, &id) in order.iter().enumerate() {
        sum += probabilities[id];
        if (sum - p).abs() < EDGE {
            return (Vec::new(), true);
        }
        if sum > p {
            return (order[..=i].to_vec(), false);
        }
    }
    (order.to_vec(), false)
}

/// `found` is the softmax of `logits / temperature` over exactly `kept`.
fn assert_is_softmax_of(
    found: &[(i32, f32)],
    mut kept: Vec<usize>,
    logits: &[f64],
    temperature: f64,
) {
    kept.sort();
    let ids: Vec<usize> = found.iter().map(|&(id, _)| id as usize).collect();
    assert_eq!(ids, kept);
    let chosen: Vec<f64> = kept.iter().map(|&id| logits[id] / temperature).collect();
    for (&(id, p), exact) in found.iter().zip(softmax(&chosen)) {
        assert!((f64::from(p) - exact).abs() < 1e-5, "token {id}: {p} instead of {exact}");
    }
}

fn logits(max_len: usize) -> impl Strategy<Value = Vec<f32>> {
    (0.1f32..12.0, prop::collection::vec(-1.0f32..1.0, 1..max_len))
        .prop_map(|(scale, xs)| xs.into_iter().map(|x| x * scale).collect())
}

proptest! {
    #[test]
    fn temperature_and_top_k(logits in logits(600), k in 1usize..90, temperature in 0.05f64..20.0) {
        let exact = wide(&logits);
        let options = SamplingOptions { temperature, top_k: k as i64, ..plain() };
        let mut kept = order_by(exact.len(), |i| -exact[i]);
        kept.truncate(k);
        assert_is_softmax_of(&distribution(&options, &logits, &[]), kept, &exact, temperature);
    }

    #[test]
    fn top_p_keeps_the_nucleus(logits in logits(900), p in 0.0f64..1.0) {
        let exact = wide(&logits);
        let (kept, unsure) = until(&order_by(exact.len(), |i| -exact[i]), &softmax(&exact), p);
        prop_assume!(!unsure);
        let options = SamplingOptions { top_p: p, ..plain() };
        assert_is_softmax_of(&distribution(&options, &logits, &[]), kept, &exact, 1.0);
    }

    #[test]
    fn min_p_compares_with_the_best(logits in logits(600), p in 0.001f64..1.0, k in 0i64..40) {
        let exact = wide(&logits);
        let probabilities = softmax(&exact);
        let best = probabilities.iter().fold(0.0, |a: f64, &b| a.max(b));
        prop_assume!(probabilities.iter().all(|q| (q - p * best).abs() > 1e-6 * best));
        let mut kept = order_by(exact.len(), |i| -exact[i]);
        kept.truncate(if k == 0 { usize::MAX } else { k as usize });
        kept.retain(|&i| probabilities[i] >= p * best);
        let options = SamplingOptions { min_p: p, top_k: k, ..plain() };
        assert_is_softmax_of(&distribution(&options, &logits, &[]), kept, &exact, 1.0);
    }

    #[test]
    fn typical_keeps_what_is_near_the_entropy(logits in logits(400), p in 0.0f64..1.0) {
        let exact = wide(&logits);
        let probabilities = softmax(&exact);
        let entropy: f64 = probabilities.iter().map(|q| -q * q.ln()).sum();
        let distance = |i: usize| (-probabilities[i].ln() - entropy).abs();
        let order = order_by(exact.len(), distance);
        prop_assume!(order.windows(2).all(|w| distance(w[1]) - distance(w[0]) > 1e-5));
        let (kept, unsure) = until(&order, &probabilities, p);
        prop_assume!(!unsure);
        let options = SamplingOptions { typical_p: p, ..plain() };
        assert_is_softmax_of(&distribution(&options, &logits, &[]), kept, &exact, 1.0);
    }

    #[test]
    fn xtc_leaves_the_least_of_the_top(logits in logits(60), threshold in 0.0f64..0.5) {
        let exact = wide(&logits);
        let probabilities = softmax(&exact);
        prop_assume!(probabilities.iter().all(|q| (q - threshold).abs() > 1e-6));
        let mut kept = order_by(exact.len(), |i| -exact[i]);
        let top = kept.iter().filter(|&&i| probabilities[i] >= threshold).count();
        kept.drain(..top.saturating_sub(1));
        let options = SamplingOptions { xtc_probability: 1.0, xtc_threshold: threshold, ..plain() };
        assert_is_softmax_of(&distribution(&options, &logits, &[]), kept, &exact, 1.0);
    }

    #[test]
    fn mirostat_drops_what_surprises_and_learns(logits in logits(300), tau in 0.1f64..6.0, eta in 0.0f64..1.0) {
        let exact: Vec<f64> = wide(&logits).iter().map(|x| x / 0.7).collect();
        let surprise: Vec<f64> = softmax(&exact).iter().map(|p| -p.log2()).collect();
        prop_assume!(surprise.iter().all(|s| (s - 2.0 * tau).abs() > 1e-5));
        let options = SamplingOptions {
            temperature: 0.7, mirostat: Mirostat::V2, mirostat_tau: tau, mirostat_eta: eta, ..plain()
        };
        let mut kept = order_by(exact.len(), |i| surprise[i]);
        let under = kept.iter().filter(|&&i| surprise[i] <= 2.0 * tau).count();
        kept.truncate(under.max(1));
        let best = exact[kept[0]];
        // Several equal best ones may remain where llama.cpp keeps one of them.
        prop_assume!(under > 0 || exact.iter().filter(|&&x| x == best).count() == 1);
        let found = distribution(&options, &logits, &[]);
        assert_is_softmax_of(&found, kept.clone(), &exact, 1.0);

        let mut sampler = Sampler::new(&options, &Size(logits.len())).unwrap();
        let token = sampler.sample(&logits, &[]).unwrap();
        let drawn = found.iter().find(|&&(id, _)| id == token).unwrap().1;
        let mu = 2.0 * tau - eta * (-f64::from(drawn).log2() - tau);
        let state = serde_json::to_value(sampler.state()).unwrap();
        let saved = f64::from_bits(state["mirostat_mu"].as_u64().unwrap());
        prop_assert!((saved - mu).abs() < 1e-4, "{} {}", saved, mu);
    }

    #[test]
    fn bias_and_penalties(
        logits in logits(12), history in prop::collection::vec(-2i32..14, 0..90), last_n in -1i64..80,
        repeat in 0.5f64..3.0, frequency in -2.0f64..2.0, presence in -2.0f64..2.0, bias in -3.0f32..3.0,
    ) {
        let options = SamplingOptions {
            repeat_penalty: repeat, frequency_penalty: frequency, presence_penalty: presence,
            penalty_last_n: last_n, logit_bias: vec![format!("0={bias}")], ..plain()
        };
        let start = if last_n < 0 { 0 } else { history.len().saturating_sub(last_n as usize) };
        let mut exact = wide(&logits);
        exact[0] += f64::from(bias);
        for (id, x) in exact.iter_mut().enumerate() {
            let count = history[start..].iter().filter(|&&t| t == id as i32).count() as f64;
            if count > 0.0 {
                *x = if *x <= 0.0 { *x * repeat } else { *x / repeat };
                *x -= count * frequency + presence;
            }
        }
        let found = distribution(&options, &logits, &history);
        prop_assert_eq!(found.len(), exact.len());
        // Logits reach 200 here, and f32 keeps 7 digits of them.
        for ((i, &(id, p)), q) in found.iter().enumerate().zip(softmax(&exact)) {
            prop_assert_eq!(id as usize, i);
            prop_assert!((f64::from(p) - q).abs() < 1e-4);
        }
    }

    /// On large sets the cut is found by halving: the same as adding up in order.
    #[test]
    fn truncation_of_ranked_and_unranked_sets_agrees(logits in logits(900), p in 0.0f64..1.0) {
        let unranked: Vec<Candidate> = logits.iter().enumerate()
            .map(|(i, &logit)| Candidate { id: i as i32, logit, weight: 0.0 }).collect();
        let mut ranked = unranked.clone();
        ranked.sort_by(super::candidates::by_rank);
        let max = ranked[0].logit;
        for sampler in 0..3 {
            let run = |mut set: Vec<Candidate>| {
                let total = weigh(&mut set, max, 1.0);
                match sampler {
                    0 => top_p(&mut set, total, p, &mut Vec::new()),
                    1 => typical(&mut set, max, p, &mut Vec::new()),
                    _ => min_p(&mut set, p as f32),
                }
                let mut ids: Vec<i32> = set.iter().map(|c| c.id).collect();
                ids.sort();
                (ids, mass(&set))
            };
            let (a, b) = (run(unranked.clone()), run(ranked.clone()));
            // The two orders of summation may differ by one candidate at the very edge.
            prop_assert!(a.0 == b.0 || (a.1 - b.1).abs() < 1e-9 * a.1 + 1.0 && a.0.len().abs_diff(b.0.len()) <= 1);
        }
    }
}

#[test]
fn xtc_happens_as_often_as_asked() {
    let xtc = Xtc { probability: 0.3, threshold: 0.1 };
    let mut rng = Rng::new(1);
    let set: Vec<Candidate> = (0..3).map(|id| Candidate { id, logit: 0.0, weight: 1.0 }).collect();
    let mut excluded = 0;
    for _ in 0..10_000 {
        let mut candidates = set.clone();
        xtc.apply(&mut candidates, &mut rng);
        excluded += usize::from(candidates.len() == 1);
    }
    assert!((2_850..3_150).contains(&excluded), "{excluded}");
}
