//! Writing a model folder so that a crash never leaves half a model.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD, RenameFlags, accessat, renameat_with};
use rustix::process::{Pid, test_kill_process};

use crate::{Failure, report, sums};

/// The file without which a folder is no model: where files are replaced one by one, it is removed first and written
/// last.
pub(crate) const MARKER: &str = "config.json";
/// What an earlier model's folder may hold that speaks of that model alone.
const STALE: [&str; 3] = [MARKER, "metrics.json", "report.html"];
/// In the names of folders that are being written, before the number of the process.
const PARTIAL: &str = ".partial-";

/// Fails early where a model could not be written in the end, and leaves no trace.
pub(crate) fn writable(dir: &Path) -> Result<(), Failure> {
    if let Ok(bytes) = fs::read(dir.join(MARKER))
        && !is_ours(&bytes)
    {
        return Err(Failure::other(
            format!(
                "expected `{MARKER}` in `{}` to be that of a model, found another file",
                dir.display()
            ),
            "choose another --model-dir: this file would be replaced",
        ));
    }
    accessible(dir)
}

/// Fails where nothing could be written into a folder, and leaves no trace.
pub(crate) fn accessible(dir: &Path) -> Result<(), Failure> {
    let mut there = dir;
    while !there.exists() {
        there = parent(there);
    }
    if !there.is_dir() {
        return Err(Failure::io("write", dir)(
            io::ErrorKind::NotADirectory.into(),
        ));
    }
    // With the effective user, which is the one that will write.
    accessat(
        CWD,
        there,
        Access::WRITE_OK | Access::EXEC_OK,
        AtFlags::EACCESS,
    )
    .map_err(|error| Failure::io("write", dir)(error.into()))
}

/// Whether a `config.json` was written by a trainer of this house.
fn is_ours(bytes: &[u8]) -> bool {
    let config: Result<serde_json::Value, _> = serde_json::from_slice(bytes);
    let format = config
        .as_ref()
        .ok()
        .and_then(|config| config.get("format")?.as_str());
    format.is_some_and(|format| format.starts_with("trainyard-"))
}

/// Writes a model: `write` fills an empty folder, `extra` files are added, everything is synced, and only then it
/// takes its place, in one step wherever the file system has such a step.
pub(crate) fn model(
    dir: &Path,
    extra: &[(&str, Vec<u8>)],
    write: impl Fn(&Path) -> Result<(), Failure>,
) -> Result<(), Failure> {
    // A link to a folder stays: what it points to is replaced.
    let real = fs::canonicalize(dir).unwrap_or_else(|_| dir.to_owned());
    sweep(&real);
    let fill = |staged: &Path| {
        write(staged)?;
        sums::seal(staged, MARKER)?;
        for (name, bytes) in extra {
            let path = staged.join(name);
            fs::write(&path, bytes).map_err(Failure::io("write", &path))?;
        }
        sync(staged).map_err(Failure::io("write", dir))
    };
    if !real.exists() {
        let parent = parent(&real);
        fs::create_dir_all(parent).map_err(Failure::io("create", parent))?;
    }
    if let Some(staged) = Staged::beside(&real) {
        fill(&staged.0)?;
        if place_whole(&staged.0, &real).is_ok() {
            return Ok(());
        }
    }
    let staged = Staged::inside(&real).map_err(Failure::io("write", dir))?;
    fill(&staged.0)?;
    place_files(&staged.0, &real).map_err(Failure::io("write", dir))
}

/// Removes the report of an earlier run, which would stand beside the numbers of another one.
pub(crate) fn forget_report(path: &Path) -> Result<(), Failure> {
    let ours = fs::read(path).is_ok_and(|bytes| bytes.starts_with(report::START.as_bytes()));
    match ours.then(|| fs::remove_file(path)) {
        Some(Err(error)) => Err(Failure::io("remove", path)(error)),
        _ => Ok(()),
    }
}

/// Writes single files, each whole or not at all.
pub(crate) fn files(dir: &Path, files: &[(&str, Vec<u8>)]) -> Result<(), Failure> {
    fs::create_dir_all(dir).map_err(Failure::io("create", dir))?;
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
        written.map_err(Failure::io("write", &path))?;
    }
    Ok(())
}

/// A folder of ours that is removed if it is still there in the end.
pub(crate) struct Staged(PathBuf);

impl Staged {
    /// An empty folder beside `dir`, which can take its place whole. None if `dir` is a mount point (as SageMaker's
    /// /opt/ml/model is), or if nothing may be written beside it, or not with the same owner.
    fn beside(dir: &Path) -> Option<Self> {
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
    pub(crate) fn inside(dir: &Path) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        Self(dir.join(format!("{PARTIAL}{}", std::process::id()))).create()
    }

