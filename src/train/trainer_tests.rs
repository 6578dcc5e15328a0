//! A validation that was cancelled is made up for, also after resuming.

use super::{StepReport, Trainer};
use crate::cancel::CancelToken;
use crate::dataset::{Dataset, Example};
use crate::model::Model;
use crate::options::{Auto, DatasetOptions, TrainerOptions};
use crate::test_support::Family;
use crate::test_support::run::tiny;

fn data() -> Dataset {
    let texts = ["the cat sat", "a dog ran", "one two three", "red and blue", "we walk", "rain"];
    Dataset::from_examples(texts.map(Example::from), &DatasetOptions::default()).unwrap()
}

fn trainer(model: &Model) -> Trainer {
    let options = TrainerOptions {
        learning_rate: 5e-3.into(),
        batch_size: 2,
        epochs: 3,
        validation_fraction: 0.34,
        early_stopping_patience: 2,
        n_threads: Auto::Value(1),
        ..TrainerOptions::default()
    };
    Trainer::new(model, &data(), None, &options).unwrap()
}

fn run(trainer: &mut Trainer) -> Vec<StepReport> {
    let never = CancelToken::new();
    std::iter::from_fn(|| trainer.step(&never).unwrap()).collect()
}

/// The loss, the step size and the validation: what is known of a step after resuming.
fn known(report: &StepReport) -> (u64, u64, f64, f64, Option<f64>, bool) {
    let r = report;
    (r.step, r.epoch, r.loss, r.learning_rate, r.validation_loss, r.best)
}

#[test]
fn the_next_call_validates_and_nothing_is_different() {
    let model = tiny(Family::Llama);
    let mut whole = trainer(&model);
    let all = run(&mut whole);
    assert_eq!(all.len(), 6);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("checkpoint");
    // Each step with a validation, the last one too, ends where a cancelled validation would have left it.
    for stop in [2, 4, 6] {
        let mut here = trainer(&model);
        let never = CancelToken::new();
        let mut before: Vec<_> =
            (1..stop).map(|_| known(&here.step(&never).unwrap().unwrap())).collect();
        here.last = Some(here.learn(&never).unwrap());
        assert!(here.is_validation_missing() && !here.is_finished());
        let cancelled = CancelToken::new();
        cancelled.trigger();
        here.step(&cancelled).unwrap_err();
        here.save(&path).unwrap();

        let mut there = Trainer::resume(&model, &data(), None, path.as_path()).unwrap();
        before.extend(run(&mut there).iter().map(known));
        assert_eq!(before, all.iter().map(known).collect::<Vec<_>>());
        assert!(there.params() == whole.params() && there.progress() == whole.progress());

        let report = here.step(&never).unwrap().unwrap();
        assert_eq!(
            StepReport { seconds: 0.0, ..report },
            StepReport { seconds: 0.0, ..all[stop - 1] }
        );
        run(&mut here);
        assert!(here.params() == whole.params() && here.progress() == whole.progress());
    }
}
