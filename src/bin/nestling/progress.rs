//! How far long work is, on a terminal's standard error.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use nestling::job::Job;
use nestling::train::StepReport;

use crate::failure::Outcome;

/// Between two looks at the progress.
const LOOK: Duration = Duration::from_millis(100);

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

/// A bar of steps with the loss and the rate. Where standard error is no terminal, it draws nothing.
pub struct Steps(ProgressBar);

impl Steps {
    pub fn new(done: u64, total: u64) -> Self {
        let bar = ProgressBar::new(total).with_position(done);
        bar.reset_eta();
        if let Ok(style) = ProgressStyle::with_template("{pos}/{len} [{bar:30}] {msg} | {eta} left")
        {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_message("loss ...");
        Self(bar)
    }

    pub fn show(&self, step: &StepReport) {
        let rate = step.tokens as f64 / step.seconds.max(1e-9);
        let validation = match step.validation_loss {
            Some(loss) => format!(" | validation {loss:.4}"),
            None => String::new(),
        };
        self.0.set_position(step.step);
        self.0.set_message(format!("loss {:.4}{validation} | {rate:.1} tokens/s", step.loss));
    }

    pub fn finish(&self) {
        self.0.finish_and_clear();
    }
}
