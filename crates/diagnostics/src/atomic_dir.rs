//! Folders and files that appear whole or not at all.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD, accessat};
use rustix::process::{Pid, test_kill_process};

use crate::Error;

/// Precedes the process number in the names of folders that are being written.
pub const PARTIAL: &str = ".partial-";

/// Fails where nothing could be written into a folder, and leaves no trace.
pub fn accessible(dir: &Path) -> Result<(), Error> {
    let mut there = dir;
    while !there.exists() {
        there = parent(there);
    }
    if !there.is_dir() {
        return Err(Error::io("write", dir)(io::ErrorKind::NotADirectory.into()));
    }
    // With the effective user, which is the one that will write.
    accessat(
        CWD,
        there,
        Access::WRITE_OK | Access::EXEC_OK,
        AtFlags::EACCESS,
    )
    .map_err(|error| Error::io("write", dir)(error.into()))
}

/// Writes single files, each whole or not at all.
pub fn files(dir: &Path, files: &[(&str, Vec<u8>)]) -> Result<(), Error> {
    fs::create_dir_all(dir).map_err(Error::io("create", dir))?;
    for (name, bytes) in files {
        let (path, partial) = (dir.join(name), dir.join(format!(".{name}.partial")));
        let written = File::create(&partial).and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&partial, &path)
        });
        if written.is_err() {
            // The error that matters is the first one.
            let _ = fs::remove_file(&partial);
        }
        written.map_err(Error::io("write", &path))?;
    }
    Ok(())
}

/// A folder of ours that is removed if it is still there in the end.
pub struct Staged(PathBuf);

impl Staged {
    /// An empty folder beside `dir`, which can take its place whole. None if `dir` is a mount point (as SageMaker's
    /// /opt/ml/model is), or if nothing may be written beside it, or not with the same owner.
    pub fn beside(dir: &Path) -> Option<Self> {
        let parent = parent(dir);
        let staged = Self(parent.join(format!("{}{}", beside_prefix(dir)?, std::process::id())));
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

    /// An empty folder in `dir`, which is made if there is none.
    pub fn inside(dir: &Path) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        Self(dir.join(format!("{PARTIAL}{}", std::process::id()))).create()
    }

    fn create(self) -> io::Result<Self> {
        fs::create_dir(&self.0)?;
        Ok(self)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        // Gone already where the model took its place.
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub fn parent(dir: &Path) -> &Path {
    match dir.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ if dir.is_absolute() => Path::new("/"),
        _ => Path::new("."),
    }
}

/// `.NAME.partial-`: how folders beside `dir` begin that are to become `dir`.
fn beside_prefix(dir: &Path) -> Option<String> {
    Some(format!(".{}{PARTIAL}", dir.file_name()?.to_str()?))
}

/// Removes what killed processes left behind. It is in nobody's way but takes room, so an error is no failure.
pub fn remove_stale(dir: &Path) {
    let remove = |folder: &Path, prefix: &str| {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            if left_behind(&entry.file_name(), prefix) {
                let _ = fs::remove_dir_all(entry.path());
            }
        }
    };
    remove(dir, PARTIAL);
    if let Some(prefix) = beside_prefix(dir) {
        remove(parent(dir), &prefix);
    }
}

/// As [`remove_stale`], in a folder that this process has locked: there every number is that of a process that is gone, such
/// as process 1 of the container before, or of another machine.
pub fn remove_stale_locked(dir: &Path) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if pid(&entry.file_name(), PARTIAL).is_some() {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// The number of the process in a name.
fn pid(name: &OsStr, prefix: &str) -> Option<Pid> {
    let digits = name.to_str()?.strip_prefix(prefix)?;
    digits.parse().ok().and_then(Pid::from_raw)
}

/// Whether the name ends in the number of a process that is gone, or of this one: in a container every trainer is
/// process 1.
fn left_behind(name: &OsStr, prefix: &str) -> bool {
    pid(name, prefix).is_some_and(|pid| {
        pid == rustix::process::getpid() || test_kill_process(pid) == Err(rustix::io::Errno::SRCH)
    })
}

pub fn sync(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        File::open(entry?.path())?.sync_all()?;
    }
    File::open(dir)?.sync_all()
}
