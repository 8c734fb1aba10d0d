//! sha256 of files, as checkpoints and model folders have them.
//!
//! A model's files belong together: weights of one run with the vocabulary of another would predict, and wrongly. So its
//! `config.json` has the sums of the others.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::Failure;

/// Size and sha256 of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FileSum {
    pub(crate) bytes: u64,
    /// In hexadecimal digits.
    pub(crate) sha256: String,
}

/// In hexadecimal digits.
pub(crate) fn hex(digest: impl AsRef<[u8]>) -> String {
    let digits = digest.as_ref().iter();
    digits.map(|byte| format!("{byte:02x}")).collect()
}

/// The sha256 of some bytes.
pub fn of_bytes(bytes: &[u8]) -> String {
    hex(Sha256::digest(bytes))
}

/// The sha256 of a file, in hexadecimal digits.
pub fn sha256_of_file(path: &Path) -> Result<String, Failure> {
    let sum = of_file(path).map_err(Failure::io("read", path))?;
    Ok(sum.sha256)
}

fn of_file(path: &Path) -> io::Result<FileSum> {
    let mut file = File::open(path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 128 * 1024];
    let mut bytes = 0;
    loop {
        match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => {
                hasher.update(&buffer[..read]);
                bytes += read as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(FileSum {
        bytes,
        sha256: hex(hasher.finalize()),
    })
}

/// The sums of all files in a folder, which has no folders in it.
pub(crate) fn of_folder(dir: &Path) -> Result<BTreeMap<String, FileSum>, Failure> {
    let failed = |error| Failure::io("read", dir)(error);
    let mut sums = BTreeMap::new();
    for entry in fs::read_dir(dir).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        let name = name.ok_or(io::ErrorKind::InvalidFilename.into());
        let sum = of_file(&path).map_err(Failure::io("read", &path))?;
        sums.insert(name.map_err(Failure::io("read", &path))?.to_owned(), sum);
    }
    Ok(sums)
}

/// Whether the folder has these files; else what is wrong with which one.
pub(crate) fn check(dir: &Path, sums: &BTreeMap<String, FileSum>) -> Result<(), String> {
    for (name, expected) in sums {
        // Names come from a file that others may have written.
        if Path::new(name).file_name() != Some(name.as_ref()) {
            return Err(format!("`{}` is no file name", contract::shown(name)));
        }
        let found = match of_file(&dir.join(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(format!("`{name}` is missing"));
            }
            Err(error) => return Err(format!("`{name}` cannot be read: {error}")),
            Ok(found) => found,
        };
        if found.bytes != expected.bytes {
            return Err(format!(
                "expected `{name}` of {} bytes, found {}",
                expected.bytes, found.bytes
            ));
        }
        if found.sha256 != expected.sha256 {
            return Err(format!("`{name}` does not have its sha256"));
        }
    }
    Ok(())
}

/// Where the sums stand in a model's configuration.
const KEY: &str = "files";

/// What a model's configuration has under `KEY`.
#[derive(Default, Deserialize)]
struct Config {
    files: Option<BTreeMap<String, FileSum>>,
}

/// Adds the sums of the folder's other files to its configuration `name`, a JSON object with at least one member.
pub(crate) fn seal(dir: &Path, name: &str) -> Result<(), Failure> {
    let path = dir.join(name);
    let mut sums = of_folder(dir)?;
    sums.remove(name);
    let text = fs::read_to_string(&path).map_err(Failure::io("read", &path))?;
    let damaged = || Failure::io("write", &path)(io::ErrorKind::InvalidData.into());
    // What the trainer wrote keeps its order and its digits: the member is put behind the last one as text.
    let rest = text.trim_end().strip_suffix('}').ok_or_else(damaged)?;
    let sums = serde_json::to_string_pretty(&sums).map_err(|_| damaged())?;
    let sums = sums.replace('\n', "\n  ");
    let text = format!("{},\n  \"{KEY}\": {sums}\n}}\n", rest.trim_end());
    fs::write(&path, text).map_err(Failure::io("write", &path))
}

/// The files of a model: its configuration `name` and those that it has sums of.
pub(crate) fn names(dir: &Path, name: &str) -> Vec<String> {
    let text = fs::read(dir.join(name)).unwrap_or_default();
    let config: Config = serde_json::from_slice(&text).unwrap_or_default();
    let others = config.files.unwrap_or_default().into_keys();
    std::iter::once(name.to_owned()).chain(others).collect()
}

/// Whether the files of a model belong to its configuration `name`. A model without sums is an old one, and passes.
pub(crate) fn check_model(dir: &Path, name: &str) -> Result<(), Failure> {
    let path = dir.join(name);
    let text = fs::read(&path).map_err(Failure::io("read", &path))?;
    let wrong = |why: String| {
        Failure::other(
            format!(
                "expected the files of one model in `{}`, found others: {why}",
                dir.display()
            ),
            "copy the whole folder again, or train again",
        )
    };
    let config: Config =
        serde_json::from_slice(&text).map_err(|error| wrong(format!("`{name}`: {error}")))?;
    check(dir, &config.files.unwrap_or_default()).map_err(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A model of two files, sealed.
    fn sealed() -> tempfile::TempDir {
        let home = tempfile::tempdir().unwrap();
        fs::write(
            home.path().join("config.json"),
            "{\n  \"x\": {\"10\": 1e-3, \"9\": 2}\n}\n",
        )
        .unwrap();
        fs::write(home.path().join("weights"), [7; 300_000]).unwrap();
        fs::write(home.path().join("words"), "a\nb\n").unwrap();
        seal(home.path(), "config.json").unwrap();
        home
    }

    #[test]
    fn a_sealed_folder_passes_and_its_configuration_keeps_its_text() {
        let home = sealed();
        check_model(home.path(), "config.json").unwrap();
        let text = fs::read_to_string(home.path().join("config.json")).unwrap();
        assert!(
            text.starts_with("{\n  \"x\": {\"10\": 1e-3, \"9\": 2},\n  \"files\": {"),
            "{text}"
        );
        let config: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(config["files"]["words"]["bytes"], 4);
        assert_eq!(config["files"].as_object().unwrap().len(), 2);
        // printf 'a\nb\n' | sha256sum
        let known = "911169ddaaf146aff539f58c26c489af3b892dff0fe283c1c264c65ae5aa59a2";
        assert_eq!(config["files"]["words"]["sha256"], known);
    }

    #[test]
    fn another_models_file_is_named() {
        type Change = fn(&Path);
        let swapped: [(&str, Change); 4] = [
            ("`words` does not have its sha256", |dir| {
                fs::write(dir.join("words"), "b\na\n").unwrap()
            }),
            ("expected `words` of 4 bytes, found 6", |dir| {
                fs::write(dir.join("words"), "a\nb\nc\n").unwrap()
            }),
            ("`weights` is missing", |dir| {
                fs::remove_file(dir.join("weights")).unwrap()
            }),
            ("`../weights` is no file name", |dir| {
                let path = dir.join("config.json");
                let text = fs::read_to_string(&path).unwrap();
                fs::write(&path, text.replace("\"weights\"", "\"../weights\"")).unwrap();
            }),
        ];
        for (expected, change) in swapped {
            let home = sealed();
            change(home.path());
            let error = check_model(home.path(), "config.json")
                .unwrap_err()
                .to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn a_model_from_before_the_sums_passes() {
        let home = tempfile::tempdir().unwrap();
        fs::write(
            home.path().join("config.json"),
            "{\"format\": \"trainyard-svm\"}",
        )
        .unwrap();
        check_model(home.path(), "config.json").unwrap();
    }
}
