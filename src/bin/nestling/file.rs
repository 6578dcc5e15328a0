//! Files that a command writes: whole or not at all, and never in the place of a device.

use std::io;
use std::path::{Path, PathBuf};

use nestling::{Code, Error};
use tempfile::NamedTempFile;

use crate::failure::{Failure, Outcome};

/// Writes a file beside `path` that is then renamed to it; only its owner can read it. `doing` is for the messages:
/// "writing the history".
pub fn replace(
    path: &Path,
    doing: &str,
    write: impl FnOnce(&mut NamedTempFile) -> io::Result<()>,
) -> Outcome {
    let io = |e: io::Error| Error::io(&e, doing).with_path(path);
    let target = target(path, doing)?;
    let mut file = NamedTempFile::new_in(folder(&target)).map_err(io)?;
    write(&mut file).map_err(io)?;
    file.as_file().sync_all().map_err(io)?;
    file.persist(&target).map_err(|e| io(e.error))?;
    Ok(())
}

/// Whether [`replace`] could write there now, so that hours of work are not lost for a typing error.
pub fn check(path: &Path, doing: &str) -> Outcome {
    let target = target(path, doing)?;
    NamedTempFile::new_in(folder(&target))
        .map_err(|e| Error::io(&e, format!("{doing} there")).with_path(path))?;
    Ok(())
}

/// What a rename replaces: a link's own target, but no device and no pipe.
fn target(path: &Path, doing: &str) -> Outcome<PathBuf> {
    match std::fs::metadata(path) {
        Ok(there) if !there.is_file() => Err(Failure::new(
            Code::NotAFile,
            format!(
                "{}: {doing}: this is not a regular file; give the path of a regular file",
                path.display()
            ),
        )),
        Ok(_) if path.is_symlink() => {
            Ok(std::fs::canonicalize(path).map_err(|e| Error::io(&e, doing).with_path(path))?)
        }
        _ => Ok(path.to_owned()),
    }
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
