//! Rules that the source of all trainers obeys.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

/// Rust files below a folder.
fn sources(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let below = |path: PathBuf| match path.is_dir() {
        true => sources(&path),
        false => vec![path],
    };
    let mut files: Vec<PathBuf> = entries.flat_map(below).collect();
    files.retain(|path| path.extension().is_some_and(|end| end == "rs"));
    files
}

/// ATTACK F4: trainers print only text that cannot look like a metric.
#[test]
fn trainers_print_only_safe_text() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut read = 0;
    for folder in ["crates", "trainers"] {
        for member in fs::read_dir(root.join(folder)).unwrap() {
            let member = member.unwrap().path();
            if member.ends_with("testkit") || !member.join("src").is_dir() {
                continue;
            }
            for path in sources(&member.join("src")) {
                let is_test = path.components().any(|part| part.as_os_str() == "tests");
                if is_test || path.ends_with("diagnostics/src/stdio.rs") {
                    continue;
                }
                let text = fs::read_to_string(&path).unwrap();
                let text = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
                for raw in [
                    "print_text(",
                    "println!(",
                    "print!(",
                    "dbg!(",
                    "stderr().lock",
                ] {
                    assert!(!text.contains(raw), "`{raw}` in {}", path.display());
                }
                read += 1;
            }
        }
    }
    assert!(read > 100, "{read} files");
}
