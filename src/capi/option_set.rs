//! Options of one kind behind one handle.

use std::any::Any;

use serde_json::json;

use crate::adapter::Adapter;
use crate::error::{Result, bail};
use crate::options::{
    self, AdapterOptions, CompareOptions, ConvertOptions, DatasetOptions, EmbeddingOptions,
    EvaluationOptions, GenerationOptions, ImatrixOptions, Input, MergeOptions, ModelOptions,
    Options, PruneOptions, QuantizeOptions, SealOptions, SessionOptions, Spec, TrainerOptions,
};

/// The defaults of every kind.
const KINDS: &[fn() -> OptionSet] = &[
    OptionSet::default_of::<ModelOptions>,
    OptionSet::default_of::<SessionOptions>,
    OptionSet::default_of::<GenerationOptions>,
    OptionSet::default_of::<DatasetOptions>,
    OptionSet::default_of::<TrainerOptions>,
    OptionSet::default_of::<EvaluationOptions>,
    OptionSet::default_of::<AdapterOptions>,
    OptionSet::default_of::<MergeOptions>,
    OptionSet::default_of::<EmbeddingOptions>,
    OptionSet::default_of::<QuantizeOptions>,
    OptionSet::default_of::<SealOptions>,
    OptionSet::default_of::<ConvertOptions>,
    OptionSet::default_of::<ImatrixOptions>,
    OptionSet::default_of::<CompareOptions>,
    OptionSet::default_of::<PruneOptions>,
];
/// The kinds to which adapters belong.
const WITH_ADAPTERS: &[&str] =
    &[SessionOptions::NAME, GenerationOptions::NAME, EvaluationOptions::NAME];

/// What a `nest_options` holds.
#[derive(Clone)]
pub(super) struct OptionSet {
    options: Box<dyn Erased>,
    adapters: Vec<(Adapter, f32)>,
}

/// Options of whichever kind.
trait Erased: Any + Send + Sync {
    fn kind(&self) -> &'static str;
    fn specs(&self) -> Vec<Spec>;
    fn set(&mut self, key: &str, input: Input<'_>) -> Result<()>;
    fn get(&self, key: &str) -> Option<String>;
    fn boxed(&self) -> Box<dyn Erased>;
}

impl<O: Options + Send + Sync + 'static> Erased for O {
    fn kind(&self) -> &'static str {
        O::NAME
    }

    fn specs(&self) -> Vec<Spec> {
        O::specs()
    }

    fn set(&mut self, key: &str, input: Input<'_>) -> Result<()> {
        Options::set(self, key, input)
    }

    fn get(&self, key: &str) -> Option<String> {
        Options::get(self, key)
    }

    fn boxed(&self) -> Box<dyn Erased> {
        Box::new(self.clone())
    }
}

impl Clone for Box<dyn Erased> {
    fn clone(&self) -> Self {
        (**self).boxed()
    }
}

impl OptionSet {
    /// The defaults of a kind.
    pub(super) fn new(kind: &str) -> Result<Self> {
        match KINDS.iter().map(|default| default()).find(|set| set.kind() == kind) {
            Some(set) => Ok(set),
            None => {
                let kinds: Vec<_> = KINDS.iter().map(|default| default().kind()).collect();
                bail!(
                    InvalidArgument,
                    "there are no options of the kind {kind:?}; give one of {}",
                    kinds.join(", ")
                )
            }
        }
    }

    /// Options that were made elsewhere.
    pub(super) fn of(options: impl Options + Send + Sync + 'static) -> Self {
        Self { options: Box::new(options), adapters: Vec::new() }
    }

    fn default_of<O: Options + Send + Sync + 'static>() -> Self {
        Self::of(O::default())
    }

    /// The options and their adapters, as the kind that a call takes.
    pub(super) fn into_kind<O: Options + 'static>(self) -> Result<(O, Vec<(Adapter, f32)>)> {
        let kind = self.kind();
        let options: Box<dyn Any> = self.options;
        match options.downcast::<O>() {
            Ok(found) => Ok((*found, self.adapters)),
            Err(_) => bail!(
                InvalidArgument,
                "the argument `options` is of the kind {kind}; this call takes the kind {wanted}: make it with \
                 nest_options_new(\"{wanted}\", ...)",
                wanted = O::NAME
            ),
        }
    }

    pub(super) fn kind(&self) -> &'static str {
        (*self.options).kind()
    }

    pub(super) fn set(&mut self, key: &str, input: Input<'_>) -> Result<()> {
        (*self.options).set(key, input)
    }

    /// An option's value as text.
    pub(super) fn get(&self, key: &str) -> Result<String> {
        let Some(value) = (*self.options).get(key) else {
            let specs = (*self.options).specs();
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
        if !WITH_ADAPTERS.contains(&self.kind()) {
            bail!(
                InvalidArgument,
                "the argument `options` is of the kind {}; adapters belong to options of the kinds {}",
                self.kind(),
                WITH_ADAPTERS.join(", ")
            )
        }
        if !(scale as f32).is_finite() {
            bail!(
                InvalidArgument,
                "the argument `scale` is {scale}; give a finite number, usually 1"
            )
        }
        self.adapters.push((adapter.clone(), scale as f32));
        Ok(())
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
