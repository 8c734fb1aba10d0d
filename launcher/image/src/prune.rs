//! Prunes caches: keeps the most recently used files of each kind.

use std::collections::HashMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Files to keep of each kind: libtorch for CPU and for GPU, and those before the last update.
pub(crate) const MAX_KEPT: usize = 4;

/// Age after which a temporary file, whose name starts with a dot, is of a killed build.
const STALE_AGE: Duration = Duration::from_secs(24 * 3600);

/// Marks the file as used now. On an error, it may be pruned early.
pub(crate) fn touch(path: &Path) {
    let _ = File::open(path).and_then(|file| file.set_modified(SystemTime::now()));
}

/// Removes all but the most recently used files of each kind. `kind` gets a file's name.
pub(crate) fn prune(folder: &Path, kind: impl Fn(&str) -> Option<&str>) {
    let now = SystemTime::now();
    let mut kinds: HashMap<String, Vec<(SystemTime, PathBuf)>> = HashMap::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let Ok(used) = entry.metadata().and_then(|found| found.modified()) else {
            continue;
        };
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with('.') {
            let age = now.duration_since(used).unwrap_or_default();
            if age > STALE_AGE {
                let _ = fs::remove_file(entry.path());
            }
        } else if let Some(kind) = kind(&name) {
            let files = kinds.entry(kind.to_owned()).or_default();
            files.push((used, entry.path()));
        }
    }
    for mut files in kinds.into_values() {
        files.sort();
        let old = files.len().saturating_sub(MAX_KEPT);
        for (_, path) in files.drain(..old) {
            // Another build may have removed it.
            let _ = fs::remove_file(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prune_keeps_most_recent_of_each_kind() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let day = |days: u64| SystemTime::now() - Duration::from_secs(days * 24 * 3600);
        let write = |name: &str, time: SystemTime| {
            let file = File::create(folder.path().join(name)).expect("it can be written");
            file.set_modified(time).expect("own file");
        };
        write("1.libraries", day(90));
        for number in 0..MAX_KEPT as u64 + 3 {
            write(&format!("{number}.binary"), day(30 - number));
        }
        write(".tmp-killed", day(2));
        write(".tmp-running", day(0));
        touch(&folder.path().join("0.binary"));
        prune(folder.path(), |name| {
            name.split_once('.').map(|(_, kind)| kind)
        });
        let mut names: Vec<_> = fs::read_dir(folder.path())
            .expect("a folder")
            .map(|entry| entry.expect("a file").file_name().into_string())
            .collect::<Result<_, _>>()
            .expect("UTF-8");
        names.sort();
        let expected = [
            ".tmp-running",
            "0.binary",
            "1.libraries",
            "4.binary",
            "5.binary",
            "6.binary",
        ];
        assert_eq!(names, expected);
    }
}
