//! Writes a model folder so that a crash never leaves half a model.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use diagnostics::Error;
use diagnostics::atomic_dir::{PARTIAL, Staged, check_writable, parent, remove_stale, sync};
use evaluation::report;
use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::CONFIG;
use super::checksums::seal;

/// What an earlier model's folder may hold that speaks of that model alone.
const STALE: [&str; 3] = [CONFIG, "metrics.json", "report.html"];

/// Fails early where a model could not be written in the end, and leaves no trace.
pub(crate) fn writable(dir: &Path) -> Result<(), Error> {
    if let Ok(bytes) = fs::read(dir.join(CONFIG))
        && !is_ours(&bytes)
    {
        return Err(Error::new(format!(
            "expected `{CONFIG}` in `{}` to be that of a model, found another file",
            dir.display()
        ))
        .help("choose another --model-dir: this file would be replaced"));
    }
    check_writable(dir)
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
pub(crate) fn save(
    dir: &Path,
    extra: &[(&str, Vec<u8>)],
    write: impl Fn(&Path) -> Result<(), Error>,
) -> Result<(), Error> {
    // A link to a folder stays: what it points to is replaced.
    let real = fs::canonicalize(dir).unwrap_or_else(|_| dir.to_owned());
    remove_stale(&real);
    let fill = |staged: &Path| {
        write(staged)?;
        seal(staged)?;
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
    if let Some(staged) = Staged::beside(&real) {
        fill(staged.path())?;
        if place_whole(staged.path(), &real).is_ok() {
            return Ok(());
        }
    }
    let staged = Staged::inside(&real).map_err(Error::io("write", dir))?;
    fill(staged.path())?;
    place_files(staged.path(), &real).map_err(Error::io("write", dir))
}

/// Removes the report of an earlier run, which would stand beside the numbers of another one.
pub(crate) fn forget_report(path: &Path) -> Result<(), Error> {
    let ours = fs::read(path).is_ok_and(|bytes| bytes.starts_with(report::START.as_bytes()));
    match ours.then(|| fs::remove_file(path)) {
        Some(Err(error)) => Err(Error::io("remove", path)(error)),
        _ => Ok(()),
    }
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
    names.sort_by_key(|name| (name == CONFIG, name.clone()));
    for name in names {
        if name == CONFIG {
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
    use diagnostics::atomic_dir::write_files as _;

    #[test]
    fn a_config_of_the_user_is_not_replaced() {
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

    fn config(word: &str) -> String {
        format!("{{\n  \"word\": \"{word}\"\n}}\n")
    }

    /// The word of the model that lies there.
    fn word(dir: &Path) -> String {
        crate::model_dir::checksums::check_model(dir).unwrap();
        let config: serde_json::Value =
            serde_json::from_slice(&fs::read(dir.join(CONFIG)).unwrap()).unwrap();
        config["word"].as_str().unwrap().to_owned()
    }

    fn write(dir: &Path, word: &str) {
        save(dir, &[("metrics.json", word.into())], |staged| {
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
    fn a_new_folder_an_old_one_and_a_link() {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("deep/model");
        save(&dir, "one");
        let link = home.path().join("link");
        std::os::unix::fs::symlink(&dir, &link).unwrap();
        save(&link, "two");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(word(&dir), "two");
        assert_eq!(names(&dir), [CONFIG, "metrics.json", "model.safetensors"]);
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
            [CONFIG, "metrics.json", "model.safetensors", "notes.txt"]
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
        remove_stale(&dir);
        assert!(left(&dead).iter().all(|path| !path.exists()));
        assert!(left(alive).iter().all(|path| path.exists()));
    }

    #[test]
    fn a_failed_model_leaves_the_old_one() {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("model");
        save(&dir, "one");
        let failed = model(&dir, &[], |staged| {
            fs::write(staged.join(CONFIG), "two").unwrap();
            Err(Error::new("full").help("free some room"))
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
