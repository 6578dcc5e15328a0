//! A session's state as a file: tokens, cache, sampler, and what they belong to.
//!
//! Layout, little-endian: `NESTSTAT`, version `u32`, header length `u32`, header (JSON), tokens
//! (`i32` each), pending tokens, what an encoder read (likewise), the cache as the engine writes it, SHA-256 of everything before.

use std::io::Write as _;
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::Session;
use crate::error::{Context, Error, Result, bail};
use crate::format::replace_file;
use crate::ggml;
use crate::model::Model;
use crate::options::{Options, SessionOptions};
use crate::sampling::{Sampler, SamplerState};

const MAGIC: &[u8; 8] = b"NESTSTAT";
const VERSION: u32 = 1;
const DIGEST: usize = 32;
/// The header is small; a larger one is not ours.
const MAX_HEADER: usize = 1 << 20;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    engine: String,
    model: String,
    kv_type: String,
    swa_full: bool,
    flash_attn: String,
    adapters: Vec<(String, u32)>,
    n_tokens: usize,
    n_pending: usize,
    pure: usize,
    n_keep: usize,
    /// Behind an encoder: the tokens that it read.
    #[serde(default, skip_serializing_if = "is_zero")]
    n_source: usize,
    cache_bytes: usize,
    sampler: Option<SamplerState>,
}

impl Session {
    /// Writes the state to a file that only the user can read (mode 0600), by temp + rename. It holds
    /// the conversation.
    ///
    /// # Errors
    /// Those of files.
    pub fn save(&mut self, path: impl AsRef<Path>) -> Result<()> {
        let bytes = self.snapshot()?;
        let doing = "writing the state";
        replace_file(path.as_ref(), doing, |out| {
            out.write_all(&bytes).map_err(|e| Error::io(&e, doing))
        })
    }

    /// A session that continues from a file of [`save`](Self::save). The options may differ in threads
    /// and policies, and in a longer context.
    ///
    /// # Errors
    /// `StateFormat` for another kind of file, `StateDamaged`, `StateForeign` for the state of another
    /// model, adapter set or cache layout; those of files.
    pub fn load(model: &Model, path: impl AsRef<Path>, options: &SessionOptions) -> Result<Self> {
        let mut session = Self::new(model, options)?;
        session.restore(path)?;
        Ok(session)
    }

    /// As [`load`](Self::load), into this session, with the adapters that it has. After an error it is
    /// empty or as it was.
    pub fn restore(&mut self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let bytes = read(path).and_then(|bytes| self.apply(&bytes));
        bytes.with_path(path)
    }

    fn snapshot(&mut self) -> Result<Vec<u8>> {
        let cache = if self.tokens.is_empty() { Vec::new() } else { self.lease.state()? };
        let sampler = self.sampler.as_ref().map(Sampler::state);
        let header = Header {
            n_tokens: self.tokens.len(),
            n_pending: self.pending.len(),
            pure: self.pure,
            n_keep: self.n_keep,
            n_source: self.source.len(),
            cache_bytes: cache.len(),
            sampler: sampler.or_else(|| self.sampler_state.clone()),
            ..self.identity()?
        };
        let header = serde_json::to_vec(&header).map_err(|e| {
            Error::new(crate::Code::Internal, format!("writing a state header: {e}"))
        })?;
        let mut bytes = Vec::with_capacity(cache.len() + header.len() + 64 + 4 * self.tokens.len());
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&(header.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&header);
        for token in self.tokens.iter().chain(&self.pending).chain(&self.source) {
            bytes.extend_from_slice(&token.to_le_bytes());
        }
        bytes.extend_from_slice(&cache);
        let digest = Sha256::digest(&bytes);
        bytes.extend_from_slice(&digest);
        Ok(bytes)
    }

    /// What a state must agree with.
    fn identity(&self) -> Result<Header> {
        let adapters = self.adapters.iter();
        Ok(Header {
            engine: ggml::version(),
            model: self.model().fingerprint()?.to_owned(),
            kv_type: self.options.kv_type.word().into(),
            swa_full: self.options.swa_full,
            flash_attn: self.options.get("flash_attn").unwrap_or_default(),
            adapters: adapters.map(|(a, s)| (a.digest().to_owned(), s.to_bits())).collect(),
            n_tokens: 0,
            n_pending: 0,
            pure: 0,
            n_keep: 0,
            n_source: 0,
            cache_bytes: 0,
            sampler: None,
        })
    }

