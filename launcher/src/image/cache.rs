//! Compressed layers, kept in the target folder by the digest of their tar and by what
//! compressed them: compressing is what takes the time.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::layer::{LEVEL, Layer, Tree, hex};

/// Some builds of each trainer; older ones are compressed again.
const KEPT: usize = 16;

/// Another version may give other bytes: an old cache would give another digest than no cache.
const COMPRESSOR: &str = "flate2-1.1.11-miniz_oxide-0.9.1";

/// The folder of compressed layers.
#[derive(Debug, Clone)]
pub(super) struct Cache(PathBuf);

impl Cache {
    pub(super) fn below(target: &Path) -> Self {
        Self(target.join("trainyard/layers"))
    }

    /// The layer from the cache, else compressed and kept. A cache that cannot be written costs time and nothing else.
    pub(super) fn layer(&self, what: &str, tree: &Tree<'_>) -> io::Result<Layer> {
        if let Some(layer) = self.find(what, &tree.diff_id()?) {
            return Ok(layer);
        }
        let layer = Layer::compress(what, tree)?;
        if self.keep(&layer).is_ok() {
            self.forget_old();
        }
        Ok(layer)
    }

    fn find(&self, what: &str, diff_id: &str) -> Option<Layer> {
        let prefix = prefix(diff_id);
        let mut names = fs::read_dir(&self.0).ok()?.flatten();
        let entry = names.find(|entry| entry.file_name().to_string_lossy().starts_with(&prefix))?;
        let layer = Layer::new(what, diff_id.to_owned(), fs::read(entry.path()).ok()?);
        // A damaged file has another digest than its name says.
        let sound = entry.file_name().to_string_lossy() == name(&layer);
        sound.then_some(layer)
    }

    /// Under a temporary name first: a build that is killed leaves no half layer.
    fn keep(&self, layer: &Layer) -> io::Result<()> {
        fs::create_dir_all(&self.0)?;
        let mut file = tempfile::NamedTempFile::new_in(&self.0)?;
        file.write_all(&layer.data)?;
        file.persist(self.0.join(name(layer)))?;
        Ok(())
    }

    fn forget_old(&self) {
        let Ok(folder) = fs::read_dir(&self.0) else {
            return;
        };
        let mut files: Vec<(SystemTime, PathBuf)> = folder
            .flatten()
            .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
            .collect();
        files.sort();
        let old = files.len().saturating_sub(KEPT);
        for (_, path) in files.drain(..old) {
            // Another build may have been faster.
            let _ = fs::remove_file(path);
        }
    }
}

/// `DIFF_ID.COMPRESSOR.DIGEST.tar.gz`, without `sha256:`.
fn name(layer: &Layer) -> String {
    let prefix = prefix(&layer.diff_id);
    format!("{prefix}{}.tar.gz", hex(&layer.digest))
}

fn prefix(diff_id: &str) -> String {
    format!("{}.{COMPRESSOR}-{LEVEL}.", hex(diff_id))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(text: &str) -> Tree<'_> {
        let mut tree = Tree::default();
        tree.file("x", 0o644, text.as_bytes());
        tree
    }

    #[test]
    fn a_damaged_layer_is_compressed_again() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let cache = Cache::below(folder.path());
        let first = cache.layer("x", &tree("some")).expect("in memory");
        let path = cache.0.join(name(&first));
        assert!(path.is_file());
        fs::write(&path, b"half").expect("it can be written");
        let second = cache.layer("x", &tree("some")).expect("in memory");
        assert_eq!(second.data, first.data);
        assert_eq!(fs::read(&path).expect("kept"), first.data.as_ref());
    }

    /// The lock file knows the versions; the compiler does not.
    #[test]
    fn the_compressor_is_the_one_of_the_lock_file() {
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
    fn a_kept_layer_is_used() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let cache = Cache::below(folder.path());
        let diff_id = tree("some").diff_id().expect("in memory");
        // Not what compressing gives, so it can only come from the cache.
        let planted = Layer::new("x", diff_id, b"planted".as_slice());
        cache.keep(&planted).expect("it can be written");
        let found = cache.layer("x", &tree("some")).expect("in memory");
        assert_eq!(found.data, planted.data);
    }

    #[test]
    fn the_cache_does_not_grow_for_ever() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let cache = Cache::below(folder.path());
        for number in 0..KEPT + 5 {
            let text = number.to_string();
            cache.layer("x", &tree(&text)).expect("in memory");
        }
        assert_eq!(fs::read_dir(&cache.0).expect("a folder").count(), KEPT);
    }
}
