//! Checksums of a model's files: weights of one run with the vocabulary of another would load and
//! predict wrongly.
//!
//! They are in `config.json`, or in `checksums.json` if other programs may write the folder again:
//! transformers copies unknown members of `config.json`, which would then be stale.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use diagnostics::Error;
use diagnostics::checksums::{FileChecksum, of_dir, sha256, verify};
use serde::{Deserialize, Serialize};

use super::CONFIG;

/// The file with the checksums of a model that other programs may write again.
pub(crate) const CHECKSUMS: &str = "checksums.json";
/// The member of `config.json` or `checksums.json` with the checksums.
const KEY: &str = "files";
/// The member of `config.json` with the sha256 of `checksums.json`.
const LINK: &str = "checksums_sha256";

/// The members of `config.json` that all trainers have; `checksums.json` has `files` too.
#[derive(Default, Deserialize)]
struct Config {
    files: Option<BTreeMap<String, FileChecksum>>,
    checksums_sha256: Option<String>,
    columns: Option<Columns>,
    thresholds: Option<Vec<f32>>,
}

/// Names of the columns of the data.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
pub(crate) struct Columns {
    pub(crate) text: String,
    /// Further text columns.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) other_texts: Vec<String>,
    /// True if the two texts are a pair.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) text_pair: bool,
    pub(crate) label: String,
    /// Further label columns: each is a class.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) other_labels: Vec<String>,
    /// Text between the labels in a field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) label_separator: Option<String>,
    /// True if rows may have several labels, or none.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) multi_label: bool,
    /// True if the names are numbers, because the data has no header.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) no_header: bool,
}

impl Default for Columns {
    fn default() -> Self {
        Self {
            text: "text".to_owned(),
            other_texts: Vec::new(),
            text_pair: false,
            label: "label".to_owned(),
            other_labels: Vec::new(),
            label_separator: None,
            multi_label: false,
            no_header: false,
        }
    }
}

/// Adds the checksums of the other files to `config.json`; if they are `separate`, writes
/// `checksums.json` and adds its sha256.
pub(crate) fn seal(dir: &Path, separate: bool) -> Result<(), Error> {
    let mut sums = of_dir(dir)?;
    sums.remove(CONFIG);
    if !separate {
        return append(dir, KEY, &sums);
    }
    let damaged = || Error::io("write", &dir.join(CHECKSUMS))(io::ErrorKind::InvalidData.into());
    let sums = BTreeMap::from([(KEY, sums)]);
    let text = serde_json::to_string_pretty(&sums).map_err(|_| damaged())? + "\n";
    super::write(dir, CHECKSUMS, text.as_bytes())?;
    append(dir, LINK, &sha256(text.as_bytes()))
}

/// Adds the columns of the training data to `config.json`: they are the defaults of `evaluate`,
/// `predict` and `check`.
pub(crate) fn remember_columns(dir: &Path, columns: &Columns) -> Result<(), Error> {
    append(dir, "columns", columns)
}

/// Returns the columns of the model's training data; the defaults if `config.json` has none.
pub(crate) fn columns(dir: &Path) -> Columns {
    config(dir).columns.unwrap_or_default()
}

fn config(dir: &Path) -> Config {
    let text = fs::read(dir.join(CONFIG)).unwrap_or_default();
    serde_json::from_slice(&text).unwrap_or_default()
}

/// Adds the thresholds of the decision values, one per class, to `config.json`.
pub(crate) fn remember_thresholds(dir: &Path, thresholds: &[f32]) -> Result<(), Error> {
    append(dir, "thresholds", &thresholds)
}

/// Returns the thresholds of the decision values; empty if none were chosen.
///
/// # Errors
/// There is not one for each of the classes.
pub(crate) fn thresholds(dir: &Path, classes: usize) -> Result<Vec<f32>, Error> {
    let thresholds = config(dir).thresholds.unwrap_or_default();
    let count = thresholds.len();
    if count > 0 && count != classes {
        let message = format!("expected `{classes}` values of `thresholds`, found `{count}`");
        return Err(super::unreadable(dir, CONFIG, message));
    }
    Ok(thresholds)
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
    let others = [CONFIG, CHECKSUMS].into_iter().flat_map(|name| {
        let text = fs::read(dir.join(name)).unwrap_or_default();
        let config: Config = serde_json::from_slice(&text).unwrap_or_default();
        config.files.unwrap_or_default().into_keys()
    });
    [CONFIG, CHECKSUMS]
        .map(str::to_owned)
        .into_iter()
        .chain(others)
        .collect()
}

