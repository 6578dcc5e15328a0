//! Leaving out of a model file what a task does not need. The result is opened before it takes its name.

use std::fs::File;
use std::path::{Path, PathBuf};

use regex_lite::Regex;
use serde::Serialize;

use crate::error::{Code, Error, Result, bail, err};
use crate::format::{Access, ModelFiles, Source, check_output};
use crate::job::Monitor;
use crate::model::Model;
use crate::options::{ModelOptions, Options, PruneOptions, PruneTask};
use crate::quantize::{Contents, whole, write_model};

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

    let (mut kv, mut pieces) = whole(&files)?;
    kv.retain(|(key, _)| !metadata.contains(key));
    pieces.retain(|piece| !tensors.contains(&piece.name));
    let types: Vec<_> = pieces.iter().map(|piece| piece.ggml_type).collect();
    let contents = Contents { kv: &kv, pieces: &pieces, types: &types, importances: &|_| None };
    let dropped = [&tensors[..], &metadata].concat();
    write_model(path, &contents, 1, |file| open(file, &dropped), monitor)?;
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
