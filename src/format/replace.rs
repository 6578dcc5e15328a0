//! Writes a file whole or not at all.

use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};

use super::flushing::Flushing;
use crate::error::{Context, Error, Result, bail, err};

/// Writes a file beside `path`, brings it to the disk, then renames it to `path`: whatever happens, `path`
/// holds the old content or the new one. On Unix only the user can read it (mode 0600): it may hold what the user
/// wrote. `doing` is for the messages: "writing the GGUF file".
///
/// # Errors
/// Those of files, `NotAFile` for a device or a pipe, and those of `write`; the old file is untouched then.
pub(crate) fn replace_file(
    path: &Path,
    doing: &str,
    write: impl FnOnce(&mut BufWriter<Flushing<'_>>) -> Result<()>,
) -> Result<()> {
    replace(path, doing, tempfile::Builder::new(), write)
}

/// As [`replace_file`], for models, which others may use: on Unix with the permissions that new files usually get.
///
/// # Errors
/// As [`replace_file`].
pub(crate) fn replace_model(
    path: &Path,
    doing: &str,
    write: impl FnOnce(&mut BufWriter<Flushing<'_>>) -> Result<()>,
) -> Result<()> {
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    let everybody: std::fs::Permissions = std::os::unix::fs::PermissionsExt::from_mode(0o666);
    // The process's umask takes from this.
    #[cfg(unix)]
    builder.permissions(everybody);
    replace(path, doing, builder, write)
}

fn replace(
    path: &Path,
    doing: &str,
    mut temporary: tempfile::Builder<'_, '_>,
    write: impl FnOnce(&mut BufWriter<Flushing<'_>>) -> Result<()>,
) -> Result<()> {
    let io = |e: &io::Error| Error::io(e, doing).with_path(path);
    let target = target(path, doing).with_path(path)?;
    let directory = match target.parent() {
        Some(p) if !p.as_os_str().is_empty() => p,
        _ => Path::new("."),
    };
    let mut file = temporary.prefix(".nestling-").tempfile_in(directory).map_err(|e| io(&e))?;
    let mut out = BufWriter::new(Flushing::new(file.as_file_mut()));
    write(&mut out).with_path(path)?;
    let out = out.into_inner().map_err(|e| io(e.error()))?;
    out.finish().map_err(|e| io(&e))?;
    file.persist(&target).map_err(|e| io(&e.error))?;
    Ok(())
}

/// Refuses to write where the user cannot mean it: over one of the files that are read, or over any file unless `force`.
///
/// # Errors
/// `OutputIsInput`, `OutputExists`.
pub(crate) fn check_output(path: &Path, force: bool, inputs: &[&Path]) -> Result<()> {
    let Ok(there) = std::fs::canonicalize(path) else { return Ok(()) };
    if inputs.iter().any(|input| std::fs::canonicalize(input).is_ok_and(|input| input == there)) {
        let text = "this file is read and cannot be written, too; give another output";
        return Err(err!(OutputIsInput, "{text}").with_path(path));
    }
    if !force {
        let text = "this file is there already; give another output, or say that it may be replaced (force)";
        return Err(err!(OutputExists, "{text}").with_path(path));
    }
    Ok(())
}

/// The file that `path` names, whether it is there or not yet: a link stays, and what it leads to is replaced. A rename
/// would put a file in the place of anything else, such as `/dev/null`.
fn target(path: &Path, doing: &str) -> Result<PathBuf> {
    match std::fs::metadata(path) {
        Ok(there) if !there.is_file() => {
            bail!(NotAFile, "{doing}: this is not a regular file; give the path of a regular file")
        }
        Ok(_) if path.is_symlink() => std::fs::canonicalize(path).map_err(|e| Error::io(&e, doing)),
        _ => Ok(path.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;
    use std::io::Write as _;

    #[test]
    fn a_write_that_fails_half_way_leaves_the_old_file_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        std::fs::write(&path, "old").unwrap();
        let full = io::Error::from(io::ErrorKind::StorageFull);
        let error = replace_file(&path, "writing", |out| {
            out.write_all(&[0; 1 << 20]).unwrap();
            Err(Error::io(&full, "writing"))
        });
        let error = error.unwrap_err();
        assert_eq!(error.code(), Code::Io);
        assert!(
            error.message().contains("file: writing: ") && error.message().contains("free space")
        );
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 1);
    }

    #[test]
    fn an_output_is_neither_an_input_nor_there_unless_forced() {
        let directory = tempfile::tempdir().unwrap();
        let (new, old) = (directory.path().join("new"), directory.path().join("old"));
        std::fs::write(&old, "old").unwrap();
        let around = directory.path().join(".").join("old");
        assert!(check_output(&new, false, &[&old]).is_ok());
        assert!(check_output(&old, true, &[&new]).is_ok());
        assert_eq!(check_output(&old, false, &[]).unwrap_err().code(), Code::OutputExists);
        assert_eq!(check_output(&old, true, &[&around]).unwrap_err().code(), Code::OutputIsInput);
    }

    #[cfg(unix)]
    #[test]
    fn others_may_read_models_and_nothing_else() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let mode = |name: &str| {
            let metadata = std::fs::metadata(directory.path().join(name)).unwrap();
            metadata.permissions().mode() & 0o777
        };
        std::fs::write(directory.path().join("usual"), "").unwrap();
        replace_file(&directory.path().join("own"), "writing", |_| Ok(())).unwrap();
        replace_model(&directory.path().join("model"), "writing", |_| Ok(())).unwrap();
        assert_eq!((mode("own"), mode("model")), (0o600, mode("usual")));
    }

    #[cfg(unix)]
    #[test]
    fn what_is_no_regular_file_is_not_replaced_and_a_link_stays() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        let write = |path: &Path| {
            replace_file(path, "writing", |out| {
                out.write_all(b"new").map_err(|e| Error::io(&e, "writing"))
            })
        };
        let _listener = std::os::unix::net::UnixListener::bind(path("socket")).unwrap();
        std::fs::create_dir(path("folder")).unwrap();
        for name in ["socket", "folder"] {
            let error = write(&path(name)).unwrap_err();
            assert_eq!(error.code(), Code::NotAFile, "{error}");
            assert!(!path(name).is_file());
        }
        std::fs::write(path("file"), "old").unwrap();
        std::os::unix::fs::symlink(path("file"), path("link")).unwrap();
        write(&path("link")).unwrap();
        assert!(path("link").is_symlink());
        assert_eq!(std::fs::read(path("file")).unwrap(), b"new");
    }
}
