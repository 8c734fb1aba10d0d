//! Atomic folders and files: a reader sees them complete or not at all.
//!
//! A folder that is being written has a name that cannot be guessed and a lock on itself
//! (`flock`), which ends with the process, also in another container. A folder without a lock is
//! that of a killed process.

use std::fs::{self, File, Metadata};
use std::hash::{BuildHasher as _, RandomState};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD, FlockOperation, Mode, OFlags, accessat, flock, open};

use crate::{Error, ErrorKind};

/// Precedes the random digits in the names of folders that are being written. `predict` writes
/// files with other names, so that nothing removes them.
const PARTIAL: &str = ".trainyard-partial-";
/// Hexadecimal digits after [`PARTIAL`].
const RANDOM_DIGITS: usize = 32;
/// Attempts to create a folder: a cleaner may remove it before it is locked.
const MAX_ATTEMPTS: usize = 16;

/// Checks that a folder can be written or created, without writing anything.
///
/// # Errors
/// If the folder, or its nearest existing parent, is not a writable folder.
pub fn check_writable(dir: &Path) -> Result<(), Error> {
    let mut existing = dir;
    while !existing.exists() {
        if existing.is_symlink() {
            let (dir, link) = (dir.display(), existing.display());
            let message =
                format!("cannot write `{dir}`: the target of the link `{link}` is missing");
            let help = "create the target, remove the link, or choose another path";
            return Err(Error::with_kind(ErrorKind::Io, message).help(help));
        }
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
        let path = dir.join(name);
        write_file(&path, bytes).map_err(Error::io("write", &path))?;
    }
    Ok(())
}

/// Replaces a file atomically. Its temporary file is new and has a random name, so a symbolic link
/// that somebody put there is not followed.
///
/// # Errors
/// If the file cannot be written; the old one stays.
pub fn write_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let partial = parent(path).join(format!(".{}.{}", name.to_string_lossy(), random_name()));
    let written = File::create_new(&partial).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&partial, path)
    });
    if written.is_err() {
        // Best effort: the first error is the one to report.
        let _ = fs::remove_file(&partial);
    }
    written
}

/// Writes to a file that cannot be replaced, such as a mounted one. A symbolic link is not
/// followed.
///
/// # Errors
/// If the file cannot be written.
pub fn write_in_place(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let write = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC;
    let flags = write | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    File::from(open(path, flags, Mode::from_raw_mode(0o666))?).write_all(bytes)
}

/// Returns 32 hexadecimal digits that cannot be guessed: the keys of std's hash maps come from the
/// system's random numbers.
pub fn random_name() -> String {
    let [first, second] = [1, 2].map(|number| RandomState::new().hash_one(number));
    format!("{first:016x}{second:016x}")
}

/// A temporary folder that is locked, and removed on drop unless it was renamed.
pub struct Staged {
    path: PathBuf,
    /// Keeps the folder locked; `None` if the file system has no locks.
    _lock: Option<File>,
}

impl Staged {
    /// Creates an empty folder next to `dir` that can replace it by a rename. `None` if `dir` is a
    /// mount point (such as SageMaker's /opt/ml/model) or the current folder, in which a shell may
    /// stand, or if the parent folder is not writable or the owner cannot be kept.
    pub fn next_to(dir: &Path) -> Option<Self> {
        let (parent, prefix) = (parent(dir), partial_prefix(dir)?);
        let Ok(old) = fs::metadata(dir) else {
            return Self::create(parent, &prefix).ok();
        };
        let is_current = fs::metadata(".").is_ok_and(|current| is_same(&current, &old));
        if is_current || fs::metadata(parent).ok()?.dev() != old.dev() {
            return None;
        }
        let staged = Self::create(parent, &prefix).ok()?;
        fs::set_permissions(&staged.path, old.permissions()).ok()?;
        let new = fs::metadata(&staged.path).ok()?;
        if (new.uid(), new.gid()) != (old.uid(), old.gid()) {
            chown(&staged.path, Some(old.uid()), Some(old.gid())).ok()?;
        }
        Some(staged)
    }

    /// Creates an empty folder in `dir`; creates `dir` if necessary.
    ///
    /// # Errors
    /// If a folder cannot be created.
    pub fn inside(dir: &Path) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        Self::create(dir, PARTIAL)
    }

    fn create(parent: &Path, prefix: &str) -> io::Result<Self> {
        for _ in 0..MAX_ATTEMPTS {
            let path = parent.join(format!("{prefix}{}", random_name()));
            fs::create_dir(&path)?;
            if let Ok(lock) = lock(&path) {
                return Ok(Self { path, _lock: lock });
            }
        }
        Err(io::ErrorKind::ResourceBusy.into())
    }

    /// Path of the temporary folder.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        // The folder no longer exists if it was renamed.
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Locks a folder until the returned file is dropped. Returns `None` if its file system has no
/// locks. A symbolic link is not followed.
///
/// # Errors
/// `WouldBlock` if another process has the lock; another error if there is no folder at `path`,
/// also if it was replaced in the meantime.
pub fn lock(path: &Path) -> io::Result<Option<File>> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let folder = File::from(open(path, flags, Mode::empty())?);
    match flock(&folder, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) if is_same(&folder.metadata()?, &fs::symlink_metadata(path)?) => Ok(Some(folder)),
        Ok(()) => Err(io::ErrorKind::NotFound.into()),
        Err(error) if io::Error::from(error).kind() == io::ErrorKind::WouldBlock => {
            Err(io::ErrorKind::WouldBlock.into())
        }
        Err(_) => Ok(None),
    }
}

