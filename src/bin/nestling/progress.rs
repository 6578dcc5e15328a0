//! How far a training is, on a terminal's standard error.

use indicatif::{ProgressBar, ProgressStyle};
use nestling::train::StepReport;

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