/// Verifies the files of a model. Models of older versions have neither checksums nor columns and
/// pass, as do folders without `checksums.json`, into which another program has written the model.
pub(crate) fn check_model(dir: &Path) -> Result<(), Error> {
    let path = dir.join(CONFIG);
    let text = fs::read(&path).map_err(Error::io("read", &path))?;
    let separate = dir.join(CHECKSUMS);
    let changed = match separate.exists() {
        true => format!("; if you changed the files yourself, remove `{CHECKSUMS}`"),
        false => String::new(),
    };
    let wrong = |why: String| {
        Error::new(format!(
            "the files in `{}` do not belong to one model: {why}",
            dir.display()
        ))
        .help(format!(
            "copy the whole folder again, or train again{changed}"
        ))
    };
    let parse = |name: &str, text: &[u8]| -> Result<Config, Error> {
        serde_json::from_slice(text).map_err(|error| wrong(format!("`{name}`: {error}")))
    };
    let mut config = parse(CONFIG, &text)?;
    let is_newer = config.columns.is_some();
    if is_newer && config.files.is_none() && config.checksums_sha256.is_none() {
        return Err(wrong(format!("`{CONFIG}` has no checksums in `{KEY}`")));
    }
    if let Some(expected) = config.checksums_sha256.take()
        && separate.exists()
    {
        let text = fs::read(&separate).map_err(Error::io("read", &separate))?;
        if sha256(&text) != expected {
            return Err(wrong(format!(
                "`{CONFIG}` was not written with `{CHECKSUMS}`"
            )));
        }
        config = parse(CHECKSUMS, &text)?;
    }
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
        seal(home.path(), false).unwrap();
        home
    }

    #[test]
    fn separate_checksums_are_checked_where_they_are() {
        let home = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(home.path().join(name), text).unwrap();
        write("config.json", "{\n  \"x\": 1\n}\n");
        write("weights", "w");
        seal(home.path(), true).unwrap();
        check_model(home.path()).unwrap();
        let own = ["config.json", "checksums.json", "weights"];
        assert_eq!(names(home.path()), own);
        write("weights", "v");
        let error = check_model(home.path()).unwrap_err().to_string();
        assert!(error.contains("`weights` does not match"), "{error}");
        write("checksums.json", "{}");
        let error = check_model(home.path()).unwrap_err().to_string();
        assert!(
            error.contains("not written with `checksums.json`"),
            "{error}"
        );
        fs::remove_file(home.path().join("checksums.json")).unwrap();
        check_model(home.path()).unwrap();
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
            ..Columns::default()
        };
        let several = Columns {
            other_texts: vec!["1".to_owned(), "3".to_owned()],
            no_header: true,
            ..own.clone()
        };
        let labels = Columns {
            other_labels: vec!["c".to_owned()],
            multi_label: true,
            ..own.clone()
        };
        let pair = Columns {
            other_texts: vec!["b".to_owned()],
            text_pair: true,
            ..own.clone()
        };
        for own in [&own, &several, &labels, &pair] {
            fs::write(home.path().join("config.json"), "{\n  \"x\": 1\n}\n").unwrap();
            remember_columns(home.path(), own).unwrap();
            seal(home.path(), false).unwrap();
            check_model(home.path()).unwrap();
            assert_eq!(columns(home.path()), *own);
        }
        assert_eq!(columns(&home.path().join("missing")), Columns::default());
    }

    /// Checksums that were removed from `config.json` were not missed.
    #[test]
    fn removed_checksums_are_missed() {
        let home = tempfile::tempdir().unwrap();
        let config = home.path().join("config.json");
        fs::write(&config, "{\n  \"x\": 1\n}\n").unwrap();
        remember_columns(home.path(), &Columns::default()).unwrap();
        let text = fs::read(&config).unwrap();
        seal(home.path(), false).unwrap();
        check_model(home.path()).unwrap();
        fs::write(&config, text).unwrap();
        let error = check_model(home.path()).unwrap_err().to_string();
        assert!(error.contains("has no checksums in `files`"), "{error}");
    }

    /// Issue 17: thresholds keep their bits.
    #[test]
    fn thresholds_are_kept_and_counted() {
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join("config.json"), "{\n  \"x\": 1\n}\n").unwrap();
        assert!(thresholds(home.path(), 2).unwrap().is_empty());
        let own = [0.1f32, -1.0f32.next_up()];
        remember_thresholds(home.path(), &own).unwrap();
        assert_eq!(thresholds(home.path(), 2).unwrap(), own);
        let error = thresholds(home.path(), 3).unwrap_err().to_string();
        assert!(
            error.contains("expected `3` values of `thresholds`, found `2`"),
            "{error}"
        );
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
