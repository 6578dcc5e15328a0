//! How many threads a session uses where the caller leaves it open.
//!
//! The engine's threads wait for each other by spinning after every operation. On an idle machine all performance cores
//! are best for prompts, and for single tokens as many as memory feeds; when another program takes one of the cores, one
//! thread that is always late makes all others wait, and fewer threads can be several times faster. Nobody can ask the
//! system for that in advance, so it is tried: at the start of a session, when steps become much slower than they were,
//! and now and then after a larger number was given up.
//!
//! Only times go in and numbers come out; the results of a step do not depend on the number.

/// Steps of at most so many tokens are timed; they are all alike, and there are many of them.
const FEW: usize = 8;
/// Steps that each number is tried for; the fastest of them counts.
const SAMPLES: u32 = 2;
/// A smaller number must be so much faster to be taken: it leaves less in reserve.
const GAIN: f64 = 0.95;
/// Steps that take so much longer than usual, several in a row, are a reason to try again.
const SLOW: f64 = 1.7;
const SLOW_STEPS: u32 = 4;
/// Steps before a larger number is tried again: at first, and at most.
const PATIENCE: (u32, u32) = (64, 4096);
/// How fast the usual time follows, as the context grows.
const FOLLOW: f64 = 0.05;

/// Chooses the number of threads by the time that steps take.
#[derive(Debug, Clone)]
pub(super) struct Tuner {
    max: usize,
    /// What steps of few tokens use now.
    now: usize,
    /// Whether all threads together were so slow that a core must be somebody else's.
    disturbed: bool,
    state: State,
    patience: u32,
}

#[derive(Debug, Clone)]
enum State {
    /// The first step reads the weights from disk and starts threads: it says nothing.
    Warm,
    /// Numbers are tried from the largest down, as long as they get better.
    Trial { fastest: f64, samples: u32, best: Option<(usize, f64)>, first: Option<f64> },
    /// The number is chosen.
    Steady { usual: f64, slow: u32, steps: u32 },
}

impl Tuner {
    pub(super) fn new(max: usize) -> Self {
        let max = max.max(1);
        Self { max, now: max, disturbed: false, state: State::Warm, patience: PATIENCE.0 }
    }

    /// The threads for a step of so many tokens.
    pub(super) fn threads(&self, tokens: usize) -> usize {
        if tokens <= FEW || self.disturbed { self.now } else { self.max }
    }

    /// Takes note of how long a step of so many tokens took.
    pub(super) fn note(&mut self, tokens: usize, seconds: f64) {
        if tokens > FEW || tokens == 0 || self.max == 1 {
            return;
        }
        let seconds = seconds / tokens as f64;
        match &mut self.state {
            State::Warm => self.try_all(),
            State::Trial { fastest, samples, .. } => {
                *fastest = fastest.min(seconds);
                *samples += 1;
                if *samples >= SAMPLES {
                    self.compare();
                }
            }
            State::Steady { usual, slow, steps } => {
                *steps += 1;
                if seconds > SLOW * *usual {
                    *slow += 1;
                } else {
                    *slow = 0;
                    *usual += FOLLOW * (seconds - *usual);
                }
                let (disturbed, patient) = (*slow >= SLOW_STEPS, *steps < self.patience);
                if disturbed || (self.now < self.max && !patient) {
                    if !disturbed {
                        self.patience = (self.patience * 2).min(PATIENCE.1);
                    }
                    self.try_all();
                }
            }
        }
    }

    fn try_all(&mut self) {
        self.now = self.max;
        self.state = State::Trial { fastest: f64::INFINITY, samples: 0, best: None, first: None };
    }

    /// After the samples of one number: the next smaller one, or the best of those tried.
    fn compare(&mut self) {
        let State::Trial { fastest, best, first, .. } = self.state else { return };
        let better = best.is_none_or(|(_, time)| fastest < GAIN * time);
        let best = if better { (self.now, fastest) } else { best.unwrap_or((self.now, fastest)) };
        let first = first.unwrap_or(fastest);
        if better && self.now > 1 {
            self.now /= 2;
            self.state = State::Trial {
                fastest: f64::INFINITY,
                samples: 0,
                best: Some(best),
                first: Some(first),
            };
            return;
        }
        self.now = best.0;
        self.disturbed = first > SLOW * best.1;
        if self.now == self.max {
            self.patience = PATIENCE.0;
        }
        self.state = State::Steady { usual: best.1, slow: 0, steps: 0 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs so many single-token steps, whose time depends on the number of threads.
    fn run(tuner: &mut Tuner, steps: u32, time: impl Fn(usize) -> f64) {
        for _ in 0..steps {
            tuner.note(1, time(tuner.threads(1)));
        }
    }

    fn idle(threads: usize) -> f64 {
        1.0 / threads as f64
    }

    /// A core that is somebody else's: only one thread fewer than all is fast.
    fn busy(threads: usize) -> f64 {
        if threads == 4 { 5.0 } else { idle(threads) }
    }

    #[test]
    fn an_idle_machine_keeps_all_threads() {
        let mut tuner = Tuner::new(4);
        run(&mut tuner, 200, idle);
        assert_eq!((tuner.threads(1), tuner.threads(512)), (4, 4));
    }

    #[test]
    fn a_busy_neighbour_costs_threads_until_it_has_gone() {
        let mut tuner = Tuner::new(4);
        run(&mut tuner, 100, idle);
        run(&mut tuner, 20, busy);
        assert_eq!((tuner.threads(1), tuner.threads(512)), (2, 2));
        // Now and then all are tried, ever more seldom.
        let tried = |tuner: &mut Tuner, steps| {
            (0..steps)
                .filter(|_| {
                    run(tuner, 1, busy);
                    tuner.threads(1) == 4
                })
                .count()
        };
        let (early, late) = (tried(&mut tuner, 300), tried(&mut tuner, 300));
        assert!(early > late && early < 20, "{early} {late}");
        run(&mut tuner, PATIENCE.1, idle);
        assert_eq!((tuner.threads(1), tuner.threads(512)), (4, 4));
    }

    #[test]
    fn threads_that_memory_does_not_feed_are_left_to_prompts() {
        let mut tuner = Tuner::new(8);
        run(
            &mut tuner,
            50,
            |threads| if threads > 2 { 0.5 + 0.04 * threads as f64 } else { idle(threads) },
        );
        assert_eq!((tuner.threads(1), tuner.threads(512)), (2, 8));
    }

    #[test]
    fn prompts_and_a_single_slow_step_say_nothing() {
        let mut tuner = Tuner::new(2);
        run(&mut tuner, 50, idle);
        tuner.note(512, 100.0);
        tuner.note(1, 100.0);
        run(&mut tuner, 1, idle);
        assert_eq!(tuner.threads(1), 2);
        let mut alone = Tuner::new(1);
        run(&mut alone, 10, |_| 1.0);
        assert_eq!(alone.threads(1), 1);
    }
}
