//! Writes a model folder so that a crash never leaves half a model.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use diagnostics::Error;
use diagnostics::atomic_dir::{
    Staged, check_writable, has_partial, lock, parent, remove_stale, sync,
};
use evaluation::report;
use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::checksums::seal;
use super::{CHECKSUMS, CONFIG, RUN_FILE, RUN_FILE_START, TENSORS, VOCABULARY, names};

/// The files with the results of a run.
const RESULTS: [&str; 2] = ["metrics.json", REPORT];
const REPORT: &str = "report.html";

/// The other files of models: each trainer writes some of them.
const FILES: [&str; 4] = [
    TENSORS,
    VOCABULARY,
    "tokenizer.json",
    "tokenizer_config.json",
];

/// Fails if a model could not be written to `dir`, or would replace files of the user. Creates
/// nothing.
pub(crate) fn writable(dir: &Path) -> Result<(), Error> {
    // A process that was killed while it wrote a model leaves files without `config.json`.
    let was_ours = fs::read(dir.join(CONFIG)).is_ok_and(|bytes| is_ours(&bytes))
        || !dir.join(CONFIG).exists() && has_partial(dir);
    if !was_ours {
        let names = [CONFIG, CHECKSUMS].into_iter().chain(FILES);
        refuse_foreign(dir, "--model-dir", names.chain(foreign_results(dir)))?;
    }
    check_writable(dir)
}

/// Fails if the model's run file would replace one that a person wrote.
pub(crate) fn keep_run_file(dir: &Path) -> Result<(), Error> {
    match fs::read(dir.join(RUN_FILE)) {
        Ok(bytes) if !bytes.starts_with(RUN_FILE_START.as_bytes()) => Err(Error::new(format!(
            "`{RUN_FILE}` in `{}` was not written by a training",
            dir.display()
        ))
        .help("choose another --model-dir, or move the file away; it would be replaced")),
        _ => Ok(()),
    }
}

/// Fails if the results of a run could not be written to `dir`, or would replace files of the
/// user. Creates nothing. `no_report`: there will be no report.
pub(crate) fn results_writable(dir: &Path, no_report: bool) -> Result<(), Error> {
    let written = |name: &&str| !(no_report && *name == REPORT);
    refuse_foreign(
        dir,
        "--output-data-dir",
        foreign_results(dir).filter(written),
    )?;
    check_writable(dir)
}

/// Returns the names of results that a trainer of this workspace has not written.
fn foreign_results(dir: &Path) -> impl Iterator<Item = &'static str> {
    let is_ours = |name: &str, bytes: &[u8]| match name == REPORT {
        true => is_our_report(bytes),
        false => serde_json::from_slice::<serde_json::Value>(bytes)
            .is_ok_and(|metrics| metrics["trainer"].is_string() && metrics["version"].is_string()),
    };
    RESULTS
        .into_iter()
        .filter(move |name| !fs::read(dir.join(name)).is_ok_and(|bytes| is_ours(name, &bytes)))
}

/// True if a trainer of this workspace wrote this report.
fn is_our_report(bytes: &[u8]) -> bool {
    bytes.starts_with(report::START.as_bytes())
}

/// Fails if one of these files exists.
fn refuse_foreign(
    dir: &Path,
    flag: &str,
    names: impl Iterator<Item = &'static str>,
) -> Result<(), Error> {
    let exists = |name: &&str| fs::symlink_metadata(dir.join(name)).is_ok();
    let found: Vec<&str> = names.filter(exists).collect();
    let (verb, files) = match found.len() {
        0 => return Ok(()),
        1 => ("does", "the file away; it"),
        _ => ("do", "the files away; they"),
    };
    let (found, dir) = (found.join("`, `"), dir.display());
    let message = format!("`{found}` in `{dir}` {verb} not belong to a model of Trainyard");
    let help = format!("choose another {flag}, or move {files} would be replaced");
    Err(Error::new(message).help(help))
}

