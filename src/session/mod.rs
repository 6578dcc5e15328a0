//! A session: one sequence of tokens with its cache, its sampler and its token log.

mod cache;
mod encoder;
mod prompt;
mod snapshot;
mod state;
mod stats;
mod threads;

use crate::adapter::Adapter;
use crate::error::{Result, bail};
use crate::ggml;
use crate::model::{Lease, Model};
use crate::options::{Auto, ContextFull, Options, SamplingOptions, SessionOptions};
use crate::plan;
use crate::sampling::{Sampler, SamplerState, VocabularyView};
use crate::tokenizer::{ChatFormat, EncodeOptions, Tokenizer};

pub use cache::Evaluated;
pub use prompt::Prompt;
pub use stats::SessionStats;
use threads::Tuner;

/// One conversation with a model. Used by one thread at a time; many sessions of one model may run at
/// once. Keeps its model alive.
pub struct Session {
    lease: Lease,
    tokenizer: Tokenizer,
    options: SessionOptions,
    /// What the cache holds: position i holds token i.
    tokens: Vec<i32>,
    /// The text that the encoder read, which `tokens` answer; always empty for models without an encoder.
    source: Vec<i32>,
    /// Tokens that belong to the sequence and were not evaluated yet.
    pending: Vec<i32>,
    /// Up to here the cache equals a fresh evaluation of `tokens`: a shift leaves only its kept prefix so.
    pure: usize,
    /// Tokens at the front that a shift keeps.
    n_keep: usize,
    /// Those that the cache was computed with.
    adapters: Vec<(Adapter, f32)>,
    /// Those of a generation that names none.
    own_adapters: Vec<(Adapter, f32)>,
    sampler: Option<Sampler>,
    /// The state of a loaded session's sampler, until a generation makes the sampler.
    sampler_state: Option<SamplerState>,
    /// Counts generations, so that an older one notices that it was replaced.
    epoch: u64,
    stats: SessionStats,
    /// Where the number of threads is left open, and changes no result.
    tuner: Option<Tuner>,
    /// The chat template used last, with its name among the options.
    chat: Option<(String, ChatFormat)>,
}

impl Session {
    /// A new, empty session.
    ///
    /// # Errors
    /// `InvalidOption`; `CannotShift` if `context_full=shift` and the model cannot; `DoesNotFit` if it
    /// would take more memory than is free; `OutOfMemory`; `Unsupported` for models that do not generate text; `WrongState` for `vocab_only` models.
    pub fn new(model: &Model, options: &SessionOptions) -> Result<Self> {
        options.validate()?;
        let params = plan::context_params(model, options)?;
        let mut lease = model.lease(&params, || plan::ensure_fits(model, options, &params))?;
        if options.context_full == ContextFull::Shift && !lease.can_shift() {
            bail!(
                CannotShift,
                "this model's cache cannot be shifted (learned positions, recurrent state, or a window-\
                 sized cache); set context_full=error, or swa_full=true for sliding-window models"
            )
        }
        let n_threads = plan::n_threads(options.n_threads);
        lease.set_threads(n_threads)?;
        let parts = ggml::breakdown(&lease, n_threads)?;
        let stats = SessionStats {
            n_ctx: lease.n_ctx(),
            n_threads: n_threads.unsigned_abs(),
            kv_cache_bytes: parts.iter().map(|p| p.kv_cache).sum(),
            compute_bytes: parts.iter().map(|p| p.compute).sum(),
            ..SessionStats::default()
        };
        let tunes = options.n_threads == Auto::Auto && model.raw().has_kernels();
        Ok(Self {
            lease,
            tokenizer: Tokenizer::new(model),
            options: options.clone(),
            tokens: Vec::new(),
            source: Vec::new(),
            pending: Vec::new(),
            pure: 0,
            n_keep: 1,
            adapters: Vec::new(),
            own_adapters: Vec::new(),
            sampler: None,
            sampler_state: None,
            epoch: 0,
            stats,
            tuner: tunes.then(|| Tuner::new(n_threads.unsigned_abs() as usize)),
            chat: None,
        })
    }

    /// A copy that continues on its own: the same tokens, cache, sampler and adapters.
    ///
    /// # Errors
    /// `OutOfMemory`.
    pub fn fork(&mut self) -> Result<Self> {
        let mut copy = Self::new(self.model(), &self.options)?;
        copy.set_adapters(&self.own_adapters)?;
        copy.attach(&self.adapters)?;
        copy.read_source(&self.source)?;
        if !self.tokens.is_empty() {
            let state = self.lease.state()?;
            copy.lease.set_state(&state)?;
        }
        copy.tokens = self.tokens.clone();
        copy.pending = self.pending.clone();
        copy.pure = self.pure;
        copy.n_keep = self.n_keep;
        copy.sampler = self.sampler.clone();
        copy.sampler_state = self.sampler_state.clone();
        Ok(copy)
    }

