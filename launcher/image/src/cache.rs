//! Caches compressed layers in the target folder, since compression takes most of the time. The key
//! is the digest of the tar and the version of the compressor.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::data::Data;
use super::digest::hex;
use super::layer::{LEVEL, Layer, Tree};
use crate::prune;

/// Part of the key: another version may give other bytes, and so another digest.
const COMPRESSOR: &str = "flate2-1.1.11-miniz_oxide-0.9.1";

/// Folder of compressed layers.
#[derive(Debug, Clone)]
pub(crate) struct Cache(PathBuf);

impl Cache {
    pub(crate) fn below(target: &Path) -> Self {
        Self(target.join("trainyard/layers"))
    }

    /// Returns the layer from the cache, or compresses and caches it. If the cache cannot be
    /// written, the layer is not cached.
    pub(crate) fn layer(&self, what: &str, tree: &Tree<'_>) -> io::Result<Layer> {
        if let Some(layer) = self.find(what, &tree.diff_id()?) {
            return Ok(layer);
        }
        match self.make(what, tree) {
            Ok(layer) => Ok(layer),
            Err(_) => Layer::compress(what, tree, tempfile::tempfile()?),
        }
    }

    fn find(&self, what: &str, diff_id: &str) -> Option<Layer> {
        let prefix = prefix(what, diff_id);
        let mut names = fs::read_dir(&self.0).ok()?.flatten();
        let entry = names.find(|entry| entry.file_name().to_string_lossy().starts_with(&prefix))?;
        let file = File::open(entry.path()).ok()?;
        let size = file.metadata().ok()?.len();
        let layer = Layer::new(what, diff_id.to_owned(), Data::file(file, 0, size)).ok()?;
        // The name has the digest: a damaged file is ignored.
        if entry.file_name().to_string_lossy() != name(&layer) {
            return None;
        }
        prune::touch(&entry.path());
        Some(layer)
    }

    /// Writes to a temporary file first, so that a killed build leaves no partial layer.
    fn make(&self, what: &str, tree: &Tree<'_>) -> io::Result<Layer> {
        fs::create_dir_all(&self.0)?;
        let file = tempfile::NamedTempFile::new_in(&self.0)?;
        let layer = Layer::compress(what, tree, file.as_file().try_clone()?)?;
        // The open file stays readable after it is removed.
        if file.persist(self.0.join(name(&layer))).is_ok() {
            prune::prune(&self.0, |name| name.split_once('.').map(|(kind, _)| kind));
        }
        Ok(layer)
    }
}

/// `KIND.DIFF_ID.COMPRESSOR.DIGEST.tar.gz`, without `sha256:`.
fn name(layer: &Layer) -> String {
    let prefix = prefix(&layer.what, &layer.diff_id);
    format!("{prefix}{}.tar.gz", hex(&layer.digest))
}

fn prefix(what: &str, diff_id: &str) -> String {
    let kind: String = what.split(|c: char| !c.is_ascii_alphanumeric()).collect();
    format!("{kind}.{}.{COMPRESSOR}-{LEVEL}.", hex(diff_id))
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    fn bytes(layer: &Layer) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut reader = layer.data.reader();
        reader.read_to_end(&mut bytes).expect("it is held open");
        bytes
    }

    fn tree(text: &str) -> Tree<'_> {
        let mut tree = Tree::default();
        tree.file("x", 0o644, text.as_bytes());
        tree
    }

    #[test]
    fn damaged_cache_entry_is_rebuilt() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let cache = Cache::below(folder.path());
        let first = cache.layer("x", &tree("some")).expect("in memory");
        let path = cache.0.join(name(&first));
        assert!(path.is_file());
        fs::write(&path, b"half").expect("it can be written");
        let second = cache.layer("x", &tree("some")).expect("in memory");
        assert_eq!(second.digest, first.digest);
        assert_eq!(fs::read(&path).expect("kept"), bytes(&second));
    }

    /// The lock file has the versions.
    #[test]
    fn compressor_version_matches_lock_file() {
        let lock = include_str!("../../../Cargo.lock");
        let version = |name: &str| {
            let start = format!("name = \"{name}\"\nversion = \"");
            let (_, rest) = lock.split_once(&start).expect("a dependency");
            rest.split('"').next().expect("a version").to_owned()
        };
        let expected = ["flate2", "miniz_oxide"].map(|name| format!("{name}-{}", version(name)));
        assert_eq!(COMPRESSOR, expected.join("-"));
    }

    #[test]
    fn cached_layer_is_used() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let cache = Cache::below(folder.path());
        let diff_id = tree("some").diff_id().expect("in memory");
        // Not the compressed bytes, so it must come from the cache.
        let bytes = bytes::Bytes::from_static(b"planted");
        let planted = Layer::new("x", diff_id, Data::Memory(bytes)).expect("in memory");
        fs::create_dir_all(&cache.0).expect("a folder");
        fs::write(cache.0.join(name(&planted)), b"planted").expect("it can be written");
        let found = cache.layer("x", &tree("some")).expect("kept");
        assert_eq!(found.digest, planted.digest);
    }

    #[test]
    fn pruned_layer_stays_readable() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let cache = Cache::below(folder.path());
        let base = cache.layer("base", &tree("base")).expect("a disk");
        let layers: Vec<_> = (0..prune::MAX_KEPT + 2)
            .map(|number| cache.layer("x", &tree(&number.to_string())))
            .collect::<io::Result<_>>()
            .expect("a disk with room");
        let kept = fs::read_dir(&cache.0).expect("a folder").count();
        assert_eq!(kept, prune::MAX_KEPT + 1);
        assert!(cache.0.join(name(&base)).is_file(), "another kind");
        for layer in &layers {
            assert_eq!(layer.data.digest().expect("open"), layer.digest);
        }
    }

    /// As on a full or read-only disk.
    #[test]
    fn unwritable_cache_is_ignored() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::write(folder.path().join("trainyard"), b"no folder").expect("it can be written");
        let cache = Cache::below(folder.path());
        let layer = cache.layer("x", &tree("some")).expect("a temporary file");
        assert_eq!(layer.data.digest().expect("open"), layer.digest);
    }
}