/// True if a trainer of this workspace wrote this `config.json`.
fn is_ours(bytes: &[u8]) -> bool {
    let config: Result<serde_json::Value, _> = serde_json::from_slice(bytes);
    let format = config
        .as_ref()
        .ok()
        .and_then(|config| config.get("format")?.as_str());
    format.is_some_and(|format| format.starts_with("trainyard-"))
}

/// A model folder that no other training writes to, in this container or another.
pub(crate) struct ModelLock {
    /// Folders that did not exist, innermost first; removed on drop if they are still empty.
    created: Vec<PathBuf>,
    /// `None` if the file system has no locks.
    _lock: Option<File>,
}

impl ModelLock {
    /// Creates and locks the folder.
    ///
    /// # Errors
    /// Another training has locked it, or it cannot be created.
    pub(crate) fn acquire(dir: &Path) -> Result<Self, Error> {
        let missing = dir
            .ancestors()
            .take_while(|dir| !dir.as_os_str().is_empty() && !dir.exists());
        let created: Vec<PathBuf> = missing.map(Path::to_owned).collect();
        loop {
            fs::create_dir_all(dir).map_err(Error::io("create", dir))?;
            match fs::canonicalize(dir).and_then(|real| lock(&real)) {
                Ok(lock) => {
                    return Ok(Self {
                        created,
                        _lock: lock,
                    });
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Err(Error::new(format!(
                        "another training writes a model to `{}`",
                        dir.display()
                    ))
                    .help("wait for it, or choose another --model-dir"));
                }
                // A training that ended has replaced or removed the folder.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(Error::io("read", dir)(error)),
            }
        }
    }

    /// Returns the folders that did not exist, innermost first.
    pub(crate) fn created(&self) -> &[PathBuf] {
        &self.created
    }
}

impl Drop for ModelLock {
    fn drop(&mut self) {
        // A folder with files cannot be removed.
        for dir in &self.created {
            let _ = fs::remove_dir(dir);
        }
    }
}

/// Writes a model: `write` fills an empty folder, `extra` files are added, all is synced, then the
/// folder is put in place, atomically if the file system allows. `separate`: see [`seal`].
pub(crate) fn save(
    dir: &Path,
    extra: &[(&str, Vec<u8>)],
    separate: bool,
    write: impl Fn(&Path) -> Result<(), Error>,
) -> Result<(), Error> {
    // A symbolic link stays: its target is replaced.
    let real = fs::canonicalize(dir).unwrap_or_else(|_| dir.to_owned());
    remove_stale(&real);
    let fill = |staged: &Path| {
        write(staged)?;
        seal(staged, separate)?;
        for (name, bytes) in extra {
            let path = staged.join(name);
            fs::write(&path, bytes).map_err(Error::io("write", &path))?;
        }
        sync(staged).map_err(Error::io("write", dir))
    };
    if !real.exists() {
        let parent = parent(&real);
        fs::create_dir_all(parent).map_err(Error::io("create", parent))?;
    }
    if let Some(staged) = Staged::next_to(&real) {
        fill(staged.path())?;
        if place_whole(staged.path(), &real).is_ok() {
            return Ok(());
        }
    }
    let staged = Staged::inside(&real).map_err(Error::io("write", dir))?;
    fill(staged.path())?;
    place_files(staged.path(), &real).map_err(Error::io("write", dir))
}

/// Removes the report of an earlier run, which would not match the new metrics.
pub(crate) fn forget_report(path: &Path) -> Result<(), Error> {
    let ours = fs::read(path).is_ok_and(|bytes| is_our_report(&bytes));
    match ours.then(|| fs::remove_file(path)) {
        Some(Err(error)) => Err(Error::io("remove", path)(error)),
        _ => Ok(()),
    }
}

