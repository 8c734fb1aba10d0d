//! The cache of models, in the layout of Python's huggingface_hub:
//! `models--OWNER--NAME/{refs/REVISION, snapshots/COMMIT/FILE, blobs/ETAG}`; a file of a snapshot
//! is a link to a blob. A revision that is a commit has no file in `refs`.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use diagnostics::Error;
use diagnostics::atomic_dir::{parent, random_name, write_file};
use tempfile::TempPath;

/// The files of a revision of a model.
pub(super) struct ModelCache {
    dir: PathBuf,
    revision: String,
}

impl ModelCache {
    /// The files of the model `id` in the folder `cache`.
    pub(super) fn new(cache: &Path, id: &str, revision: &str) -> Self {
        Self {
            dir: cache.join(format!("models--{}", id.replace('/', "--"))),
            revision: revision.to_owned(),
        }
    }

    /// Returns the file with the commit of a branch or tag.
    fn reference(&self) -> PathBuf {
        self.dir.join("refs").join(&self.revision)
    }

    /// Returns the commit of the revision, if it is cached.
    fn commit(&self) -> Option<String> {
        if is_commit(&self.revision) {
            return Some(self.revision.clone());
        }
        let commit = fs::read_to_string(self.reference()).ok()?;
        Some(commit.trim().to_owned()).filter(|commit| is_plain_name(commit))
    }

    /// Returns the path of a file, if it is cached.
    pub(super) fn get(&self, name: &str) -> Option<PathBuf> {
        let path = self.dir.join("snapshots").join(self.commit()?).join(name);
        path.exists().then_some(path)
    }

    /// Creates a file for a download.
    pub(super) fn new_file(&self) -> Result<(File, TempPath), Error> {
        let blobs = self.dir.join("blobs");
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
        if is_commit(&self.revision) && self.revision != commit {
            let message = format!(
                "expected a file of the commit `{}` from the hub, found one of `{commit}`",
                self.revision
            );
            return Err(Error::new(message).help("try again, or check HF_ENDPOINT"));
        }
        let create = |dir: &Path| fs::create_dir_all(dir).map_err(Error::io("create", dir));
        let snapshot = self.dir.join("snapshots").join(commit);
        create(&snapshot)?;
        let blob = self.dir.join("blobs").join(etag);
        let persisted = file.persist(&blob).map_err(|error| error.error);
        persisted.map_err(Error::io("write", &blob))?;
        let (path, link) = (
            snapshot.join(name),
            snapshot.join(format!(".{}", random_name())),
        );
        symlink(Path::new("../../blobs").join(etag), &link)
            .and_then(|()| fs::rename(&link, &path))
            .map_err(Error::io("write", &path))?;
        if self.revision != commit {
            let reference = self.reference();
            create(parent(&reference))?;
            let written = write_file(&reference, commit.as_bytes());
            written.map_err(Error::io("write", &reference))?;
        }
        Ok(path)
    }
}

/// True for a name that can be a revision: a branch such as `main` or `refs/pr/1`, a tag, or a
/// commit.
pub(super) fn is_revision(name: &str) -> bool {
    name.split('/').all(is_plain_name)
}

/// True for a whole commit, as huggingface_hub recognises it.
fn is_commit(revision: &str) -> bool {
    let mut bytes = revision.bytes();
    revision.len() == 40 && bytes.all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// True for a name that cannot lead out of its folder, such as a hash.
pub(super) fn is_plain_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    (1..=128).contains(&name.len())
        && !name.starts_with('.')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}
