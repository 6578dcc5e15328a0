//! Models in several files: `name-00001-of-00003.gguf`.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::files::Part;
use crate::error::{Code, Context, Error, Result, bail, err};
use crate::format::gguf::Gguf;
use crate::format::source::{Access, Source};

/// The most files of one model: five digits in the name, 16 bits in the metadata.
const MAX_PARTS: u16 = 9999;

/// The first part, and all that follow it.
pub(super) fn complete(first: Part, access: Access) -> Result<Vec<Part>> {
    let count = first.gguf().u16("split.count")?.unwrap_or(0);
    if count <= 1 {
        return Ok(vec![first]);
    }
    if count > MAX_PARTS {
        bail!(GgufSplit, "split.count is {count}; at most {MAX_PARTS} parts are possible");
    }
    let number = number(first.gguf())?;
    if number != 0 {
        bail!(
            GgufSplit,
            "this is part {} of {count} of a split model; give its first part",
            u32::from(number) + 1
        );
    }
    let Some(path) = first.path() else {
        bail!(
            GgufSplit,
            "part 1 of a model of {count} files was given as memory or descriptor; give its path, or \
             merge the parts into one file"
        );
    };
    let siblings = siblings(path, count)?;
    let total = first.gguf().i32("split.tensors.count")?.ok_or_else(|| {
        err!(GgufKeyMissing, "split.tensors.count is missing; split the model again")
    })?;
    let mut parts = vec![first];
    for (index, path) in (1..count).zip(siblings) {
        let part = open_part(&path, access).and_then(|part| {
            check_part(part.gguf(), index, count)?;
            Ok(part)
        });
        parts.push(part.with_path(&path)?);
    }
    check_tensors(&parts, total)?;
    Ok(parts)
}

/// The paths of parts 2 and on.
fn siblings(path: &Path, count: u16) -> Result<Vec<PathBuf>> {
    let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
    let Some(prefix) = name.strip_suffix(&format!("-00001-of-{count:05}.gguf")) else {
        bail!(
            GgufSplit,
            "the file says that it is the first of {count}, but its name does not end in \
             -00001-of-{count:05}.gguf; give the parts their names back"
        );
    };
    let sibling = |i: u16| path.with_file_name(format!("{prefix}-{i:05}-of-{count:05}.gguf"));
    Ok((2..=count).map(sibling).collect())
}

fn open_part(path: &Path, access: Access) -> Result<Part> {
    let opened = Source::path(path).open().map_err(|e| match e.code() {
        Code::NotFound => Error::new(
            Code::GgufSplitMissing,
            "this part of a split model is missing; fetch all parts into one folder",
        ),
        _ => e,
    })?;
    Ok(Part::new(Gguf::from_opened(opened, access)?))
}

fn number(gguf: &Gguf) -> Result<u16> {
    gguf.u16("split.no")?
        .ok_or_else(|| err!(GgufKeyMissing, "split.no is missing; split the model again"))
}

fn check_part(gguf: &Gguf, index: u16, count: u16) -> Result<()> {
    let (number, of) = (number(gguf)?, gguf.u16("split.count")?.unwrap_or(0));
    if number != index || of != count {
        bail!(
            GgufSplit,
            "this file says that it is part {} of {of}, but it stands in for part {} of {count}; \
             fetch the model again",
            u32::from(number) + 1,
            u32::from(index) + 1
        );
    }
    Ok(())
}

fn check_tensors(parts: &[Part], total: i32) -> Result<()> {
    let mut names = HashSet::new();
    for t in parts.iter().flat_map(|p| p.gguf().tensors()) {
        if !names.insert(t.name.as_str()) {
            bail!(
                GgufSplit,
                "tensor {} is in two parts, so they are not of one model; fetch it again",
                t.name
            );
        }
    }
    if i64::from(total) != names.len() as i64 {
        bail!(
            GgufSplit,
            "the parts hold {} tensors, but split.tensors.count is {total}; fetch the model again",
            names.len()
        );
    }
    Ok(())
}
