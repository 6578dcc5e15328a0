//! The weights of a checkpoint: one safetensors file, or several with an index.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;

use super::config::object;
use crate::error::{Context, Error, Result, bail};
use crate::format::safetensors::{Safetensors, TensorInfo};

const WHOLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

/// All tensors of a checkpoint by name.
pub(super) struct Checkpoint {
    files: Vec<(PathBuf, Arc<Safetensors>)>,
    /// In the order of the files and of their data.
    names: Vec<String>,
    tensors: HashMap<String, (usize, TensorInfo)>,
}

/// A tensor and where it lies.
#[derive(Clone)]
pub(super) struct Found {
    pub file: Arc<Safetensors>,
    pub info: TensorInfo,
}

impl Checkpoint {
    /// Opens the files of a directory and checks that all tensors are there.
    ///
    /// # Errors
    /// `CheckpointFiles` where weights are missing, `CheckpointTensor` where index and files differ, `Safetensors` for a
    /// damaged file, `CheckpointConfig` for a damaged index, and those of files.
    pub fn open(dir: &Path) -> Result<Self> {
        let index = dir.join(INDEX);
        let listed = if index.is_file() { Some(read_index(&index)?) } else { None };
        let names = match &listed {
            Some(map) => map.values().cloned().collect::<BTreeSet<_>>(),
            None if dir.join(WHOLE).is_file() => BTreeSet::from([WHOLE.to_owned()]),
            None => return Err(no_weights(dir)),
        };
        let mut found = Self { files: Vec::new(), names: Vec::new(), tensors: HashMap::new() };
        for name in names {
            found.add(dir.join(&name), &name)?;
        }
        if let Some(listed) = listed {
            found.check_index(&listed)?;
        }
        Ok(found)
    }

    fn add(&mut self, path: PathBuf, name: &str) -> Result<()> {
        if !path.is_file() {
            bail!(
                CheckpointFiles,
                "the file {name} that {INDEX} names is missing; download it again into {}",
                path.parent().unwrap_or(Path::new("")).display()
            )
        }
        let file = Arc::new(Safetensors::open(&path)?);
        let at = self.files.len();
        for (tensor, info) in file.tensors() {
            if self.tensors.insert(tensor.to_owned(), (at, info.clone())).is_some() {
                bail!(
                    CheckpointTensor,
                    "{}: the tensor {tensor} is in another file, too; keep the files of one checkpoint alone",
                    path.display()
                )
            }
            self.names.push(tensor.to_owned());
        }
        self.files.push((path, file));
        Ok(())
    }

    /// Every tensor of the index must be there, in the file that it names.
    fn check_index(&self, listed: &BTreeMap<String, String>) -> Result<()> {
        for (tensor, file) in listed {
            let there = self.tensors.get(tensor).and_then(|(at, _)| self.files.get(*at));
            if there.is_none_or(|(path, _)| !path.ends_with(file)) {
                bail!(
                    CheckpointTensor,
                    "{INDEX} says that the tensor {tensor} is in {file}, but it is not; download the checkpoint again"
                )
            }
        }
        match self.names.iter().find(|name| !listed.contains_key(*name)) {
            None => Ok(()),
            Some(name) => bail!(
                CheckpointTensor,
                "{INDEX} does not list the tensor {name}, which the files hold; download the checkpoint again"
            ),
        }
    }

    /// The files.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().map(|(path, _)| path.as_path())
    }

    /// The tensors' names, in the order of the files.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    /// A tensor.
    pub fn tensor(&self, name: &str) -> Option<Found> {
        let (at, info) = self.tensors.get(name)?;
        let (_, file) = self.files.get(*at)?;
        Some(Found { file: Arc::clone(file), info: info.clone() })
    }
}

/// The file of each tensor.
fn read_index(path: &Path) -> Result<BTreeMap<String, String>> {
    let read = || {
        let index = object(path)?;
        let Some(Value::Object(map)) = index.get("weight_map") else {
            bail!(CheckpointConfig, "the key `weight_map` is no object; download the file again")
        };
        let mut files = BTreeMap::new();
        for (tensor, file) in map {
            // A name alone: an index must not lead out of its directory.
            let Some(file) = file.as_str().filter(|f| !f.is_empty() && !f.contains(['/', '\\']))
            else {
                bail!(
                    CheckpointConfig,
                    "the file of {tensor} is {file}; it must be the name of one beside the index"
                )
            };
            files.insert(tensor.clone(), file.to_owned());
        }
        if files.is_empty() {
            bail!(CheckpointConfig, "the key `weight_map` is empty; download the file again")
        }
        Ok(files)
    };
    read().context(path.display())
}

/// The error for a directory without safetensors, by what is there instead.
fn no_weights(dir: &Path) -> Error {
    let names: Vec<String> = std::fs::read_dir(dir)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    let pickled = names.iter().find(|n| n.starts_with("pytorch_model") && n.ends_with(".bin"));
    let shard = names.iter().find(|n| n.ends_with(".safetensors"));
    let text = match (pickled, shard) {
        (_, Some(shard)) => {
            format!("there is {shard}, but neither {WHOLE} nor {INDEX}; download the index, too")
        }
        (Some(pickled), None) => format!(
            "{pickled} holds pickled Python objects, which can run code and are not read; save the model as safetensors: \
             save_pretrained(..., safe_serialization=True)"
        ),
        (None, None) => format!("there is no {WHOLE}; give the directory of a checkpoint"),
    };
    Error::new(crate::error::Code::CheckpointFiles, text).with_path(dir)
}
