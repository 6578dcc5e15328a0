//! The tokens that are still in play, and the passes over the logits that find them.
//!
//! A vocabulary has 50,000 to 260,000 entries and a sampler keeps a few dozen, so nothing here sorts the vocabulary.
//! One vectorised pass takes the maximum of every group of 128 tokens; after that, a search for large logits only
//! reads the groups whose maximum is large enough.

use std::cmp::Ordering;

use crate::error::{Result, bail};

/// Tokens per group.
const GROUP: usize = 128;
/// Independent running maxima inside a group: enough for any vector unit.
const LANES: usize = 16;

/// A token that may still be drawn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Candidate {
    /// The token's id.
    pub id: i32,
    /// Its logit, after bias and penalties, before temperature.
    pub logit: f32,
    /// Its probability up to a common factor.
    pub weight: f32,
}

/// Higher logits first, lower ids first among equals. A total order, because no logit is NaN.
pub(super) fn by_rank(a: &Candidate, b: &Candidate) -> Ordering {
    b.logit.partial_cmp(&a.logit).unwrap_or(Ordering::Equal).then(a.id.cmp(&b.id))
}

/// The largest logit of every group of tokens of one row of logits.
#[derive(Debug, Clone, Default)]
pub(super) struct Groups {
    maxima: Vec<f32>,
    order: Vec<f32>,
    max: f32,
}

impl Groups {
    /// Reads the whole row once.
    ///
    /// # Errors
    /// `Engine` if a logit is NaN or +inf, or if no logit is above -inf.
    pub fn scan(&mut self, logits: &[f32]) -> Result<()> {
        self.maxima.clear();
        self.max = f32::NEG_INFINITY;
        let mut has_nan = false;
        for group in logits.chunks(GROUP) {
            let (max, nan) = group_maximum(group);
            self.maxima.push(max);
            self.max = self.max.max(max);
            has_nan |= nan;
        }
        if has_nan || self.max == f32::INFINITY {
            let bad = logits.iter().position(|x| x.is_nan() || *x == f32::INFINITY).unwrap_or(0);
            bail!(
                Engine,
                "sampling: the logit of token {bad} is NaN or +inf; the model's computation overflowed: \
                 check the model file, or load it on another device or with another kv_type"
            );
        }
        if self.max == f32::NEG_INFINITY {
            bail!(
                Engine,
                "sampling: every token's logit is -inf, nothing can be sampled; \
                 remove some -inf entries from logit_bias, or check the model file"
            );
        }
        Ok(())
    }

    /// The largest logit of the row last scanned.
    pub fn max(&self) -> f32 {
        self.max
    }

    /// The id of the largest logit, the lowest one among equals.
    pub fn argmax(&self, logits: &[f32]) -> i32 {
        let groups = logits.chunks(GROUP).zip(&self.maxima).enumerate();
        for (g, (group, &max)) in groups {
            if max == self.max
                && let Some(i) = group.iter().position(|&x| x == max)
            {
                return id_of(g, i);
            }
        }
        0
    }

    /// Collects the `k` candidates of highest rank, ranked. Logits of -inf are never candidates.
    pub fn collect_top(&mut self, logits: &[f32], k: usize, out: &mut Vec<Candidate>) {
        let floor = self.reached_by(k);
        self.collect_from(logits, floor, out);
        if k < out.len() {
            out.select_nth_unstable_by(k, by_rank);
            out.truncate(k);
        }
        out.sort_unstable_by(by_rank);
    }

    /// Collects every candidate whose logit is at least `floor`, by ascending id.
    pub fn collect_from(&self, logits: &[f32], floor: f32, out: &mut Vec<Candidate>) {
        // MIN and not -inf: a token whose logit is -inf is forbidden.
        let floor = floor.max(f32::MIN);
        out.clear();
        for (g, (group, &max)) in logits.chunks(GROUP).zip(&self.maxima).enumerate() {
            if max < floor {
                continue;
            }
            for (i, &logit) in group.iter().enumerate() {
                if logit >= floor {
                    out.push(Candidate { id: id_of(g, i), logit, weight: 0.0 });
                }
            }
        }
    }

