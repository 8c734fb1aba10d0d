//! Strips symbols from libraries: a fifth of libtorch.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::SystemTime;

use super::digest::{digest, hex};
use crate::prune;
use diagnostics::eprint_line;

/// Folder of stripped libraries.
fn folder(target: &Path) -> PathBuf {
    target.join("trainyard/stripped")
}

/// Returns the stripped library, cached in the target folder; the library itself if `strip` is
/// missing, which costs only space.
pub(crate) fn stripped(library: &Path, target: &Path) -> io::Result<PathBuf> {
    let kept = folder(target).join(key(library)?);
    if kept.is_file() {
        prune::touch(&kept);
        return Ok(kept);
    }
    fs::create_dir_all(folder(target))?;
    let partial = tempfile::NamedTempFile::new_in(folder(target))?.into_temp_path();
    let status = Command::new("strip")
        .args(["--strip-unneeded", "-o"])
        .arg(&partial)
        .arg(library)
        .stdin(Stdio::null())
        .status();
    match status {
        Ok(status) if status.success() => {
            partial.persist(&kept)?;
            prune::prune(&folder(target), |name| {
                name.split_once('-').map(|(_, library)| library)
            });
            Ok(kept)
        }
        Ok(status) => {
            eprint_line(format!(
                "`strip {}` failed ({status}): it goes into the image unstripped",
                library.display()
            ));
            Ok(library.to_owned())
        }
        Err(error) => {
            eprint_line(format!(
                "cannot start `strip` ({error}): `{}` goes into the image unstripped; install binutils for a smaller image",
                library.display()
            ));
            Ok(library.to_owned())
        }
    }
}

/// Returns the cache key from path, size and time: hashing the file would take longer than
/// stripping saves.
fn key(library: &Path) -> io::Result<String> {
    let real = fs::canonicalize(library)?;
    let found = real.metadata()?;
    let changed = found.modified()?.duration_since(SystemTime::UNIX_EPOCH);
    let changed = changed.unwrap_or_default().as_nanos();
    let text = format!("{}\n{}\n{changed}", real.display(), found.len());
    let name = library.file_name().unwrap_or_default().to_string_lossy();
    Ok(format!("{}-{name}", &hex(&digest(text.as_bytes()))[..16]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stripped_program_is_smaller_and_cached() {
        let target = tempfile::tempdir().expect("a temporary folder");
        let own = std::env::current_exe().expect("a path");
        let first =
            stripped(&own, target.path()).expect("binutils are there, the compiler needs them");
        let size = |path: &Path| fs::metadata(path).expect("a file").len();
        assert!(size(&first) < size(&own), "{}", first.display());
        // What is there is used: nothing strips these bytes.
        fs::write(&first, b"kept").expect("it can be written");
        let again = stripped(&own, target.path()).expect("kept");
        assert_eq!(fs::read(again).expect("a file"), b"kept");
    }
}
