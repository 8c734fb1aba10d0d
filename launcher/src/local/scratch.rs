//! Temporary folders, with a file that identifies the launcher which uses them.

use std::path::{Path, PathBuf};

use diagnostics::Result;
use tempfile::TempDir;

use super::launcher_id;
use crate::util::private_folder;

/// Prefix of the names of temporary folders.
const PREFIX: &str = "trainyard-";

/// File in a temporary folder: the launcher that uses it.
const OWNER_FILE: &str = ".trainyard-launcher";

/// A folder that only its user can read, removed when it is dropped.
#[derive(Debug)]
pub(super) struct Scratch {
    folder: TempDir,
}

impl Scratch {
    pub(super) fn new() -> Result<Self> {
        let folder = private_folder(PREFIX)?;
        write_owner(folder.path());
        Ok(Self { folder })
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Keeps the folder for the user and returns its new path. The new name shows that it is not
    /// an orphan.
    pub(super) fn keep(&mut self) -> PathBuf {
        self.folder.disable_cleanup(true);
        let path = self.folder.path();
        let _ = std::fs::remove_file(path.join(OWNER_FILE));
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let kept = path.with_file_name(format!("kept-{name}"));
        match std::fs::rename(path, &kept) {
            Ok(()) => kept,
            Err(_) => path.to_owned(),
        }
    }
}

/// Best effort: without the file the folder is never reported as an orphan.
fn write_owner(folder: &Path) {
    if let Some(launcher) = launcher_id::current() {
        let _ = std::fs::write(folder.join(OWNER_FILE), launcher);
    }
}

/// Returns temporary folders of launchers that have ended. Folders without an owner file are never
/// among them.
pub(crate) fn orphan_folders() -> Vec<String> {
    let entries = std::fs::read_dir(std::env::temp_dir())
        .into_iter()
        .flatten();
    let is_orphan = |path: &Path| {
        let launcher = std::fs::read_to_string(path.join(OWNER_FILE)).ok()?;
        launcher_id::has_ended(&launcher)
    };
    let mut found: Vec<_> = entries
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(PREFIX))
        .map(|entry| entry.path())
        .filter(|path| is_orphan(path) == Some(true))
        .map(|path| path.to_string_lossy().into_owned())
        .collect();
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owner_file_identifies_this_launcher() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        write_owner(folder.path());
        let launcher = std::fs::read_to_string(folder.path().join(OWNER_FILE)).expect("written");
        assert_eq!(launcher_id::has_ended(&launcher), Some(false));
    }
}
