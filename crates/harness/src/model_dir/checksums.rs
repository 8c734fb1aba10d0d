//! Checksums of a model's files, kept in its `config.json`: weights of one run with the vocabulary
//! of another would load and predict wrongly.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use diagnostics::Error;
use diagnostics::checksums::{FileChecksum, of_dir, verify};
use serde::{Deserialize, Serialize};

use super::CONFIG;

/// The member of `config.json` with the checksums.
const KEY: &str = "files";

/// The members of `config.json` that all trainers have.
#[derive(Default, Deserialize)]
struct Config {
    files: Option<BTreeMap<String, FileChecksum>>,
    columns: Option<Columns>,
}

/// Names of the columns of the data.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
pub(crate) struct Columns {
    pub(crate) text: String,
    pub(crate) label: String,
}

impl Default for Columns {
    fn default() -> Self {
        Self {
            text: "text".to_owned(),
            label: "label".to_owned(),
        }
    }
}

/// Adds the checksums of the other files to `config.json`.
pub(crate) fn seal(dir: &Path) -> Result<(), Error> {
    let mut sums = of_dir(dir)?;
    sums.remove(CONFIG);
    append(dir, KEY, &sums)
}

/// Adds the columns of the training data to `config.json`: they are the defaults of `evaluate`,
/// `predict` and `check`.
pub(crate) fn remember_columns(dir: &Path, columns: &Columns) -> Result<(), Error> {
    append(dir, "columns", columns)
}

/// Returns the columns of the model's training data; the defaults if `config.json` has none.
pub(crate) fn columns(dir: &Path) -> Columns {
    let text = fs::read(dir.join(CONFIG)).unwrap_or_default();
    let config: Config = serde_json::from_slice(&text).unwrap_or_default();
    config.columns.unwrap_or_default()
}

/// Adds a member to `config.json`, a JSON object with at least one member.
fn append(dir: &Path, key: &str, value: &impl Serialize) -> Result<(), Error> {
    let path = dir.join(CONFIG);
    let text = fs::read_to_string(&path).map_err(Error::io("read", &path))?;
    let damaged = || Error::io("write", &path)(io::ErrorKind::InvalidData.into());
    // Appended as text: order and digits of the trainer's members stay.
    let rest = text.trim_end().strip_suffix('}').ok_or_else(damaged)?;
    let value = serde_json::to_string_pretty(value).map_err(|_| damaged())?;
    let value = value.replace('\n', "\n  ");
    let text = format!("{},\n  \"{key}\": {value}\n}}\n", rest.trim_end());
    fs::write(&path, text).map_err(Error::io("write", &path))
}

/// Returns the names of a model's files: `config.json` and those with a checksum.
pub(crate) fn names(dir: &Path) -> Vec<String> {
    let text = fs::read(dir.join(CONFIG)).unwrap_or_default();
    let config: Config = serde_json::from_slice(&text).unwrap_or_default();
    let others = config.files.unwrap_or_default().into_keys();
    std::iter::once(CONFIG.to_owned()).chain(others).collect()
}

/// Verifies the files of a model. Models of older versions have no checksums and pass.
pub(crate) fn check_model(dir: &Path) -> Result<(), Error> {
    let path = dir.join(CONFIG);
    let text = fs::read(&path).map_err(Error::io("read", &path))?;
    let wrong = |why: String| {
        Error::new(format!(
            "the files in `{}` do not belong to one model: {why}",
            dir.display()
        ))
        .help("copy the whole folder again, or train again")
    };
    let config: Config =
        serde_json::from_slice(&text).map_err(|error| wrong(format!("`{CONFIG}`: {error}")))?;
    verify(dir, &config.files.unwrap_or_default()).map_err(wrong)
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
        seal(home.path()).unwrap();
        home
    }

    #[test]
    fn sealed_folder_passes_and_config_keeps_its_text() {
        let home = sealed();
        check_model(home.path()).unwrap();
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
    fn file_of_another_model_is_named() {
        type Change = fn(&Path);
        let swapped: [(&str, Change); 4] = [
            ("`words` does not match its sha256", |dir| {
                fs::write(dir.join("words"), "b\na\n").unwrap()
            }),
            ("expected `words` of 4 bytes, found 6", |dir| {
                fs::write(dir.join("words"), "a\nb\nc\n").unwrap()
            }),
            ("`weights` is missing", |dir| {
                fs::remove_file(dir.join("weights")).unwrap()
            }),
            ("`../weights` is not a file name", |dir| {
                let path = dir.join("config.json");
                let text = fs::read_to_string(&path).unwrap();
                fs::write(&path, text.replace("\"weights\"", "\"../weights\"")).unwrap();
            }),
        ];
        for (expected, change) in swapped {
            let home = sealed();
            change(home.path());
            let error = check_model(home.path()).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    /// USER 28: column names are remembered in the model.
    #[test]
    fn columns_are_kept_and_have_defaults() {
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join("config.json"), "{\n  \"x\": 1\n}\n").unwrap();
        assert_eq!(columns(home.path()), Columns::default());
        let own = Columns {
            text: "größe \"x\"".to_owned(),
            label: "b".to_owned(),
        };
        remember_columns(home.path(), &own).unwrap();
        seal(home.path()).unwrap();
        check_model(home.path()).unwrap();
        assert_eq!(columns(home.path()), own);
        assert_eq!(columns(&home.path().join("missing")), Columns::default());
    }

    #[test]
    fn model_without_checksums_passes() {
        let home = tempfile::tempdir().unwrap();
        fs::write(
            home.path().join("config.json"),
            "{\"format\": \"trainyard-svm\"}",
        )
        .unwrap();
        check_model(home.path()).unwrap();
    }
}
