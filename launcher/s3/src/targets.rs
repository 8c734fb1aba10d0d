//! Target paths of keys. Keys are untrusted: no path may leave the target folder, and no two may
//! collide.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use diagnostics::{Error, Result, sanitize};
use sha2::{Digest as _, Sha256};

use crate::local_files::display;

/// Splits a key into file names, or returns why it is not a relative path.
fn names(key: &str) -> Result<Vec<&str>, &'static str> {
    if key.contains('\0') {
        return Err("it has a zero byte");
    }
    if key.is_empty() || key.ends_with('/') {
        return Err("it has no file name");
    }
    // As on a file system, and for the AWS CLI, `/a//b` is `a/b`.
    let names: Vec<&str> = key.split('/').filter(|name| !name.is_empty()).collect();
    match names.iter().any(|name| matches!(*name, "." | "..")) {
        true => Err("it has `.` or `..` as a folder"),
        false => Ok(names),
    }
}

/// Returns the path of each key, in order. Creates nothing.
pub(crate) fn targets<'a>(
    folder: &Path,
    keys: impl IntoIterator<Item = &'a str>,
) -> Result<Vec<PathBuf>> {
    let refuse = |key: &str, why: &str| {
        Error::new(format!("`{}` cannot become a file below `{}`: {why}", sanitize(key), display(folder)))
            .help("nothing was downloaded; download the other keys by their own prefixes, or rename it in S3")
    };
    let mut paths = Vec::new();
    let mut files = BTreeMap::new();
    let mut folders = BTreeSet::new();
    for key in keys {
        let names = names(key).map_err(|why| refuse(key, why))?;
        let path: PathBuf = folder.join(names.iter().collect::<PathBuf>());
        folders.extend(
            path.ancestors()
                .skip(1)
                .take(names.len() - 1)
                .map(Path::to_owned),
        );
        if files.insert(path.clone(), key).is_some() {
            return Err(refuse(key, "another key becomes the same file"));
        }
        paths.push(path);
    }
    for (path, key) in &files {
        if folders.contains(path) {
            return Err(refuse(key, "another key has it as its folder"));
        }
        for own in [partial_path(path), records_path(path)] {
            if let Some(other) = files.get(&own) {
                return Err(refuse(
                    other,
                    "it has the name of a temporary file of another key",
                ));
            }
        }
    }
    Ok(paths)
}

/// Returns the temporary file next to a target, the same in every run.
pub(crate) fn partial_path(target: &Path) -> PathBuf {
    hidden_sibling(target, "trainyard-part")
}

/// Returns the file with the records of the temporary file.
pub(crate) fn records_path(target: &Path) -> PathBuf {
    hidden_sibling(target, "trainyard-notes")
}

/// Returns `.NAME.SUFFIX` in the same folder.
pub(crate) fn hidden_sibling(target: &Path, suffix: &str) -> PathBuf {
    let name = target.file_name().unwrap_or_default();
    let mut hidden = OsString::from(".");
    // File systems limit names to 255 bytes.
    if name.len() > 200 {
        for byte in &Sha256::digest(name.as_encoded_bytes())[..16] {
            hidden.push(format!("{byte:02x}"));
        }
    } else {
        hidden.push(name);
    }
    hidden.push(".");
    hidden.push(suffix);
    target.with_file_name(hidden)
}

/// Returns an error if two files differ only in case and the file system ignores case.
pub(crate) fn check_case_collisions<'a>(
    folder: &Path,
    files: impl Iterator<Item = &'a Path>,
) -> Result<()> {
    match case_collision(files) {
        Some((one, other)) if ignores_case(folder) => Err(Error::new(format!(
            "`{}` and `{}` are one file on this disk, which takes upper and lower case for the same",
            display(one),
            display(other)
        ))
        .help("nothing was downloaded; download one of them by its own key, or choose a folder on another disk")),
        _ => Ok(()),
    }
}

fn case_collision<'a>(files: impl Iterator<Item = &'a Path>) -> Option<(&'a Path, &'a Path)> {
    let mut seen = BTreeMap::new();
    for file in files {
        let folded = file.to_string_lossy().to_lowercase();
        if let Some(other) = seen.insert(folded, file) {
            return Some((other, file));
        }
    }
    None
}

fn ignores_case(folder: &Path) -> bool {
    let name = format!(".trainyard-case-{}", std::process::id());
    let probe = folder.join(&name);
    // If the probe fails, the download reports a better error.
    if fs::File::create_new(&probe).is_err() {
        return false;
    }
    let ignores = fs::symlink_metadata(folder.join(name.to_uppercase())).is_ok();
    let _ = fs::remove_file(&probe);
    ignores
}

/// Syncs the directory entry of a file, where the file system supports it.
pub(crate) fn sync_folder(file: &Path) {
    if let Some(folder) = file.parent().and_then(|parent| fs::File::open(parent).ok()) {
        let _ = folder.sync_all();
    }
}

