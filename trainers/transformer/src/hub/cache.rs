//! The cache of models, in the layout of Python's huggingface_hub:
//! `models--OWNER--NAME/{refs/main, snapshots/COMMIT/FILE, blobs/ETAG}`; a file of a snapshot is a
//! link to a blob.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use diagnostics::Error;
use diagnostics::atomic_dir::{random_name, write_file};
use tempfile::TempPath;

/// The files of a model.
pub(super) struct ModelCache(PathBuf);

impl ModelCache {
    /// The files of the model `id` in the folder `cache`.
    pub(super) fn new(cache: &Path, id: &str) -> Self {
        Self(cache.join(format!("models--{}", id.replace('/', "--"))))
    }

    /// Returns the path of a file, if it is cached.
    pub(super) fn get(&self, name: &str) -> Option<PathBuf> {
        let commit = fs::read_to_string(self.0.join("refs/main")).ok()?;
        let commit = commit.trim();
        let path = self.0.join("snapshots").join(commit).join(name);
        (is_plain_name(commit) && path.exists()).then_some(path)
    }

    /// Creates a file for a download.
    pub(super) fn new_file(&self) -> Result<(File, TempPath), Error> {
        let blobs = self.0.join("blobs");
        fs::create_dir_all(&blobs).map_err(Error::io("create", &blobs))?;
        // With the user's umask: the cache may be shared.
        let file = tempfile::Builder::new()
            .suffix(".incomplete")
            .make_in(&blobs, |path| File::create_new(path))
            .map_err(Error::io("write", &blobs))?;
        Ok(file.into_parts())
    }

    /// Adds a downloaded file; `commit` and `etag` are plain names. Returns its path.
    pub(super) fn store(
        &self,
        file: TempPath,
        commit: &str,
        etag: &str,
        name: &str,
    ) -> Result<PathBuf, Error> {
        let (snapshot, refs) = (self.0.join("snapshots").join(commit), self.0.join("refs"));
        for dir in [&snapshot, &refs] {
            fs::create_dir_all(dir).map_err(Error::io("create", dir))?;
        }
        let blob = self.0.join("blobs").join(etag);
        let persisted = file.persist(&blob).map_err(|error| error.error);
        persisted.map_err(Error::io("write", &blob))?;
        let (path, link) = (
            snapshot.join(name),
            snapshot.join(format!(".{}", random_name())),
        );
        symlink(Path::new("../../blobs").join(etag), &link)
            .and_then(|()| fs::rename(&link, &path))
            .map_err(Error::io("write", &path))?;
        let main = refs.join("main");
        write_file(&main, commit.as_bytes()).map_err(Error::io("write", &main))?;
        Ok(path)
    }
}

/// True for a name that cannot lead out of its folder, such as a hash.
pub(super) fn is_plain_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    (1..=128).contains(&name.len())
        && !name.starts_with('.')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}
