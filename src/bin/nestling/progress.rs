//! How far long work is, on a terminal's standard error.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use nestling::job::Job;
use nestling::train::StepReport;

use crate::failure::Outcome;
use crate::report::remark;

/// Between two looks at the progress.
const LOOK: Duration = Duration::from_millis(100);
/// Between two lines where no bar can be drawn.
const LINE: Duration = Duration::from_secs(10);

/// Waits for a job; on a terminal, a bar on standard error shows how far it is.
pub fn wait<T: Send + 'static>(mut job: Job<T>, doing: &'static str) -> Outcome<T> {
    // Where standard error is no terminal, the bar draws nothing.
    let bar = ProgressBar::new(100);
    if let Ok(style) = ProgressStyle::with_template("{msg} [{bar:40}] {percent:>3} %") {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.set_message(doing);
    loop {
        let progress = job.step(LOOK);
        if progress.done {
            break;
        }
        bar.set_position((progress.fraction * 100.0) as u64);
    }
    bar.finish_and_clear();
    Ok(job.take()?)
}

/// A bar of steps with the loss and the rate; where standard error is no terminal, a line now and then.
pub struct Steps {
    bar: ProgressBar,
    /// No lines: something else tells of each step.
    quiet: bool,
    said: Instant,
    rate: f64,
}

impl Steps {
    pub fn new(done: u64, total: u64, quiet: bool) -> Self {
        let bar = ProgressBar::new(total).with_position(done);
        bar.reset_eta();
        if let Ok(style) = ProgressStyle::with_template("{pos}/{len} [{bar:30}] {msg} | {eta} left")
        {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_message("loss ...");
        Self { bar, quiet, said: Instant::now(), rate: 0.0 }
    }

    pub fn show(&mut self, step: &StepReport) {
        self.rate = step.tokens as f64 / step.seconds.max(1e-9);
        let validation = match step.validation_loss {
            Some(loss) => format!(" | validation {loss:.4}"),
            None => String::new(),
        };
        let message = format!("loss {:.4}{validation} | {:.1} tokens/s", step.loss, self.rate);
        if self.bar.is_hidden() && !self.quiet && self.said.elapsed() >= LINE {
            self.said = Instant::now();
            remark(&format!("step {} of {} | {message}", step.step, step.total_steps));
        }
        self.bar.set_position(step.step);
        self.bar.set_message(message);
    }

    pub fn finish(&self) {
        self.bar.finish_and_clear();
        if !self.quiet && self.rate > 0.0 {
            remark(&format!("{:.1} tokens/s", self.rate));
        }
    }
}
