//! Which columns of a model's weights matter on a text: the importance matrix that quantizing can use.
//!
//! The text is read in chunks of `n_ctx` tokens, each from an empty context, as llama.cpp's `llama-imatrix` does it, so that
//! the numbers of both can be compared.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde::Serialize;

use crate::error::{Context, Error, Result, bail, err};
use crate::format::check_output;
use crate::ggml::{Observer, Pooling, Work};
use crate::job::Monitor;
use crate::model::Model;
use crate::options::{Auto, ImatrixOptions, Options, SessionOptions};
use crate::plan;
use crate::quantize::{Entry, Imatrix};
use crate::tokenizer::{EncodeOptions, Tokenizer};

/// Bytes of logits that one batch may take: the last layer must see every token, and then the engine computes the logits of
/// all of them.
const LOGITS_BYTES: u32 = 128 << 20;
/// The output matrix, under the names that it can have.
const OUTPUT: &[&str] = &["output.weight", "token_embd.weight"];

/// What [`imatrix`] did.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ImatrixReport {
    /// The file that was written.
    pub path: PathBuf,
    /// The weights that it is about.
    pub weights: u64,
    /// Chunks of the text that were read.
    pub chunks: u64,
    /// Their tokens.
    pub tokens: u64,
    /// Experts that no token was sent to, of all weights: nothing is known of them.
    pub unseen_experts: u64,
    /// Seconds that it took.
    pub seconds: f64,
}

/// Has a model read a text file, and writes which columns of its weights mattered.
///
/// # Errors
/// As [`importance`]; `OutputExists`, `OutputIsInput`, `InvalidUtf8`, those of files. The output is as it was then.
pub fn imatrix(
    model: &Model,
    text: &Path,
    output: &Path,
    options: &ImatrixOptions,
    monitor: &Monitor,
) -> Result<ImatrixReport> {
    let begin = Instant::now();
    options.validate()?;
    let files = model.files().parts().iter().filter_map(|part| part.path());
    let inputs: Vec<_> = std::iter::once(text).chain(files).collect();
    check_output(output, options.force, &inputs)?;
    let words = read(text)?;
    let found = importance(model, &words, &text.display().to_string(), options, monitor)?;
    found.write(output)?;
    let unseen = |name| found.sums(name).into_iter().flat_map(|(_, counts)| counts);
    Ok(ImatrixReport {
        path: output.to_owned(),
        weights: found.names().count() as u64,
        chunks: found.chunk_count().into(),
        tokens: u64::from(found.chunk_count()) * u64::from(found.chunk_size()),
        unseen_experts: found.names().flat_map(unseen).filter(|n| **n == 0.0).count() as u64,
        seconds: begin.elapsed().as_secs_f64(),
    })
}

/// A text file.
///
/// # Errors
/// `InvalidUtf8`, those of files.
pub(super) fn read(path: &Path) -> Result<String> {
    let bytes =
        std::fs::read(path).map_err(|e| Error::io(&e, "reading the text").with_path(path))?;
    String::from_utf8(bytes).map_err(|e| {
        let at = e.utf8_error().valid_up_to();
        err!(InvalidUtf8, "the text is not UTF-8 at byte {at}; convert it first").with_path(path)
    })
}

/// Has a model read a text, and says which columns of its weights mattered. `dataset` names the text in the result.
///
/// # Errors
/// `InvalidOption`; `TextTooShort`; `Unsupported` for models of which only a part reads a text; `DoesNotFit`, `OutOfMemory`;
/// `Engine` where the model computes numbers that are not finite; `Cancelled`.
pub fn importance(
    model: &Model,
    text: &str,
    dataset: &str,
    options: &ImatrixOptions,
    monitor: &Monitor,
) -> Result<Imatrix> {
    options.validate()?;
    model.check_weights()?;
    let raw = model.raw();
    if !raw.is_generative() {
        bail!(
            Unsupported,
            "an importance matrix of the architecture {:?} cannot be computed; use a model of one part",
            model.info().architecture
        )
    }
    let n_ctx = options.n_ctx as usize;
    let tokens = tokens(model, text, options)?;
    let mut chunks: Vec<_> = tokens.chunks_exact(n_ctx).map(<[i32]>::to_vec).collect();
    if options.chunks > 0 {
        chunks.truncate(options.chunks as usize);
    }
    let (mut observer, step) = observer(model, options)?;
    // Each chunk begins as a text of its own.
    let vocab = raw.vocab();
    let bos = vocab.bos().filter(|_| vocab.add_bos());
    let n_chunks = chunks.len();
    for (i, chunk) in chunks.iter_mut().enumerate() {
        if let (Some(bos), Some(first)) = (bos, chunk.first_mut()) {
            *first = bos;
        }
        observer.read(chunk, step, monitor.cancel()).context(format_args!("chunk {}", i + 1))?;
        monitor.report((i + 1) as f32 / n_chunks as f32);
    }
    let mut entries = BTreeMap::new();
    for (name, seen) in observer.squares() {
        let sums = seen.sums.iter().map(|&sum| sum as f32).collect();
        let counts = seen.counts.iter().map(|&count| count as f32).collect();
        entries.insert(name.clone(), Entry::new(&name, sums, counts)?);
    }
    Imatrix::new(entries, vec![dataset.to_owned()], n_chunks as u32, n_ctx as u32)
}

/// The text's tokens: enough for a chunk.
fn tokens(model: &Model, text: &str, options: &ImatrixOptions) -> Result<Vec<i32>> {
    let encoding = EncodeOptions { add_special: true, parse_special: options.parse_special };
    // The line end at the end of a file is none of the text's.
    let text = text.strip_suffix('\n').unwrap_or(text);
    let tokens = Tokenizer::new(model).encode(text, encoding)?;
    let n_ctx = options.n_ctx as usize;
    if tokens.len() < n_ctx {
        bail!(
            TextTooShort,
            "the text has {} tokens, and a chunk {n_ctx}; give a longer text (some hundred chunks are usual) or a smaller \
             n_ctx",
            tokens.len()
        )
    }
    Ok(tokens)
}

/// A context that watches the weights, and how many tokens it takes at a time.
fn observer(model: &Model, options: &ImatrixOptions) -> Result<(Observer, usize)> {
    // Where every token sees every other, a chunk is read at once.
    let key = format!("{}.attention.causal", model.info().architecture);
    let at_once = model.files().gguf().bool(&key)? == Some(false);
    let session = SessionOptions {
        n_ctx: Auto::Value(options.n_ctx),
        n_ubatch: if at_once { options.n_ctx } else { options.n_ubatch },
        n_threads: options.n_threads,
        ..SessionOptions::default()
    };
    let mut params = plan::context_params(model, &session)?;
    if at_once {
        params.work = Work::Embed { pooling: Pooling::None, n_texts: 1 };
    } else {
        let row = 4 * model.info().tokenizer.n_vocab.max(1);
        params.n_ubatch = params.n_ubatch.min((LOGITS_BYTES / row).max(1));
    }
    params.n_outputs = params.n_ubatch;
    plan::ensure_fits(model, &session, &params)?;
    let mut wanted: HashSet<String> = HashSet::new();
    for tensor in model.files().tensors() {
        let is_output = options.process_output && OUTPUT.contains(&tensor.name.as_str());
        if tensor.name.starts_with("blk.") || is_output {
            wanted.insert(tensor.name.clone());
        }
    }
    let mut observer = Observer::new(model.raw(), &params, wanted)?;
    observer.set_threads(plan::n_threads(options.n_threads))?;
    Ok((observer, params.n_ubatch as usize))
}
