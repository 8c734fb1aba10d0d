//! Writing a model folder so that a crash never leaves half a model.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::Failure;

/// The file without which a folder is no model: written last, removed first.
const MARKER: &str = "config.json";
/// What an earlier model's folder may hold that speaks of that model alone.
const STALE: [&str; 3] = [MARKER, "metrics.json", "report.html"];

/// Fails early where the model could not be written in the end.
pub(crate) fn writable(dir: &Path) -> Result<(), Failure> {
    let temporary = stage(dir)?;
    fs::remove_dir(&temporary).map_err(Failure::io("write", dir))
}

/// Writes a model: `write` fills an empty folder, `extra` files are added, everything is synced, and only then it
/// takes its place.
///
/// A new folder appears whole, by one rename. In one that exists (with an old model, or what else the user keeps there)
/// each file is replaced by a rename, [`MARKER`] last, and foreign files are left alone.
pub(crate) fn model(
    dir: &Path,
    extra: &[(&str, Vec<u8>)],
    write: impl FnOnce(&Path) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let staged = Staged(stage(dir)?);
    write(&staged.0)?;
    for (name, bytes) in extra {
        let path = staged.0.join(name);
        fs::write(&path, bytes).map_err(Failure::io("write", &path))?;
    }
    sync(&staged.0).map_err(Failure::io("write", dir))?;
    place(&staged.0, dir).map_err(Failure::io("write", dir))
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

/// A folder that is removed if it is still there in the end.
struct Staged(PathBuf);

impl Drop for Staged {
    fn drop(&mut self) {
        // Gone already where the model took its place.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A new empty folder on the same file system as `dir`: beside it where it does not exist yet, else inside, because it
/// may be a mount point, as SageMaker's /opt/ml/model is.
fn stage(dir: &Path) -> Result<PathBuf, Failure> {
    let name = format!(".partial-{}", std::process::id());
    let staged = if dir.exists() {
        dir.join(name)
    } else {
        let parent = parent(dir);
        fs::create_dir_all(parent).map_err(Failure::io("create", parent))?;
        parent.join(format!(".{}{name}", dir.file_name().unwrap_or_default().display()))
    };
    remove_stale(&staged).map_err(Failure::io("write", dir))?;
    fs::create_dir(&staged).map_err(Failure::io("write", dir))?;
    Ok(staged)
}

fn parent(dir: &Path) -> &Path {
    match dir.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn remove_stale(dir: &Path) -> io::Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn sync(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        File::open(entry?.path())?.sync_all()?;
    }
    File::open(dir)?.sync_all()
}

fn place(staged: &Path, dir: &Path) -> io::Result<()> {
    if staged.parent() != Some(dir) {
        fs::rename(staged, dir)?;
        return File::open(parent(dir))?.sync_all();
    }
    for name in STALE {
        match fs::remove_file(dir.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    File::open(dir)?.sync_all()?;
    let mut names: Vec<_> = fs::read_dir(staged)?.map(|entry| Ok(entry?.file_name())).collect::<io::Result<_>>()?;
    names.sort_by_key(|name| (name == MARKER, name.clone()));
    for name in names {
        fs::rename(staged.join(&name), dir.join(&name))?;
    }
    File::open(dir)?.sync_all()
}