    fn create(self) -> io::Result<Self> {
        fs::create_dir(&self.0)?;
        Ok(self)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        // Gone already where the model took its place.
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub(crate) fn parent(dir: &Path) -> &Path {
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
fn sweep(dir: &Path) {
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

/// As [`sweep`], in a folder that this process has locked: there every number is that of a process that is gone, such
/// as process 1 of the container before, or of another machine.
pub(crate) fn sweep_locked(dir: &Path) {
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

pub(crate) fn sync(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        File::open(entry?.path())?.sync_all()?;
    }
    File::open(dir)?.sync_all()
}

/// The new folder appears, or changes places with the old one, in one step. An error means that nothing has changed.
fn place_whole(staged: &Path, dir: &Path) -> io::Result<()> {
    if !dir.exists() {
        fs::rename(staged, dir)?;
    } else if holds_foreign(dir, staged)? {
        return Err(io::ErrorKind::DirectoryNotEmpty.into());
    } else {
        renameat_with(CWD, staged, CWD, dir, RenameFlags::EXCHANGE)?;
    }
    // The model is there; that it stays after a power cut is all that this could still add.
    let _ = File::open(parent(dir)).and_then(|parent| parent.sync_all());
    Ok(())
}

/// Whether the old folder has files that no model has: they are the user's, and stay where they are.
fn holds_foreign(dir: &Path, staged: &Path) -> io::Result<bool> {
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name();
        let ours = STALE.iter().any(|&stale| name == stale) || staged.join(&name).exists();
        if !ours && !name.to_string_lossy().starts_with(PARTIAL) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The new files replace the old ones one by one; without its marker the folder is no model in the meantime.
fn place_files(staged: &Path, dir: &Path) -> io::Result<()> {
    for name in STALE {
        match fs::remove_file(dir.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    File::open(dir)?.sync_all()?;
    let mut names: Vec<_> = fs::read_dir(staged)?
        .map(|entry| Ok(entry?.file_name()))
        .collect::<io::Result<_>>()?;
    names.sort_by_key(|name| (name == MARKER, name.clone()));
    for name in names {
        if name == MARKER {
            // The marker must not reach the disk before what it vouches for.
            File::open(dir)?.sync_all()?;
        }
        fs::rename(staged.join(&name), dir.join(&name))?;
    }
    File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_config_of_the_user_is_not_replaced() {
        let home = tempfile::tempdir().unwrap();
        assert!(writable(home.path()).is_ok());
        let config = home.path().join(MARKER);
        for (text, ours) in [
            (r#"{"format": "trainyard-svm"}"#, true),
            (r#"{"format": "mine"}"#, false),
            ("not json", false),
        ] {
            fs::write(&config, text).unwrap();
            assert_eq!(writable(home.path()).is_ok(), ours, "{text}");
        }
    }

    fn config(word: &str) -> String {
        format!("{{\n  \"word\": \"{word}\"\n}}\n")
    }

    /// The word of the model that lies there.
    fn word(dir: &Path) -> String {
        sums::check_model(dir, MARKER).unwrap();
        let config: serde_json::Value =
            serde_json::from_slice(&fs::read(dir.join(MARKER)).unwrap()).unwrap();
        config["word"].as_str().unwrap().to_owned()
    }

    fn save(dir: &Path, word: &str) {
        model(dir, &[("metrics.json", word.into())], |staged| {
            fs::write(staged.join("model.safetensors"), word).unwrap();
            fs::write(staged.join(MARKER), config(word)).unwrap();
            Ok(())
        })
        .unwrap();
    }

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(dir)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_new_folder_an_old_one_and_a_link() {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("deep/model");
        save(&dir, "one");
        let link = home.path().join("link");
        std::os::unix::fs::symlink(&dir, &link).unwrap();
        save(&link, "two");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(word(&dir), "two");
        assert_eq!(names(&dir), [MARKER, "metrics.json", "model.safetensors"]);
        assert_eq!(names(dir.parent().unwrap()), ["model"]);
    }

    #[test]
    fn the_users_files_stay_and_an_old_report_goes() {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("model");
        save(&dir, "one");
        for name in ["notes.txt", "report.html"] {
            fs::write(dir.join(name), "old").unwrap();
        }
        save(&dir, "two");
        assert_eq!(
            names(&dir),
            [MARKER, "metrics.json", "model.safetensors", "notes.txt"]
        );
        assert_eq!(word(&dir), "two");
    }

    #[test]
    fn what_dead_processes_left_is_swept() {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("model");
        // No process has the largest number; process 1 is alive.
        let (dead, alive) = (i32::MAX.to_string(), "1");
        let left = |pid: &str| {
            [
                dir.join(format!("{PARTIAL}{pid}")),
                home.path().join(format!(".model{PARTIAL}{pid}")),
            ]
        };
        left(&dead)
            .iter()
            .chain(&left(alive))
            .for_each(|path| fs::create_dir_all(path).unwrap());
        sweep(&dir);
        assert!(left(&dead).iter().all(|path| !path.exists()));
        assert!(left(alive).iter().all(|path| path.exists()));
    }

    #[test]
    fn a_failed_model_leaves_the_old_one() {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("model");
        save(&dir, "one");
        let failed = model(&dir, &[], |staged| {
            fs::write(staged.join(MARKER), "two").unwrap();
            Err(Failure::other("full", "free some room"))
        });
        assert!(failed.is_err());
        assert_eq!(word(&dir), "one");
        assert_eq!(names(home.path()), ["model"]);
    }

    #[test]
    fn writable_makes_nothing_and_names_the_folder() {
        let home = tempfile::tempdir().unwrap();
        writable(&home.path().join("a/b")).unwrap();
        fs::write(home.path().join("file"), "").unwrap();
        let error = writable(&home.path().join("file/model")).unwrap_err();
        assert!(error.to_string().contains("file/model"), "{error}");
        assert_eq!(names(home.path()), ["file"]);
    }
}