/// Renames the new folder, or exchanges it with the old one, atomically. On error nothing changed.
fn place_whole(staged: &Path, dir: &Path) -> io::Result<()> {
    let is_empty = fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_none());
    if is_empty || !dir.exists() {
        // Not all file systems can exchange; all can replace an empty folder.
        fs::rename(staged, dir)?;
    } else if holds_foreign(dir, staged)? {
        return Err(io::ErrorKind::DirectoryNotEmpty.into());
    } else {
        renameat_with(CWD, staged, CWD, dir, RenameFlags::EXCHANGE)?;
        rescue_foreign(staged, dir)?;
    }
    // Best effort: the model is in place; this only adds durability after a power cut.
    let _ = File::open(parent(dir)).and_then(|parent| parent.sync_all());
    Ok(())
}

/// True if the old folder has files of others, which must stay: of the user, or of a `predict`
/// that is running.
fn holds_foreign(dir: &Path, staged: &Path) -> io::Result<bool> {
    Ok(!foreign(dir, staged)?.is_empty())
}

/// Moves files that others created in the old folder just before the exchange.
fn rescue_foreign(old: &Path, new: &Path) -> io::Result<()> {
    let names = foreign(old, new)?;
    let mut names = names.iter();
    names.try_for_each(|name| fs::rename(old.join(name), new.join(name)))
}

/// Returns the names of files in `old` that a model does not have.
fn foreign(old: &Path, new: &Path) -> io::Result<Vec<OsString>> {
    let stale = stale(old);
    let mut names: Vec<OsString> = fs::read_dir(old)?
        .map(|entry| Ok(entry?.file_name()))
        .collect::<io::Result<_>>()?;
    names.retain(|name| !stale.contains(name) && !new.join(name).exists());
    Ok(names)
}

/// Returns the names of the files of the model in `dir`, perhaps of another trainer, of its run
/// file and of its results. Not those of paths: others may have written `config.json`.
fn stale(dir: &Path) -> BTreeSet<OsString> {
    let names = names(dir).into_iter();
    let names = names.chain([RUN_FILE].into_iter().chain(RESULTS).map(str::to_owned));
    let is_plain = |name: &String| Path::new(name).file_name() == Some(OsStr::new(name));
    names.filter(is_plain).map(OsString::from).collect()
}

