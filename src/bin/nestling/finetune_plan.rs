//! `nestling finetune --plan`: the memory of a training, and how long it will take.

use nestling::cancel::CancelToken;
use nestling::train::{TrainPlan, Trainer};
use serde::Serialize;
use serde_json::json;

use crate::failure::Outcome;
use crate::output::{self, bytes};

/// How long a training will take, by its first step. Validation is not counted.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Estimate {
    pub seconds_per_step: f64,
    pub tokens_per_second: f64,
    /// Tokens in one pass over the examples.
    pub tokens_per_epoch: u64,
    pub seconds_per_epoch: f64,
    /// Steps that are still to do, the measured one included.
    pub steps: u64,
    pub seconds_in_all: f64,
}

impl Estimate {
    /// Measures one step, of which nothing is kept. `None` for a training that is finished.
    pub fn measure(trainer: &mut Trainer, cancel: &CancelToken) -> Outcome<Option<Self>> {
        let steps = trainer.total_steps().saturating_sub(trainer.progress().step);
        let Some(step) = trainer.step(cancel)? else { return Ok(None) };
        let rate = step.tokens as f64 / step.seconds.max(1e-9);
        let encoding = trainer.encoding();
        let batch = trainer.options().batch_size.unsigned_abs().max(1);
        let steps_per_epoch = encoding.encoded.div_ceil(batch).max(1);
        // Steps differ in their tokens: an epoch's are known.
        let seconds_per_epoch = encoding.tokens as f64 / rate.max(1e-9);
        Ok(Some(Self {
            seconds_per_step: step.seconds,
            tokens_per_second: rate,
            tokens_per_epoch: encoding.tokens,
            seconds_per_epoch,
            steps,
            seconds_in_all: seconds_per_epoch * steps as f64 / steps_per_epoch as f64,
        }))
    }
}

/// Prints both; without an estimate only the memory.
pub fn print(plan: &TrainPlan, estimate: Option<&Estimate>, as_json: bool) -> Outcome {
    if as_json {
        let mut value = output::value(plan)?;
        value["estimate"] = json!(estimate);
        return output::json(&value);
    }
    let fits = if plan.fits { "yes".to_owned() } else { format!("no: {}", plan.advice) };
    let mut rows = vec![
        ("row length", format!("{} tokens", plan.n_ctx)),
        ("trained", format!("{} parameters", output::count(plan.n_parameters))),
        ("parameters", bytes(plan.parameters)),
        ("optimizer", bytes(plan.optimizer)),
        ("activations", bytes(plan.activations)),
        ("stored", format!("{} of the last {} layers", bytes(plan.stored), plan.stored_layers)),
        ("compute", bytes(plan.compute)),
        ("buffers", bytes(plan.buffers)),
        ("total", format!("{} beside the model's mapped weights", bytes(plan.total))),
        ("may be taken", bytes(plan.budget)),
        ("fits", fits),
    ];
    if let Some(e) = estimate {
        rows.extend([
            (
                "one step",
                format!("{} at {:.1} tokens/s", time(e.seconds_per_step), e.tokens_per_second),
            ),
            ("one epoch", format!("about {}", time(e.seconds_per_epoch))),
            ("in all", format!("about {} for {} steps", time(e.seconds_in_all), e.steps)),
        ]);
    }
    output::facts(&rows)
}

/// Seconds for people: `0.42 s`, `3 min 20 s`, `2 h 5 min`.
fn time(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    match whole {
        0..10 => format!("{seconds:.2} s"),
        10..60 => format!("{whole} s"),
        60..3600 => format!("{} min {} s", whole / 60, whole % 60),
        _ => format!("{} h {} min", whole / 3600, whole / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::time;

    #[test]
    fn times_are_readable() {
        let shown = [0.421, 9.7, 59.4, 200.0, 7500.0, 1e9].map(time);
        let wanted = ["0.42 s", "10 s", "59 s", "3 min 20 s", "2 h 5 min", "277777 h 46 min"];
        assert_eq!(shown, wanted);
    }
}