fn is_same(one: &Metadata, other: &Metadata) -> bool {
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

/// Returns the parent folder: `.` for a relative path with one component.
pub fn parent(dir: &Path) -> &Path {
    match dir.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ if dir.is_absolute() => Path::new("/"),
        _ => Path::new("."),
    }
}

/// Returns the prefix of temporary folders next to `dir`.
fn partial_prefix(dir: &Path) -> Option<String> {
    Some(format!(".{}{PARTIAL}", dir.file_name()?.to_str()?))
}

/// Removes temporary folders of killed processes in `dir` and next to it: those that have the name
/// of [`Staged`] and no lock. Best effort: stale folders only waste space.
pub fn remove_stale(dir: &Path) {
    let remove = |folder: &Path, prefix: &str| {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let (name, path) = (entry.file_name(), entry.path());
            let is_partial = name.to_str().is_some_and(|name| is_partial(name, prefix));
            if is_partial && let Ok(Some(_lock)) = lock(&path) {
                let _ = fs::remove_dir_all(path);
            }
        }
    };
    remove(dir, PARTIAL);
    if let Some(prefix) = partial_prefix(dir) {
        remove(parent(dir), &prefix);
    }
}

/// True if the folder has a temporary folder: a killed process was writing to it.
pub fn has_partial(dir: &Path) -> bool {
    let mut entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.any(|entry| {
        let name = entry.file_name();
        name.to_str().is_some_and(|name| is_partial(name, PARTIAL))
    })
}

fn is_partial(name: &str, prefix: &str) -> bool {
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    let digits = name.strip_prefix(prefix);
    digits.is_some_and(|digits| digits.len() == RANDOM_DIGITS && digits.bytes().all(is_digit))
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

#[cfg(test)]
mod attacks {
    use std::os::unix::fs::symlink;

    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let names = fs::read_dir(dir).unwrap();
        let mut names: Vec<_> = names
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    /// ATTACK F2: a folder of a living process is locked, whatever its process id means here.
    #[test]
    fn only_folders_without_lock_are_stale() {
        let home = tempfile::tempdir().unwrap();
        let model = home.path().join("model");
        let (next, inside) = (Staged::next_to(&model), Staged::inside(&model));
        let (next, inside) = (next.unwrap(), inside.unwrap());
        remove_stale(&model);
        assert!(next.path().is_dir() && inside.path().is_dir());
        // A killed process: its lock is gone, its folder stays.
        for staged in [next, inside] {
            let killed = staged.path().to_owned();
            drop(staged);
            fs::create_dir(&killed).unwrap();
            fs::write(killed.join("weights"), "half").unwrap();
        }
        remove_stale(&model);
        assert_eq!(names(home.path()), ["model"]);
        assert!(names(&model).is_empty());
    }

    /// ATTACK F3: folders and files of other programs stay.
    #[test]
    fn names_of_others_stay() {
        let home = tempfile::tempdir().unwrap();
        let digits = random_name();
        let others = [
            ".partial-123456".to_owned(),
            ".partial-abc".to_owned(),
            format!("{PARTIAL}1"),
            format!("{PARTIAL}{digits}.csv"),
        ];
        for name in &others {
            fs::create_dir(home.path().join(name)).unwrap();
        }
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("file"), "").unwrap();
        let link = home.path().join(format!("{PARTIAL}{digits}"));
        symlink(outside.path(), &link).unwrap();
        remove_stale(home.path());
        assert_eq!(names(home.path()).len(), others.len() + 1);
        assert_eq!(names(outside.path()), ["file"]);
    }

    /// ATTACK F12: a symbolic link that somebody planted is replaced, not followed.
    #[test]
    fn planted_links_are_not_followed() {
        let home = tempfile::tempdir().unwrap();
        let target = home.path().join("target");
        fs::write(&target, "precious").unwrap();
        for name in [".metrics.json.partial", "metrics.json"] {
            symlink(&target, home.path().join(name)).unwrap();
        }
        write_files(home.path(), &[("metrics.json", b"{}".to_vec())]).unwrap();
        assert_eq!(fs::read_to_string(&target).unwrap(), "precious");
        let written = fs::symlink_metadata(home.path().join("metrics.json")).unwrap();
        assert!(written.is_file());
        assert_eq!(names(home.path()).len(), 3);
    }

    #[test]
    fn random_names_differ() {
        let names: std::collections::BTreeSet<String> = (0..1000).map(|_| random_name()).collect();
        assert_eq!(names.len(), 1000);
        assert!(names.iter().all(|name| name.len() == RANDOM_DIGITS));
    }
}
