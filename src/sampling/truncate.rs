//! Samplers that drop improbable candidates: typical, top-p, min-p. (Top-k is `Groups::collect_top`.)
//!
//! All work on unnormalised weights w = exp(logit - max) and their sum W over the candidates still in play, so that
//! p = w / W is always the probability among those. Candidates keep their order.

use super::candidates::Candidate;
use super::math::exp;

/// Sets every weight to exp((logit - max) * scale) and returns their sum.
pub(super) fn weigh(candidates: &mut [Candidate], max: f32, scale: f32) -> f64 {
    let mut total = 0.0;
    for candidate in candidates {
        candidate.weight = exp((candidate.logit - max) * scale);
        total += f64::from(candidate.weight);
    }
    total
}

/// The sum of the weights.
pub(super) fn mass(candidates: &[Candidate]) -> f64 {
    candidates.iter().map(|c| f64::from(c.weight)).sum()
}

/// The largest logit among the candidates.
pub(super) fn max_logit(candidates: &[Candidate]) -> f32 {
    candidates.iter().fold(f32::NEG_INFINITY, |max, c| max.max(c.logit))
}

/// Top-p (nucleus) sampling: the fewest candidates of highest rank whose probabilities sum to at least `p`
/// (Holtzman et al., "The Curious Case of Neural Text Degeneration", 2020).
///
/// `candidates` must be ranked, or hold all that `total` sums up; `total` may count tokens that are not listed,
/// provided that the listed ones are those of highest rank.
pub(super) fn top_p(candidates: &mut Vec<Candidate>, total: f64, p: f64, scratch: &mut Vec<Keyed>) {
    let key = |c: &Candidate| -c.logit;
    keep_mass(candidates, key, |sum| sum >= p * total, scratch);
}

/// Locally typical sampling: the candidates whose surprise -ln p is nearest to the entropy H, taken in that order
/// until their probabilities sum to more than `p` (Meister et al., "Locally Typical Sampling", 2023).
///
/// With d = logit - max and m = sum(w d) / W, -ln p = ln W - d and H = ln W - m: the distance |-ln p - H| is |d - m|.
pub(super) fn typical(candidates: &mut Vec<Candidate>, max: f32, p: f64, scratch: &mut Vec<Keyed>) {
    let total = mass(candidates);
    let distance = |c: &Candidate| f64::from(c.logit) - f64::from(max);
    let weighted: f64 = candidates.iter().map(|c| f64::from(c.weight) * distance(c)).sum();
    let mean = weighted / total;
    let key = |c: &Candidate| (distance(c) - mean).abs() as f32;
    keep_mass(candidates, key, |sum| sum > p * total, scratch);
}

/// The logit that a candidate must reach under min-p: its probability is at least `p` times the largest one's
/// (Nguyen et al., "Turning Up the Heat: Min-p Sampling", 2024). A logarithm turns that into logit >= max + ln p.
pub(super) fn min_p_floor(max: f32, p: f32) -> f32 {
    (max + p.ln()).min(max)
}

/// Min-p sampling: drops what is below [`min_p_floor`].
pub(super) fn min_p(candidates: &mut Vec<Candidate>, p: f32) {
    let floor = min_p_floor(max_logit(candidates), p);
    candidates.retain(|c| c.logit >= floor);
}

/// A candidate with the key that decides the order in which candidates are taken.
#[derive(Debug, Clone, Copy)]
pub(super) struct Keyed {
    key: f32,
    id: i32,
    weight: f32,
}

/// Keeps candidates in ascending order of (key, id) until `enough(sum of their weights)`.
///
/// Finds the last one to keep by halving: the lower half's mass says which half it is in. That is linear in time,
/// where sorting is not; the candidates themselves are only filtered.
fn keep_mass(
    candidates: &mut Vec<Candidate>,
    key: impl Fn(&Candidate) -> f32,
    enough: impl Fn(f64) -> bool,
    scratch: &mut Vec<Keyed>,
) {
    const SMALL: usize = 64;
    let order = |a: &Keyed, b: &Keyed| a.key.total_cmp(&b.key).then(a.id.cmp(&b.id));
    scratch.clear();
    scratch.extend(candidates.iter().map(|c| Keyed { key: key(c), id: c.id, weight: c.weight }));

    let mut rest = scratch.as_mut_slice();
    let mut sum = 0.0;
    while rest.len() > SMALL {
        let half = rest.len() / 2;
        rest.select_nth_unstable_by(half, order);
        let (low, high) = std::mem::take(&mut rest).split_at_mut(half);
        let low_mass: f64 = low.iter().map(|k| f64::from(k.weight)).sum();
        if enough(sum + low_mass) {
            rest = low;
        } else {
            sum += low_mass;
            rest = high;
        }
    }
    rest.sort_unstable_by(order);
    for last in rest.iter() {
        sum += f64::from(last.weight);
        if enough(sum) {
            let last = *last;
            candidates.retain(|c| {
                let this = Keyed { key: key(c), id: c.id, weight: 0.0 };
                order(&this, &last).is_le()
            });
            return;
        }
    }
}