/// Replaces the files one by one. `config.json` is removed first and written last: without it the
/// folder is not a model.
fn place_files(staged: &Path, dir: &Path) -> io::Result<()> {
    // Without `config.json`, which has the names of the others, these files are of no model.
    let stale = stale(dir);
    let others = stale
        .iter()
        .map(OsString::as_os_str)
        .filter(|name| *name != CONFIG);
    for name in [OsStr::new(CONFIG)].into_iter().chain(others) {
        match fs::remove_file(dir.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    File::open(dir)?.sync_all()?;
    let mut names: Vec<_> = fs::read_dir(staged)?
        .map(|entry| Ok(entry?.file_name()))
        .collect::<io::Result<_>>()?;
    names.sort_by_key(|name| (name == CONFIG, name.clone()));
    for name in names {
        if name == CONFIG {
            // `config.json` must not reach the disk before the other files.
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
    fn config_of_the_user_is_not_replaced() {
        let home = tempfile::tempdir().unwrap();
        assert!(writable(home.path()).is_ok());
        let config = home.path().join(CONFIG);
        for (text, ours) in [
            (r#"{"format": "trainyard-svm"}"#, true),
            (r#"{"format": "mine"}"#, false),
            ("not json", false),
        ] {
            fs::write(&config, text).unwrap();
            assert_eq!(writable(home.path()).is_ok(), ours, "{text}");
        }
    }

    #[test]
    fn run_file_of_the_user_is_not_replaced() {
        let home = tempfile::tempdir().unwrap();
        assert!(keep_run_file(home.path()).is_ok());
        let path = home.path().join(RUN_FILE);
        fs::write(&path, format!("{RUN_FILE_START}. To ...\nseed = 1\n")).unwrap();
        assert!(keep_run_file(home.path()).is_ok());
        fs::write(&path, "# mine\nseed = 1\n").unwrap();
        let error = keep_run_file(home.path()).unwrap_err().to_string();
        assert!(error.contains("was not written by a training"), "{error}");
    }

    /// Files with the names of a model's were replaced without a question.
    #[test]
    fn files_of_the_user_are_not_replaced() {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path();
        let put = |name: &str, text: &str| fs::write(dir.join(name), text).unwrap();
        for name in [
            TENSORS,
            VOCABULARY,
            "tokenizer.json",
            "metrics.json",
            REPORT,
        ] {
            put(name, "mine");
            let error = writable(dir).unwrap_err().to_string();
            let named = format!("`{name}` in `{}` does not belong", dir.display());
            assert!(error.contains(&named), "{error}");
            let results = results_writable(dir, false);
            assert_eq!(results.is_err(), RESULTS.contains(&name), "{name}");
            fs::remove_file(dir.join(name)).unwrap();
        }
        put(REPORT, "mine");
        assert!(results_writable(dir, true).is_ok());
        put(REPORT, report::START);
        put("metrics.json", r#"{"trainer": "svm", "version": "1"}"#);
        assert!(writable(dir).is_ok() && results_writable(dir, false).is_ok());
        put(TENSORS, "mine");
        put(VOCABULARY, "mine");
        let error = writable(dir).unwrap_err().to_string();
        assert!(error.contains("move the files away"), "{error}");
        put(CONFIG, r#"{"format": "trainyard-svm"}"#);
        assert!(writable(dir).is_ok());
    }

    /// A process that is killed while it replaces the files leaves no `config.json`.
    #[test]
    fn files_of_a_killed_process_are_replaced() {
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join(TENSORS), "old").unwrap();
        assert!(writable(home.path()).is_err());
        let staged = Staged::inside(home.path()).unwrap();
        assert!(writable(home.path()).is_ok());
        drop(staged);
    }

    /// Files of the model of another trainer stayed beside the new one.
    #[test]
    fn other_files_of_the_old_model_are_removed() {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("model");
        let write_old = |dir: &Path| {
            save(dir, &[], false, |staged| {
                fs::write(staged.join("tokenizer.json"), "{}").unwrap();
                fs::write(staged.join(CONFIG), config("old")).unwrap();
                Ok(())
            })
            .unwrap();
        };
        write_old(&dir);
        write(&dir, "new");
        assert_eq!(names(&dir), [CONFIG, "metrics.json", TENSORS]);
        // File by file, because the folder has a file of the user.
        write_old(&dir);
        fs::write(dir.join("notes.txt"), "mine").unwrap();
        write(&dir, "new");
        assert_eq!(names(&dir), [CONFIG, "metrics.json", TENSORS, "notes.txt"]);
        assert_eq!(word(&dir), "new");
    }

    fn config(word: &str) -> String {
        format!("{{\n  \"word\": \"{word}\"\n}}\n")
    }

    /// Returns the word of the model in `dir`.
    fn word(dir: &Path) -> String {
        crate::model_dir::checksums::check_model(dir).unwrap();
        let config: serde_json::Value =
            serde_json::from_slice(&fs::read(dir.join(CONFIG)).unwrap()).unwrap();
        config["word"].as_str().unwrap().to_owned()
    }

    fn write(dir: &Path, word: &str) {
        save(dir, &[("metrics.json", word.into())], false, |staged| {
            fs::write(staged.join("model.safetensors"), word).unwrap();
            fs::write(staged.join(CONFIG), config(word)).unwrap();
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
    fn writes_new_folder_replaces_old_and_follows_link() {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("deep/model");
        write(&dir, "one");
        let link = home.path().join("link");
        std::os::unix::fs::symlink(&dir, &link).unwrap();
        write(&link, "two");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(word(&dir), "two");
        assert_eq!(names(&dir), [CONFIG, "metrics.json", "model.safetensors"]);
        assert_eq!(names(dir.parent().unwrap()), ["model"]);
    }

    #[test]
    fn files_of_the_user_stay_and_old_report_is_removed() {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("model");
        write(&dir, "one");
        for name in ["notes.txt", "report.html"] {
            fs::write(dir.join(name), "old").unwrap();
        }
        write(&dir, "two");
        assert_eq!(
            names(&dir),
            [CONFIG, "metrics.json", "model.safetensors", "notes.txt"]
        );
        assert_eq!(word(&dir), "two");
    }

    #[test]
    fn failed_write_keeps_old_model() {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("model");
        write(&dir, "one");
        let failed = save(&dir, &[], false, |staged| {
            fs::write(staged.join(CONFIG), "two").unwrap();
            Err(Error::new("full").help("free some space"))
        });
        assert!(failed.is_err());
        assert_eq!(word(&dir), "one");
        assert_eq!(names(home.path()), ["model"]);
    }

    #[test]
    fn writable_creates_nothing_and_names_the_folder() {
        let home = tempfile::tempdir().unwrap();
        writable(&home.path().join("a/b")).unwrap();
        fs::write(home.path().join("file"), "").unwrap();
        let error = writable(&home.path().join("file/model")).unwrap_err();
        assert!(error.to_string().contains("file/model"), "{error}");
        assert_eq!(names(home.path()), ["file"]);
    }
}

#[cfg(test)]
mod attacks {
    use super::*;

    fn write(dir: &Path, word: &str) {
        save(dir, &[], false, |staged| {
            fs::write(staged.join(CONFIG), format!("{{\"word\": \"{word}\"}}\n")).unwrap();
            Ok(())
        })
        .unwrap();
    }

    /// ATTACK F2: a second training of the same folder is refused; after the first, it is not.
    #[test]
    fn second_training_of_a_folder_is_refused() {
        let home = tempfile::tempdir().unwrap();
        let model = home.path().join("deep/model");
        let first = ModelLock::acquire(&model).unwrap();
        let link = home.path().join("link");
        std::os::unix::fs::symlink(&model, &link).unwrap();
        for same in [&model, &link] {
            let error = ModelLock::acquire(same).err().unwrap().to_string();
            assert!(
                error.contains("another training writes a model to"),
                "{error}"
            );
        }
        write(&model, "one");
        drop(first);
        drop(ModelLock::acquire(&model).unwrap());
        assert!(model.join(CONFIG).exists());
    }

    /// ATTACK F2: a training that fails leaves no empty folders.
    #[test]
    fn unused_folders_are_removed() {
        let home = tempfile::tempdir().unwrap();
        drop(ModelLock::acquire(&home.path().join("a/b")).unwrap());
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0);
    }

    /// ATTACK F3: a file that `predict --output MODEL/answers.csv` is writing stays.
    #[test]
    fn file_that_predict_writes_stays() {
        let home = tempfile::tempdir().unwrap();
        let model = home.path().join("model");
        write(&model, "one");
        for name in [".partial-Ab3x9Q", ".partial-123456"] {
            fs::write(model.join(name), "rows").unwrap();
            write(&model, "two");
            assert_eq!(fs::read_to_string(model.join(name)).unwrap(), "rows");
        }
    }

    /// ATTACK F3: files that appear during the exchange are moved, not removed.
    #[test]
    fn files_that_appear_late_are_moved() {
        let home = tempfile::tempdir().unwrap();
        let (old, new) = (home.path().join("old"), home.path().join("new"));
        for dir in [&old, &new] {
            fs::create_dir(dir).unwrap();
            fs::write(dir.join(CONFIG), dir.to_str().unwrap()).unwrap();
        }
        fs::write(old.join("late.csv"), "rows").unwrap();
        rescue_foreign(&old, &new).unwrap();
        assert_eq!(fs::read_to_string(new.join("late.csv")).unwrap(), "rows");
        let config = fs::read_to_string(new.join(CONFIG)).unwrap();
        assert_eq!(config, new.to_str().unwrap());
    }
}