/// Creates the parent folder of a target. Links below `top` are refused.
pub(crate) fn create_parent(top: &Path, target: &Path) -> Result<()> {
    let Some(parent) = target
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
    else {
        return Ok(());
    };
    let inside = parent.strip_prefix(top).unwrap_or(Path::new(""));
    let mut at = top.to_owned();
    for name in inside {
        at.push(name);
        if fs::symlink_metadata(&at).is_ok_and(|meta| meta.is_symlink()) {
            return Err(Error::new(format!(
                "`{}` is a link, files would leave `{}` through it",
                display(&at),
                display(top)
            ))
            .help("remove the link, or download into another folder"));
        }
    }
    create_folder(parent)
}

pub(crate) fn create_folder(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).map_err(|error| {
        Error::new(format!(
            "cannot make the folder `{}`: {error}",
            display(folder)
        ))
        .help("expected a writable folder; choose another target")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Component;
    use testkit::campaign::Campaign;

    /// Keys of strangers become different paths below the folder, or are refused.
    #[test]
    fn evil_keys_stay_inside() {
        const PARTS: [&str; 14] = [
            "..",
            ".",
            "",
            "a",
            "b",
            "...",
            "a\0",
            "\\",
            "..\\..",
            " ",
            "~",
            "%2e%2e",
            "\u{202e}",
            ".a.trainyard-part",
        ];
        let mut campaign = Campaign::new("s3: evil keys", 2_000, 200_000);
        while let Some(mut random) = campaign.next_case() {
            let mut keys = Vec::new();
            for _ in 0..=random.below(3) {
                let length = 1 + random.below(4);
                let parts: Vec<&str> = (0..length).map(|_| *random.pick(&PARTS)).collect();
                keys.push(parts.join("/"));
            }
            let Ok(paths) = targets(Path::new("t"), keys.iter().map(String::as_str)) else {
                campaign.count("refused");
                continue;
            };
            let is_normal = |part: Component<'_>| matches!(part, Component::Normal(_));
            let is_inside = |path: &PathBuf| {
                path.starts_with("t") && path != Path::new("t") && path.components().all(is_normal)
            };
            assert!(paths.iter().all(is_inside), "{keys:?}");
            let different: BTreeSet<&PathBuf> = paths.iter().collect();
            assert_eq!(different.len(), keys.len(), "{keys:?}");
            campaign.count("accepted");
        }
    }

    #[test]
    fn keys_outside_the_folder_are_refused() {
        for bad in [
            "../x",
            "a/../../x",
            "a//../b",
            "a//",
            "/",
            "./a",
            "a/.",
            "..",
            "",
            "a\0b",
        ] {
            assert!(targets(Path::new("t"), [bad]).is_err(), "{bad:?}");
        }
        let keys = ["a b/ü+%41", "c\\d", "...", "a b/..x", "/etc//passwd"];
        let paths = targets(Path::new("t"), keys).expect("valid");
        assert_eq!(paths[0], Path::new("t/a b/ü+%41"));
        assert_eq!(paths[3], Path::new("t/a b/..x"));
        assert_eq!(paths[4], Path::new("t/etc/passwd"));
    }

    #[test]
    fn case_collisions_depend_on_the_file_system() {
        let paths = ["a/README", "b/readme", "a/Readme"].map(Path::new);
        assert_eq!(
            case_collision(paths.into_iter()),
            Some((paths[0], paths[2]))
        );
        assert_eq!(case_collision(paths[..2].iter().copied()), None);
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("x"), "").expect("written");
        let ignores = folder.path().join("X").exists();
        assert_eq!(ignores_case(folder.path()), ignores);
        let checked = check_case_collisions(folder.path(), paths.into_iter());
        assert_eq!(checked.is_err(), ignores);
        assert_eq!(fs::read_dir(folder.path()).expect("there").count(), 1);
    }

    #[test]
    fn long_names_get_unique_short_temporary_names() {
        let name = |end: &str| partial_path(Path::new(&("n".repeat(240) + end)));
        assert_ne!(name("1"), name("2"));
        let length = name("1").as_os_str().len();
        assert!((40..255).contains(&length), "{length}");
    }

    #[test]
    fn colliding_keys_are_refused() {
        assert!(targets(Path::new("t"), ["a", "a/b"]).is_err());
        assert!(targets(Path::new("t"), ["a/b", "a"]).is_err());
        assert!(targets(Path::new("t"), ["x/y/z", "x/y"]).is_err());
        assert!(targets(Path::new("t"), ["a", ".a.trainyard-part"]).is_err());
        assert!(targets(Path::new("t"), ["a/b", "a//b"]).is_err());
        assert!(targets(Path::new("t"), ["a/b", "a/c", "ab"]).is_ok());
    }
}
