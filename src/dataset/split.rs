//! Parts of a dataset: validation and folds. Each class has its share in every part.

use std::collections::BTreeMap;

use super::Dataset;
use crate::error::{Result, bail};
use crate::rng::Rng;

impl Dataset {
    /// Training and validation examples. The validation part has this share of the examples, rounded, but at least one
    /// if the fraction is not 0, and never all. Each class has its share of it, and keeps an example to train on as
    /// far as the numbers allow. The same seed gives the same parts; both keep the dataset's order.
    ///
    /// # Errors
    /// `InvalidArgument` for a fraction that is not in 0..1, or if there is only one example to split.
    pub fn split(&self, validation_fraction: f64, seed: u64) -> Result<(Self, Self)> {
        if !(0.0..1.0).contains(&validation_fraction) {
            bail!(
                InvalidArgument,
                "the validation fraction is {validation_fraction}; give at least 0 and less than 1"
            )
        }
        if validation_fraction == 0.0 {
            return Ok((self.clone(), self.part(Vec::new())));
        }
        let n = self.len();
        if n < 2 {
            bail!(
                InvalidArgument,
                "{n} example cannot be split; add examples, or give a file of its own for validation"
            )
        }
        let wanted = ((n as f64 * validation_fraction).round() as usize).clamp(1, n - 1);
        let groups = self.groups(&mut Rng::keyed(&[seed, SPLIT]));
        let quotas = quotas(&groups.iter().map(Vec::len).collect::<Vec<_>>(), wanted);
        let (mut training, mut validation) = (Vec::new(), Vec::new());
        for (group, quota) in groups.iter().zip(quotas) {
            let (first, rest) = group.split_at(quota.min(group.len()));
            validation.extend_from_slice(first);
            training.extend_from_slice(rest);
        }
        Ok((self.part(training), self.part(validation)))
    }

    /// Training and validation examples of `k` folds: each example is in the validation part of exactly one, and the
    /// sizes of these parts differ by one at most, those of each class in them too.
    ///
    /// # Errors
    /// `InvalidArgument` if `k` is less than 2 or more than there are examples.
    pub fn folds(&self, k: usize, seed: u64) -> Result<Vec<(Self, Self)>> {
        let dealt = self.deal(k, seed)?;
        Ok((0..k).map(|number| self.dealt_part(&dealt, k, number)).collect())
    }

    /// One of the [`folds`](Self::folds), counted from 0.
    ///
    /// # Errors
    /// As [`folds`](Self::folds), and `InvalidArgument` if `number` is not below `k`.
    pub fn fold(&self, k: usize, number: usize, seed: u64) -> Result<(Self, Self)> {
        let dealt = self.deal(k, seed)?;
        if number >= k {
            bail!(InvalidArgument, "there is no fold {number} of {k}; give 0 up to {}", k - 1)
        }
        Ok(self.dealt_part(&dealt, k, number))
    }

    /// The examples in the order in which they are dealt to `k` folds.
    fn deal(&self, k: usize, seed: u64) -> Result<Vec<usize>> {
        if k < 2 || k > self.len() {
            bail!(InvalidArgument, "{k} folds of {} examples; give 2 up to that many", self.len())
        }
        Ok(self.groups(&mut Rng::keyed(&[seed, FOLDS])).concat())
    }

    fn dealt_part(&self, dealt: &[usize], k: usize, number: usize) -> (Self, Self) {
        let (mut training, mut validation) = (Vec::new(), Vec::new());
        for (position, &index) in dealt.iter().enumerate() {
            if position % k == number { &mut validation } else { &mut training }.push(index);
        }
        (self.part(training), self.part(validation))
    }

    /// The indices of each class, shuffled, classes in order; what has no label is a class of its own.
    fn groups(&self, rng: &mut Rng) -> Vec<Vec<usize>> {
        let mut groups: BTreeMap<Option<&str>, Vec<usize>> = BTreeMap::new();
        for (&index, example) in self.chosen.iter().zip(self.examples()) {
            groups.entry(example.label()).or_default().push(index);
        }
        let mut groups: Vec<_> = groups.into_values().collect();
        groups.iter_mut().for_each(|group| rng.shuffle(group));
        groups
    }
}

/// Keep the random numbers of different uses of one seed apart.
const SPLIT: u64 = 1;
const FOLDS: u64 = 2;

/// How many of each group go into a part of `wanted` in all: its share rounded down, and one more for those with the
/// largest remainders, at first only where one stays behind.
fn quotas(sizes: &[usize], wanted: usize) -> Vec<usize> {
    let all: usize = sizes.iter().sum();
    // In 128 bits the product cannot overflow.
    let share = |size: usize| (size as u128 * wanted as u128, all.max(1) as u128);
    let mut quotas: Vec<usize> = sizes
        .iter()
        .map(|&size| share(size))
        .map(|(numerator, denominator)| (numerator / denominator) as usize)
        .collect();
    let mut by_remainder: Vec<usize> = (0..sizes.len()).collect();
    by_remainder.sort_by_key(|&i| {
        let (numerator, denominator) = share(sizes.get(i).copied().unwrap_or(0));
        (std::cmp::Reverse(numerator % denominator), i)
    });
    for kept in [1, 0] {
        for &i in &by_remainder {
            if quotas.iter().sum::<usize>() >= wanted {
                return quotas;
            }
            if let (Some(quota), Some(&size)) = (quotas.get_mut(i), sizes.get(i))
                && *quota + kept < size
            {
                *quota += 1;
            }
        }
    }
    quotas
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn classes_get_their_shares_and_keep_one_where_they_can() {
        assert_eq!(quotas(&[50, 30, 20], 10), [5, 3, 2]);
        assert_eq!(quotas(&[1, 1, 98], 10), [0, 0, 10]);
        assert_eq!(quotas(&[1, 1, 1], 1), [1, 0, 0]);
        assert_eq!(quotas(&[5], 4), [4]);
    }

    proptest! {
        #[test]
        fn quotas_add_up(sizes in prop::collection::vec(1usize..40, 1..20), share in 0.0f64..1.0) {
            let all: usize = sizes.iter().sum();
            let wanted = (all as f64 * share) as usize;
            let quotas = quotas(&sizes, wanted);
            prop_assert_eq!(quotas.iter().sum::<usize>(), wanted);
            prop_assert!(quotas.iter().zip(&sizes).all(|(q, s)| q <= s));
        }
    }
}
