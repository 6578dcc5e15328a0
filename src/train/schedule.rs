//! The learning rate of each step: warm-up, then constant, linear or cosine, as transformers'
//! `get_constant_schedule_with_warmup`, `get_linear_...` and `get_cosine_...` (half a cosine) give it.

use crate::options::{LrSchedule, TrainerOptions};

/// How long the learning rate grows from zero.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Warmup {
    /// So many steps.
    Steps(u64),
    /// This share of all steps, rounded up.
    Ratio(f64),
}

/// The learning rate as a function of the step.
///
/// ```
/// use nestling::options::LrSchedule;
/// use nestling::train::{Schedule, Warmup};
///
/// let kind = LrSchedule::Linear;
/// let schedule = Schedule { kind, learning_rate: 1e-3, warmup: Warmup::Steps(2) };
/// let rates: Vec<_> = (0..6).map(|step| schedule.learning_rate(step, 6)).collect();
/// assert_eq!(rates, [0.0, 5e-4, 1e-3, 7.5e-4, 5e-4, 2.5e-4]);
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule {
    /// What follows the warm-up.
    pub kind: LrSchedule,
    /// The rate at the end of the warm-up.
    pub learning_rate: f64,
    /// How long it grows from zero. With a warm-up the first step has the rate zero.
    pub warmup: Warmup,
}

/// The rate for `learning_rate=auto` and models of this width.
const AUTO: f64 = 3e-3;
const AUTO_WIDTH: f64 = 576.0;

/// The rate for `learning_rate=auto`: Adam's best rate falls with the width of the layers. Source: Yang et al., Tensor
/// Programs V: Tuning Large Neural Networks via Zero-Shot Hyperparameter Transfer, 2022.
pub(super) fn auto_learning_rate(n_embd: u32) -> f64 {
    AUTO * (AUTO_WIDTH / f64::from(n_embd.max(1))).min(1.0)
}

impl From<&TrainerOptions> for Schedule {
    fn from(o: &TrainerOptions) -> Self {
        let steps = o.warmup_steps.value().map(|n| Warmup::Steps(n.unsigned_abs()));
        let warmup = steps.unwrap_or(Warmup::Ratio(o.warmup_ratio));
        Self { kind: o.lr_schedule, learning_rate: o.learning_rate.value().unwrap_or(AUTO), warmup }
    }
}

impl Schedule {
    /// The steps of the warm-up, of `total` steps.
    pub fn warmup_steps(&self, total: u64) -> u64 {
        match self.warmup {
            Warmup::Steps(steps) => steps,
            // A float to integer cast saturates.
            Warmup::Ratio(ratio) => (total as f64 * ratio).ceil() as u64,
        }
    }

    /// The rate of a step, counted from 0, of `total`.
    pub fn learning_rate(&self, step: u64, total: u64) -> f64 {
        let warmup = self.warmup_steps(total);
        if step < warmup {
            return self.learning_rate * (step as f64 / warmup as f64);
        }
        let rest = total.saturating_sub(warmup).max(1) as f64;
        let factor = match self.kind {
            LrSchedule::Constant => 1.0,
            LrSchedule::Linear => total.saturating_sub(step) as f64 / rest,
            LrSchedule::Cosine => {
                let progress = ((step - warmup) as f64 / rest).min(1.0);
                0.5 * (1.0 + (std::f64::consts::PI * progress).cos())
            }
        };
        self.learning_rate * factor
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(kind: LrSchedule, warmup: Warmup) -> Schedule {
        Schedule { kind, learning_rate: 1.0, warmup }
    }

    #[test]
    fn odd_counts_stay_in_range() {
        for kind in [LrSchedule::Linear, LrSchedule::Cosine, LrSchedule::Constant] {
            for warmup in [0, 1, 3, 10, u64::MAX].map(Warmup::Steps) {
                for total in [0, 1, 3, 10, u64::MAX] {
                    for step in [0, 1, 2, 9, 10, 11, u64::MAX] {
                        let rate = schedule(kind, warmup).learning_rate(step, total);
                        assert!(
                            (0.0..=1.0).contains(&rate),
                            "{kind:?} {warmup:?} {step}/{total}: {rate}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn a_ratio_is_rounded_up_and_steps_come_first() {
        let ratio = schedule(LrSchedule::Linear, Warmup::Ratio(0.03));
        assert_eq!((ratio.warmup_steps(20), ratio.warmup_steps(100)), (1, 3));
        let both =
            TrainerOptions { warmup_steps: 7.into(), warmup_ratio: 0.5, ..Default::default() };
        assert_eq!(Schedule::from(&both).warmup_steps(100), 7);
        let one = TrainerOptions { warmup_ratio: 0.5, ..Default::default() };
        assert_eq!(Schedule::from(&one).warmup_steps(100), 50);
    }

    #[test]
    fn without_warm_up_the_first_step_has_the_whole_rate_and_none_is_zero() {
        let linear = schedule(LrSchedule::Linear, Warmup::Ratio(0.0));
        assert_eq!(linear.learning_rate(0, 20), 1.0);
        assert!((0..20).all(|step| linear.learning_rate(step, 20) > 0.0));
        assert_eq!(linear.learning_rate(20, 20), 0.0);
    }
}
