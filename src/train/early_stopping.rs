//! Stopping when the validation loss gets no better.

use crate::options::TrainerOptions;

/// What a validation loss means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The best so far: keep these parameters.
    Improved,
    /// Not better, but the patience is not at its end.
    Worse,
    /// Not better for as many validations as the patience allows.
    Stop,
}

/// Watches the validation loss.
///
/// ```
/// use nestling::train::{EarlyStopping, Verdict};
///
/// let mut watch = EarlyStopping::new(2, 0.0);
/// let verdicts = [1.0, 0.8, 0.9, 0.8].map(|loss| watch.observe(loss));
/// assert_eq!(verdicts, [Verdict::Improved, Verdict::Improved, Verdict::Worse, Verdict::Stop]);
/// assert_eq!(watch.best(), Some(0.8));
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct EarlyStopping {
    patience: u64,
    min_delta: f64,
    best: Option<f64>,
    without_improvement: u64,
}

impl From<&TrainerOptions> for EarlyStopping {
    fn from(o: &TrainerOptions) -> Self {
        Self::new(o.early_stopping_patience.unsigned_abs(), o.min_delta)
    }
}

impl EarlyStopping {
    /// `patience` is how many validations in a row may bring nothing better, 0 = never stop; better is lower
    /// by more than `min_delta`.
    pub fn new(patience: u64, min_delta: f64) -> Self {
        Self { patience, min_delta, best: None, without_improvement: 0 }
    }

    /// Takes the next validation loss. One that is not a finite number is never better.
    pub fn observe(&mut self, loss: f64) -> Verdict {
        let limit = self.best.map_or(f64::INFINITY, |best| best - self.min_delta);
        if loss.is_finite() && loss < limit {
            (self.best, self.without_improvement) = (Some(loss), 0);
            return Verdict::Improved;
        }
        self.without_improvement = self.without_improvement.saturating_add(1);
        let stop = self.patience > 0 && self.without_improvement >= self.patience;
        if stop { Verdict::Stop } else { Verdict::Worse }
    }

    /// The best validation loss so far.
    pub fn best(&self) -> Option<f64> {
        self.best
    }

    /// How many validations since the best one.
    pub fn without_improvement(&self) -> u64 {
        self.without_improvement
    }

    /// Continues from what [`best`](Self::best) and [`without_improvement`](Self::without_improvement) gave.
    #[must_use]
    pub fn resumed(self, best: Option<f64>, without_improvement: u64) -> Self {
        Self { best, without_improvement, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_gains_do_not_count_and_patience_starts_anew() {
        let mut watch = EarlyStopping::new(2, 0.1);
        let verdicts = [1.0, 0.95, 0.85, 0.85, 0.7, 0.65, 0.61].map(|loss| watch.observe(loss));
        use Verdict::{Improved, Stop, Worse};
        assert_eq!(verdicts, [Improved, Worse, Improved, Worse, Improved, Worse, Stop]);
        assert_eq!(watch.best(), Some(0.7));
    }

    #[test]
    fn a_resumed_watch_goes_on() {
        let mut watch = EarlyStopping::new(2, 0.0);
        watch.observe(1.0);
        watch.observe(2.0);
        let again = EarlyStopping::new(2, 0.0);
        let mut again = again.resumed(watch.best(), watch.without_improvement());
        assert_eq!(watch, again);
        assert_eq!(again.observe(2.0), Verdict::Stop);
    }

    #[test]
    fn nan_is_never_better_and_patience_zero_never_stops() {
        let mut watch = EarlyStopping::new(0, 0.0);
        assert_eq!(watch.observe(f64::NAN), Verdict::Worse);
        assert_eq!(watch.best(), None);
        assert_eq!(watch.observe(f64::INFINITY), Verdict::Worse);
        assert_eq!(watch.observe(3.0), Verdict::Improved);
        assert!((0..1000).all(|_| watch.observe(3.0) == Verdict::Worse));
    }
}
