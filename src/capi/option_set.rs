//! Options of one kind behind one handle.

use serde_json::json;

use crate::adapter::Adapter;
use crate::error::{Result, bail};
use crate::options::{
    self, DatasetOptions, EvaluationOptions, GenerationOptions, Input, ModelOptions, Options,
    SealOptions, SessionOptions, Spec, TrainerOptions,
};

/// What a `nest_options` holds.
#[derive(Debug, Clone)]
pub(super) enum OptionSet {
    Model(ModelOptions),
    Session(SessionOptions, Vec<(Adapter, f32)>),
    Generation(Box<GenerationOptions>, Vec<(Adapter, f32)>),
    Dataset(DatasetOptions),
    Trainer(Box<TrainerOptions>),
    Evaluation(Box<EvaluationOptions>, Vec<(Adapter, f32)>),
    Seal(SealOptions),
}

impl OptionSet {
    /// The defaults of a kind.
    pub(super) fn new(kind: &str) -> Result<Self> {
        Ok(match kind {
            ModelOptions::NAME => Self::Model(ModelOptions::default()),
            SessionOptions::NAME => Self::Session(SessionOptions::default(), Vec::new()),
            GenerationOptions::NAME => Self::Generation(Box::default(), Vec::new()),
            DatasetOptions::NAME => Self::Dataset(DatasetOptions::default()),
            TrainerOptions::NAME => Self::Trainer(Box::default()),
            EvaluationOptions::NAME => Self::Evaluation(Box::default(), Vec::new()),
            SealOptions::NAME => Self::Seal(SealOptions::default()),
            _ => {
                let kinds: Vec<_> =
                    options::reference().into_iter().map(|(kind, _)| kind).collect();
                bail!(
                    InvalidArgument,
                    "there are no options of the kind {kind:?}; give one of {}",
                    kinds.join(", ")
                )
            }
        })
    }

    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Model(_) => ModelOptions::NAME,
            Self::Session(..) => SessionOptions::NAME,
            Self::Generation(..) => GenerationOptions::NAME,
            Self::Dataset(_) => DatasetOptions::NAME,
            Self::Trainer(_) => TrainerOptions::NAME,
            Self::Evaluation(..) => EvaluationOptions::NAME,
            Self::Seal(_) => SealOptions::NAME,
        }
    }

    pub(super) fn set(&mut self, key: &str, input: Input<'_>) -> Result<()> {
        match self {
            Self::Model(o) => o.set(key, input),
            Self::Session(o, _) => o.set(key, input),
            Self::Generation(o, _) => o.set(key, input),
            Self::Dataset(o) => o.set(key, input),
            Self::Trainer(o) => o.set(key, input),
            Self::Evaluation(o, _) => o.set(key, input),
            Self::Seal(o) => o.set(key, input),
        }
    }

    /// An option's value as text.
    pub(super) fn get(&self, key: &str) -> Result<String> {
        let (found, specs) = match self {
            Self::Model(o) => (o.get(key), ModelOptions::specs()),
            Self::Session(o, _) => (o.get(key), SessionOptions::specs()),
            Self::Generation(o, _) => (o.get(key), GenerationOptions::specs()),
            Self::Dataset(o) => (o.get(key), DatasetOptions::specs()),
            Self::Trainer(o) => (o.get(key), TrainerOptions::specs()),
            Self::Evaluation(o, _) => (o.get(key), EvaluationOptions::specs()),
            Self::Seal(o) => (o.get(key), SealOptions::specs()),
        };
        let Some(value) = found else {
            let keys: Vec<_> = specs.iter().map(|s| s.key).collect();
            bail!(
                UnknownOption,
                "no {} option is named {key:?}; valid options: {}",
                self.kind(),
                keys.join(", ")
            )
        };
        Ok(value)
    }

    pub(super) fn add_adapter(&mut self, adapter: &Adapter, scale: f64) -> Result<()> {
        let (Self::Session(_, adapters)
        | Self::Generation(_, adapters)
        | Self::Evaluation(_, adapters)) = self
        else {
            bail!(
                InvalidArgument,
                "the argument `options` is of the kind {}; adapters belong to options of the kinds session, \
                 generation and evaluation",
                self.kind()
            )
        };
        if !(scale as f32).is_finite() {
            bail!(
                InvalidArgument,
                "the argument `scale` is {scale}; give a finite number, usually 1"
            )
        }
        adapters.push((adapter.clone(), scale as f32));
        Ok(())
    }

    /// The error for options of another kind than a call takes.
    pub(super) fn refuse<T>(&self, wanted: &str) -> Result<T> {
        bail!(
            InvalidArgument,
            "the argument `options` is of the kind {}; this call takes the kind {wanted}: make it with \
             nest_options_new(\"{wanted}\", ...)",
            self.kind()
        )
    }
}

/// Every kind and option, as JSON.
pub(super) fn reference() -> String {
    let option = |s: &Spec| json!({"key": s.key, "takes": s.kind.to_string(), "default": s.default, "doc": s.doc});
    let kinds = options::reference().into_iter().map(|(kind, specs)| {
        json!({"kind": kind, "options": specs.iter().map(option).collect::<Vec<_>>()})
    });
    serde_json::Value::from_iter(kinds).to_string()
}
