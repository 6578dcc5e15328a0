//! Leaving out of a model file what a task does not need. The result is opened before it takes its name.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use regex_lite::Regex;
use serde::Serialize;

use crate::error::{Code, Error, Result, bail, err};
use crate::format::gguf::{Value, Writer};
use crate::format::{Access, ModelFiles, Source, check_output, replace_model};
use crate::job::Monitor;
use crate::model::Model;
use crate::options::{ModelOptions, Options, PruneOptions, PruneTask};
use crate::quantize::{Piece, stored};

/// Bytes that are copied at a time.
const COPY: u64 = 4 << 20;
/// What only makes logits of the last layer's output.
const HEAD: &[&str] = &["output.weight", "output.bias"];

/// What [`prune`] did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PruneReport {
    /// The file that was written.
    pub path: PathBuf,
    /// The tensors that were left out.
    pub tensors: Vec<String>,
    /// The metadata keys that were left out.
    pub metadata: Vec<String>,
    /// Bytes of the source's files.
    pub bytes_before: u64,
    /// Bytes of the new file.
    pub bytes: u64,
}

/// Writes a model without the tensors and metadata that the options name. `source` may be a split model; the output is one
/// file.
///
/// # Errors
/// `InvalidOption` for a malformed pattern, `InvalidArgument` for one that nothing matches, `TensorNeeded` where the model
/// could not be opened any more, `OutputExists`, `OutputIsInput`, `SourceChanged`, `Cancelled`, the `Gguf...` codes for a bad
/// model, and those of files. The output is as it was then.
pub fn prune(
    source: &Source,
    path: impl AsRef<Path>,
    options: &PruneOptions,
    monitor: &Monitor,
) -> Result<PruneReport> {
    options.validate()?;
    let path = path.as_ref();
    let files = ModelFiles::open(source, Access::Read)?;
    let inputs: Vec<_> = files.parts().iter().filter_map(|part| part.path()).collect();
    check_output(path, options.force, &inputs)?;

    let names: Vec<_> = files.tensors().map(|t| t.name.as_str()).collect();
    let mut tensors = matching(&options.drop, "drop", &names)?;
    if options.task == PruneTask::Embedding {
        tensors.extend(names.iter().filter(|name| HEAD.contains(name)).map(|n| n.to_string()));
    }
    tensors.sort_unstable();
    tensors.dedup();
    let keys: Vec<_> = files.gguf().kv().map(|(key, _)| key).collect();
    let metadata = matching(&options.drop_metadata, "drop_metadata", &keys)?;

    let mut pieces = Vec::new();
    for part in files.parts() {
        for tensor in part.gguf().tensors().iter().filter(|t| !tensors.contains(&t.name)) {
            pieces.push(stored(part.gguf(), tensor)?);
        }
    }
    let kept = |key: &str| !key.starts_with("split.") && !metadata.iter().any(|k| k == key);
    let kv: Vec<_> = files.gguf().kv().filter(|(key, _)| kept(key)).collect();
    write(path, &kv, &pieces, monitor, &[&tensors[..], &metadata].concat())?;
    let io = |e| Error::io(&e, "asking for the file's length").with_path(path);
    Ok(PruneReport {
        path: path.to_owned(),
        bytes: std::fs::metadata(path).map_err(io)?.len(),
        tensors,
        metadata,
        bytes_before: files.length(),
    })
}

/// The names that a pattern of the list matches; each pattern must match one.
fn matching(patterns: &[String], option: &str, names: &[&str]) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for pattern in patterns {
        let regex = Regex::new(pattern).map_err(|e| {
            err!(InvalidOption, "prune option {option}: {pattern:?} is no regular expression: {e}")
        })?;
        let before = found.len();
        found.extend(names.iter().filter(|name| regex.is_match(name)).map(|n| n.to_string()));
        if found.len() == before {
            bail!(
                InvalidArgument,
                "prune option {option}: {pattern:?} matches nothing in the model; `nestling inspect --tensors --metadata` \
                 lists what there is"
            )
        }
    }
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

/// Writes what is left, and opens it before it takes its name.
fn write(
    path: &Path,
    kv: &[(&str, &Value)],
    pieces: &[Piece<'_>],
    monitor: &Monitor,
    dropped: &[String],
) -> Result<()> {
    let all: u64 = pieces.iter().map(|p| p.bytes_as(p.ggml_type).unwrap_or(0)).sum();
    let done = AtomicU64::new(0);
    let copied = |n: u64| {
        let now = done.fetch_add(n, Ordering::Relaxed) + n;
        monitor.report(now as f32 / all.max(1) as f32);
        monitor.cancel().check("writing the model")
    };
    let mut writer = Writer::new();
    for (key, value) in kv {
        writer.set(*key, (*value).clone());
    }
    for piece in pieces {
        let copied = &copied;
        let make = move |out: &mut dyn Write| copy(piece, out, copied);
        writer.tensor_made(&piece.name, &piece.dims, piece.ggml_type, make);
    }
    replace_model(path, "writing the model", |out| {
        copied(0)?;
        writer.write_to(out)?;
        out.flush().map_err(|e| Error::io(&e, "writing the model"))?;
        pieces.iter().try_for_each(|piece| piece.rows.check_unchanged())?;
        open(out.get_ref(), dropped)
    })
}

fn copy(piece: &Piece<'_>, out: &mut dyn Write, copied: &dyn Fn(u64) -> Result<()>) -> Result<()> {
    let total = piece.bytes_as(piece.ggml_type).unwrap_or(0);
    let mut buffer = vec![0u8; COPY.min(total) as usize];
    let mut at = 0;
    while at < total {
        let n = (total - at).min(COPY);
        let chunk = buffer.get_mut(..n as usize).unwrap_or_default();
        piece.rows.read_bytes(at, chunk)?;
        out.write_all(chunk).map_err(|e| Error::io(&e, "writing the tensor"))?;
        at += n;
        copied(n)?;
    }
    Ok(())
}

/// Whether the gate and the engine take the file.
#[cfg(unix)]
fn open(file: &File, dropped: &[String]) -> Result<()> {
    let file = file.try_clone().map_err(|e| Error::io(&e, "opening the new file"))?;
    let options = ModelOptions { vocab_only: true, use_mmap: false, ..ModelOptions::default() };
    let opened = Model::open(Source::file(file, 0, None), &options).and_then(|m| m.hollow());
    match opened {
        Ok(_) => Ok(()),
        Err(e) if matches!(e.code(), Code::OutOfMemory | Code::Io) => Err(e),
        Err(e) => bail!(
            TensorNeeded,
            "without {} the model cannot be opened any more, keep what it needs: {e}",
            dropped.join(", ")
        ),
    }
}

/// Elsewhere the engine opens files by their names only.
#[cfg(not(unix))]
fn open(_: &File, _: &[String]) -> Result<()> {
    Ok(())
}