    /// A value that at least `k` logits reach, as large as the group maxima can prove: the k-th largest of them.
    fn reached_by(&mut self, k: usize) -> f32 {
        if k == 0 || k > self.maxima.len() {
            return f32::NEG_INFINITY;
        }
        self.order.clear();
        self.order.extend_from_slice(&self.maxima);
        let (_, kth, _) = self.order.select_nth_unstable_by(k - 1, |a, b| b.total_cmp(a));
        *kth
    }
}

/// Token ids are i32 in the engine, so a vocabulary is always shorter than 2^31.
fn id_of(group: usize, index: usize) -> i32 {
    (group * GROUP + index) as i32
}

/// The largest value of a group that is not NaN, and whether one is NaN.
#[inline]
fn group_maximum(group: &[f32]) -> (f32, bool) {
    let mut maxima = [f32::NEG_INFINITY; LANES];
    let mut nans = [0u32; LANES];
    let steps = group.chunks_exact(LANES);
    let mut max = f32::NEG_INFINITY;
    let mut nan = false;
    for &x in steps.remainder() {
        max = if x > max { x } else { max };
        nan |= x.is_nan();
    }
    for step in steps {
        for ((lane, flag), &x) in maxima.iter_mut().zip(&mut nans).zip(step) {
            *lane = if x > *lane { x } else { *lane };
            *flag |= u32::from(x.is_nan());
        }
    }
    for (&lane, &flag) in maxima.iter().zip(&nans) {
        max = if lane > max { lane } else { max };
        nan |= flag != 0;
    }
    (max, nan)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ranked(logits: &[f32]) -> Vec<i32> {
        let mut ids: Vec<i32> = (0..logits.len() as i32).collect();
        ids.retain(|&i| logits[i as usize] > f32::NEG_INFINITY);
        ids.sort_by(|&a, &b| logits[b as usize].total_cmp(&logits[a as usize]).then(a.cmp(&b)));
        ids
    }

    proptest! {
        // A coarse grid, so that ties are common.
        #[test]
        fn selections_equal_a_full_sort(
            grid in prop::collection::vec(-40i32..40, 1..900), k in 1usize..300, cut in -41i32..41,
        ) {
            let logits: Vec<f32> =
                grid.iter().map(|&x| if x == -40 { f32::NEG_INFINITY } else { x as f32 / 4.0 }).collect();
            let expected = ranked(&logits);
            let mut groups = Groups::default();
            let mut out = Vec::new();
            prop_assume!(!expected.is_empty());
            groups.scan(&logits).unwrap();
            prop_assert_eq!(groups.argmax(&logits), expected[0]);
            groups.collect_top(&logits, k, &mut out);
            let ids: Vec<i32> = out.iter().map(|c| c.id).collect();
            prop_assert_eq!(&ids[..], &expected[..k.min(expected.len())]);
            groups.collect_from(&logits, cut as f32 / 4.0, &mut out);
            let ids: Vec<i32> = out.iter().map(|c| c.id).collect();
            let mut above: Vec<i32> = expected.clone();
            above.retain(|&i| logits[i as usize] >= cut as f32 / 4.0);
            above.sort();
            prop_assert_eq!(ids, above);
        }
    }

    #[test]
    fn a_bad_logit_is_found_wherever_it_is() {
        let mut groups = Groups::default();
        for n in [1usize, 5, 16, 128, 129, 400] {
            for at in 0..n {
                for bad in [f32::NAN, f32::INFINITY, -f32::NAN] {
                    let mut logits = vec![0.5; n];
                    logits[at] = bad;
                    let error = groups.scan(&logits).unwrap_err();
                    assert_eq!(error.code(), crate::error::Code::Engine);
                    assert!(error.message().contains(&format!("token {at} ")), "{error}");
                }
            }
            let error = groups.scan(&vec![f32::NEG_INFINITY; n]).unwrap_err();
            assert!(error.message().contains("every token"), "{error}");
        }
    }
}