    /// Forgets all tokens; the options and adapters stay.
    pub fn reset(&mut self) {
        self.epoch += 1;
        self.source.clear();
        self.forget();
    }

    /// Empties the cache.
    fn forget(&mut self) {
        self.lease.clear(false);
        self.tokens.clear();
        self.pending.clear();
        self.pure = 0;
    }

    /// Uses these adapters with these scales from the next generation on. A change forgets the cached
    /// tokens, which were computed with the old ones. [`Generation::with_adapters`] chooses others for one answer.
    ///
    /// # Errors
    /// `AdapterMismatch` for an adapter of another model.
    ///
    /// [`Generation::with_adapters`]: crate::generation::Generation::with_adapters
    pub fn set_adapters(&mut self, adapters: &[(Adapter, f32)]) -> Result<()> {
        self.attach(adapters)?;
        self.own_adapters = adapters.to_vec();
        Ok(())
    }

    /// For one generation: its own adapters, or without any those of the session.
    pub(crate) fn choose_adapters(&mut self, chosen: &[(Adapter, f32)]) -> Result<()> {
        if chosen.is_empty() {
            self.attach(&self.own_adapters.clone())
        } else {
            self.attach(chosen)
        }
    }

    fn attach(&mut self, adapters: &[(Adapter, f32)]) -> Result<()> {
        let key = |list: &[(Adapter, f32)]| -> Vec<(String, u32)> {
            list.iter().map(|(a, s)| (a.digest().to_owned(), s.to_bits())).collect()
        };
        if let Some((_, scale)) = adapters.iter().find(|(_, s)| !s.is_finite()) {
            bail!(InvalidArgument, "an adapter's scale is {scale}; give a finite number, usually 1")
        }
        if key(adapters) == key(&self.adapters) {
            return Ok(());
        }
        let raw: Vec<_> = adapters.iter().map(|(a, s)| (a.raw().clone(), *s)).collect();
        self.lease.set_adapters(&raw)?;
        self.reset();
        self.adapters = adapters.to_vec();
        Ok(())
    }

    /// The tokens of the sequence, evaluated or not; behind an encoder those of the answer, from the token that the decoder
    /// begins with.
    pub fn tokens(&self) -> impl Iterator<Item = i32> {
        self.tokens.iter().chain(&self.pending).copied()
    }

    /// How many tokens the cache holds: the position of the next one.
    pub fn position(&self) -> usize {
        self.tokens.len()
    }

    /// The context length in tokens.
    pub fn n_ctx(&self) -> usize {
        self.lease.n_ctx() as usize
    }

    /// Memory, and the numbers of the last generation.
    pub fn stats(&self) -> &SessionStats {
        &self.stats
    }

    /// The options it was made with.
    pub fn options(&self) -> &SessionOptions {
        &self.options
    }

    /// The model.
    pub fn model(&self) -> &Model {
        self.lease.model()
    }

    /// The model's tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    pub(crate) fn stats_mut(&mut self) -> &mut SessionStats {
        &mut self.stats
    }

    /// Begins a generation: any older one is replaced.
    pub(crate) fn begin(&mut self) -> u64 {
        self.epoch += 1;
        self.epoch
    }

    pub(crate) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The sampler for the next answer. A given seed starts the random numbers anew; `seed=auto`
    /// continues those of the session.
    pub(crate) fn prepare_sampler(&mut self, options: &SamplingOptions) -> Result<()> {
        let before =
            self.sampler.as_ref().map(Sampler::state).or_else(|| self.sampler_state.clone());
        let mut sampler = Sampler::new(options, &Vocabulary(&self.tokenizer))?;
        if let (None, Some(state)) = (options.seed.value(), before) {
            sampler.restore(state)?;
        }
        self.sampler = Some(sampler);
        self.sampler_state = None;
        Ok(())
    }

    /// The sampler and the logits it works on, with the tokens so far.
    pub(crate) fn sampling(&mut self) -> Result<(&mut Sampler, &[f32], &[i32])> {
        let Some(sampler) = &mut self.sampler else {
            bail!(Internal, "sampling before a generation made the sampler")
        };
        Ok((sampler, self.lease.logits()?, &self.tokens))
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // No tokens: they are the user's text.
        f.debug_struct("Session")
            .field("position", &self.position())
            .field("n_ctx", &self.n_ctx())
            .finish_non_exhaustive()
    }
}

struct Vocabulary<'a>(&'a Tokenizer);

impl VocabularyView for Vocabulary<'_> {
    fn n_vocab(&self) -> usize {
        self.0.n_vocab()
    }

    fn token_bytes(&self, token: i32) -> Vec<u8> {
        let mut bytes = Vec::new();
        // An id without text has no bytes.
        self.0.piece(token, true, &mut bytes).ok();
        bytes
    }

    fn encode(&self, text: &str) -> Result<Vec<i32>> {
        self.0.encode(text, EncodeOptions::default())
    }
}