    fn apply(&mut self, bytes: &[u8]) -> Result<()> {
        let (header, body) = parse(bytes)?;
        self.check_identity(&header)?;
        let damaged =
            || Error::new(crate::Code::StateDamaged, "its parts do not add up; save it again");
        let n_answer = header.n_tokens.checked_add(header.n_pending).ok_or_else(damaged)?;
        let n_all = n_answer.checked_add(header.n_source).ok_or_else(damaged)?;
        let n_bytes = n_all.checked_mul(4).ok_or_else(damaged)?;
        let (tokens, cache) = body.split_at_checked(n_bytes).ok_or_else(damaged)?;
        if cache.len() != header.cache_bytes
            || header.pure > header.n_tokens
            || header.n_pending > 1
            || (header.n_tokens == 0) != cache.is_empty()
            || (header.n_source > 0 && !self.has_encoder())
            || (header.n_tokens > 0 && header.n_source == 0 && self.has_encoder())
        {
            return Err(damaged());
        }
        if header.n_tokens.max(header.n_source) > self.n_ctx() {
            bail!(
                StateForeign,
                "the state holds {} tokens, this session's context {}; open it with n_ctx of at least \
                 that",
                header.n_tokens.max(header.n_source),
                self.n_ctx()
            )
        }
        let mut tokens: Vec<i32> = tokens
            .chunks_exact(4)
            .map(|b| i32::from_le_bytes(b.try_into().unwrap_or_default()))
            .collect();
        self.check_tokens(&tokens).map_err(|_| damaged())?;
        let source = tokens.split_off(n_answer);
        self.reset();
        self.read_source(&source)?;
        if !cache.is_empty() {
            super::snapshot::check(cache, header.n_tokens)?;
            self.lease.set_state(cache)?;
            if usize::try_from(self.lease.position_max() + 1).ok() != Some(header.n_tokens) {
                self.reset();
                return Err(damaged());
            }
        }
        self.pending = tokens.split_off(header.n_tokens);
        self.tokens = tokens;
        self.pure = header.pure;
        self.n_keep = header.n_keep.min(self.n_ctx() / 2);
        self.sampler = None;
        self.sampler_state = header.sampler;
        Ok(())
    }

    fn check_identity(&self, header: &Header) -> Result<()> {
        let ours = self.identity()?;
        let differs = |what: &str, theirs: &str, ours: &str, remedy: &str| -> Result<()> {
            bail!(StateForeign, "it was saved with {what} {theirs:?}, not {ours:?}; {remedy}")
        };
        if header.model != ours.model {
            let short = |s: &str| s.chars().take(12).collect::<String>();
            let (theirs, ours) = (short(&header.model), short(&ours.model));
            return differs("the model", &theirs, &ours, "open the model it was saved with");
        }
        if header.engine != ours.engine {
            let remedy = "evaluate the text again";
            return differs("the engine version", &header.engine, &ours.engine, remedy);
        }
        if header.adapters != ours.adapters {
            bail!(
                StateForeign,
                "it was saved with other adapters or scales; attach the same ones first"
            )
        }
        for (what, theirs, ours) in [
            ("kv_type", &header.kv_type, &ours.kv_type),
            ("flash_attn", &header.flash_attn, &ours.flash_attn),
            ("swa_full", &header.swa_full.to_string(), &ours.swa_full.to_string()),
        ] {
            if theirs != ours {
                return differs(what, theirs, ours, "open the session with the same option");
            }
        }
        Ok(())
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_zero(n: &usize) -> bool {
    *n == 0
}

/// Header and body of a whole, undamaged state.
fn parse(bytes: &[u8]) -> Result<(Header, &[u8])> {
    let not_ours = "this is not a session state";
    let Some((magic, rest)) = bytes.split_first_chunk::<8>().filter(|(m, _)| *m == MAGIC) else {
        bail!(
            StateFormat,
            "{not_ours}: it does not begin with NESTSTAT; give a file that save wrote"
        )
    };
    let (Some((version, rest)), true) = (rest.split_first_chunk::<4>(), magic == MAGIC) else {
        bail!(StateDamaged, "{not_ours} any more: it ends after the first 8 bytes; save it again")
    };
    let version = u32::from_le_bytes(*version);
    if version != VERSION {
        bail!(
            StateFormat,
            "state version {version}, this build reads {VERSION}; evaluate the text again"
        )
    }
    let damaged = || Error::new(crate::Code::StateDamaged, "the state is cut short; save it again");
    let (body, digest) = bytes.split_last_chunk::<DIGEST>().ok_or_else(damaged)?;
    if Sha256::digest(body).as_slice() != digest {
        bail!(
            StateDamaged,
            "the state's checksum is wrong: it was changed or cut short; save it again"
        )
    }
    let (len, rest) = rest.split_first_chunk::<4>().ok_or_else(damaged)?;
    let len = u32::from_le_bytes(*len) as usize;
    let rest = rest.get(..rest.len().saturating_sub(DIGEST)).unwrap_or_default();
    let (header, rest) = rest.split_at_checked(len.min(MAX_HEADER)).ok_or_else(damaged)?;
    let header = serde_json::from_slice(header).map_err(|e| {
        Error::new(crate::Code::StateDamaged, format!("the state's header: {e}; save it again"))
    })?;
    Ok((header, rest))
}

fn read(path: &Path) -> Result<Vec<u8>> {
    let io = |e: std::io::Error| Error::io(&e, "reading the state");
    if !std::fs::metadata(path).map_err(io)?.is_file() {
        bail!(NotAFile, "this is not a regular file; give a file that save wrote")
    }
    std::fs::read(path).map_err(io)
}
