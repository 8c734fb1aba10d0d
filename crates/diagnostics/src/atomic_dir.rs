//! Atomic folders and files: a reader sees them complete or not at all.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD, accessat};
use rustix::process::{Pid, test_kill_process};

use crate::Error;

/// Precedes the process id in the names of folders that are being written.
pub const PARTIAL: &str = ".partial-";

/// Checks that a folder can be written or created, without writing anything.
///
/// # Errors
/// If the folder, or its nearest existing parent, is not a writable folder.
pub fn check_writable(dir: &Path) -> Result<(), Error> {
    let mut existing = dir;
    while !existing.exists() {
        existing = parent(existing);
    }
    if !existing.is_dir() {
        return Err(Error::io("write", dir)(io::ErrorKind::NotADirectory.into()));
    }
    // Checks the effective user, which is the one that will write.
    accessat(
        CWD,
        existing,
        Access::WRITE_OK | Access::EXEC_OK,
        AtFlags::EACCESS,
    )
    .map_err(|error| Error::io("write", dir)(error.into()))
}

/// Writes files given as (name, content), each atomically. Creates `dir` if necessary.
///
/// # Errors
/// If the folder cannot be created or a file cannot be written.
pub fn write_files(dir: &Path, files: &[(&str, Vec<u8>)]) -> Result<(), Error> {
    fs::create_dir_all(dir).map_err(Error::io("create", dir))?;
    for (name, bytes) in files {
        let (path, partial) = (dir.join(name), dir.join(format!(".{name}.partial")));
        let written = File::create(&partial).and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&partial, &path)
        });
        if written.is_err() {
            // Best effort: the first error is the one to report.
            let _ = fs::remove_file(&partial);
        }
        written.map_err(Error::io("write", &path))?;
    }
    Ok(())
}

/// A temporary folder that is removed on drop, unless it was renamed.
pub struct Staged(PathBuf);

impl Staged {
    /// Creates an empty folder next to `dir` that can replace it by a rename. `None` if `dir` is a
    /// mount point (such as SageMaker's /opt/ml/model), or if the parent folder is not writable or
    /// the owner cannot be kept.
    pub fn next_to(dir: &Path) -> Option<Self> {
        let parent = parent(dir);
        let staged = Self(parent.join(format!("{}{}", partial_prefix(dir)?, std::process::id())));
        let Ok(old) = fs::metadata(dir) else {
            return staged.create().ok();
        };
        if fs::metadata(parent).ok()?.dev() != old.dev() {
            return None;
        }
        let staged = staged.create().ok()?;
        fs::set_permissions(&staged.0, old.permissions()).ok()?;
        let new = fs::metadata(&staged.0).ok()?;
        if (new.uid(), new.gid()) != (old.uid(), old.gid()) {
            chown(&staged.0, Some(old.uid()), Some(old.gid())).ok()?;
        }
        Some(staged)
    }

    /// Creates an empty folder in `dir`; creates `dir` if necessary.
    ///
    /// # Errors
    /// If a folder cannot be created.
    pub fn inside(dir: &Path) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        Self(dir.join(format!("{PARTIAL}{}", std::process::id()))).create()
    }

    fn create(self) -> io::Result<Self> {
        fs::create_dir(&self.0)?;
        Ok(self)
    }

    /// Path of the temporary folder.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        // The folder no longer exists if it was renamed.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Returns the parent folder: `.` for a relative path with one component.
pub fn parent(dir: &Path) -> &Path {
    match dir.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ if dir.is_absolute() => Path::new("/"),
        _ => Path::new("."),
    }
}

/// Returns `.NAME.partial-`, the prefix of temporary folders next to `dir`.
fn partial_prefix(dir: &Path) -> Option<String> {
    Some(format!(".{}{PARTIAL}", dir.file_name()?.to_str()?))
}

/// Removes temporary folders of killed processes. Best effort: stale folders only waste space.
pub fn remove_stale(dir: &Path) {
    let remove = |folder: &Path, prefix: &str| {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            if is_stale(&entry.file_name(), prefix) {
                let _ = fs::remove_dir_all(entry.path());
            }
        }
    };
    remove(dir, PARTIAL);
    if let Some(prefix) = partial_prefix(dir) {
        remove(parent(dir), &prefix);
    }
}

/// Like [`remove_stale`], for a folder that this process has locked: all temporary folders are
/// stale, also those of another container's process 1 or of another machine.
pub fn remove_stale_locked(dir: &Path) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if pid(&entry.file_name(), PARTIAL).is_some() {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// Returns the process id in a name.
fn pid(name: &OsStr, prefix: &str) -> Option<Pid> {
    let digits = name.to_str()?.strip_prefix(prefix)?;
    digits.parse().ok().and_then(Pid::from_raw)
}

/// True if the name has the id of a process that does not exist, or of this one: in a container
/// every trainer is process 1.
fn is_stale(name: &OsStr, prefix: &str) -> bool {
    pid(name, prefix).is_some_and(|pid| {
        pid == rustix::process::getpid() || test_kill_process(pid) == Err(rustix::io::Errno::SRCH)
    })
}

/// Flushes a folder and its files to disk.
///
/// # Errors
/// If the folder or a file cannot be opened or flushed.
pub fn sync(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        File::open(entry?.path())?.sync_all()?;
    }
    File::open(dir)?.sync_all()
}
