//! Results of a job: folders and archives.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// All files below a folder, by name; directories end in `/`.
pub fn files(folder: &Path) -> Vec<String> {
    fn walk(root: &Path, folder: &Path, found: &mut Vec<String>) {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let name = path
                .strip_prefix(root)
                .expect("below")
                .display()
                .to_string();
            if path.is_dir() && !path.is_symlink() {
                found.push(format!("{name}/"));
                walk(root, &path, found);
            } else {
                found.push(name);
            }
        }
    }
    let mut found = Vec::new();
    walk(folder, folder, &mut found);
    found.sort();
    found
}

/// Entries of a `.tar.gz`: name to bytes, which are empty for folders and links.
pub fn unpacked(archive: impl AsRef<Path>) -> BTreeMap<String, Vec<u8>> {
    let file = fs::File::open(archive).expect("an archive");
    let mut tar = tar::Archive::new(flate2::read::GzDecoder::new(file));
    let entries = tar.entries().expect("a tar");
    entries
        .map(|entry| {
            let mut entry = entry.expect("an entry");
            let name = entry.path().expect("a name").display().to_string();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).expect("bytes");
            (name, bytes)
        })
        .collect()
}

/// Path of an archive in an answer.
#[track_caller]
pub fn archive(answer: &Value, name: &str) -> PathBuf {
    match answer[name].as_str() {
        Some(path) => PathBuf::from(path),
        None => panic!("no {name} in {answer:#}"),
    }
}

/// Results of the toy's mode `look`.
#[track_caller]
pub fn seen(answer: &Value) -> Value {
    let output = unpacked(archive(answer, "output"));
    serde_json::from_slice(&output["seen.json"]).expect("JSON")
}
