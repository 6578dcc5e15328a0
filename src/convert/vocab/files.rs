//! The files of a checkpoint's tokenizer, read whole.

use std::path::Path;

use serde_json::Value as Json;

use crate::error::{Code, Context, Result, bail, err};
use crate::format::Source;

/// The largest tokenizers have some ten million bytes.
const MAX_BYTES: u64 = 1 << 30;

/// A file's bytes; `None` where there is no such file.
pub(super) fn bytes(dir: &Path, name: &str) -> Result<Option<Vec<u8>>> {
    let path = dir.join(name);
    let opened = match Source::path(&path).open() {
        Ok(opened) => opened,
        Err(e) if e.code() == Code::NotFound => return Ok(None),
        Err(e) => return Err(e.with_path(path)),
    };
    if opened.length() > MAX_BYTES {
        bail!(
            TokenizerFiles,
            "{} has {} bytes: no tokenizer does",
            path.display(),
            opened.length()
        );
    }
    let mut bytes = vec![0; usize::try_from(opened.length()).unwrap_or_default()];
    opened.read_exact_at(&mut bytes, 0).with_path(path)?;
    Ok(Some(bytes))
}

/// A file's text; `None` where there is no such file.
pub(super) fn text(dir: &Path, name: &str) -> Result<Option<String>> {
    let Some(bytes) = bytes(dir, name)? else { return Ok(None) };
    let text = String::from_utf8(bytes).map_err(|e| {
        err!(TokenizerFiles, "{} is not UTF-8: {e}; get it again", dir.join(name).display())
    })?;
    Ok(Some(text))
}

/// A file's JSON; `None` where there is no such file.
pub(super) fn json(dir: &Path, name: &str) -> Result<Option<Json>> {
    let Some(bytes) = bytes(dir, name)? else { return Ok(None) };
    let json = serde_json::from_slice(&bytes).map_err(|e| {
        err!(TokenizerFiles, "{} is not JSON: {e}; get it again", dir.join(name).display())
    })?;
    Ok(Some(json))
}
