//! Writes a file whole or not at all.

use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::Path;

use crate::error::{Context, Error, Result};

/// Writes a file beside `path`, brings it to the disk, then renames it to `path`: whatever happens, `path`
/// holds the old content or the new one. On Unix only the user can read it (mode 0600). `doing` is for the
/// messages: "writing the GGUF file".
///
/// # Errors
/// Those of files, and those of `write`; the old file is untouched then.
pub(crate) fn replace_file(
    path: &Path,
    doing: &str,
    write: impl FnOnce(&mut BufWriter<&mut File>) -> Result<()>,
) -> Result<()> {
    let io = |e: &io::Error| Error::io(e, doing).with_path(path);
    let directory = match path.parent() {
        Some(p) if !p.as_os_str().is_empty() => p,
        _ => Path::new("."),
    };
    let mut file =
        tempfile::Builder::new().prefix(".nestling-").tempfile_in(directory).map_err(|e| io(&e))?;
    let mut out = BufWriter::new(file.as_file_mut());
    write(&mut out).with_path(path)?;
    out.flush().map_err(|e| io(&e))?;
    drop(out);
    file.as_file().sync_all().map_err(|e| io(&e))?;
    file.persist(path).map_err(|e| io(&e.error))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;

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
}
