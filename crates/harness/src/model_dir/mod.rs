//! Model folders: names of files, and functions that read, check and write them.

pub mod arrays;
mod checksums;
mod save;

pub(crate) use checksums::{
    CHECKSUMS, Columns, check_model, columns, names, remember_columns, remember_thresholds,
    thresholds,
};
pub(crate) use save::{ModelLock, forget_report, keep_run_file, results_writable, save, writable};

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use diagnostics::{Error, sanitize};
use serde::Serialize;
use serde::de::DeserializeOwned;
use text::features::{NgramConfig, Terms};
use training::{Arrays, TensorError, read_tensors};

/// The file with format, classes and settings.
pub const CONFIG: &str = "config.json";
/// The file with the weights.
pub const TENSORS: &str = "model.safetensors";
/// The file with the terms, one per line.
pub const VOCABULARY: &str = "vocabulary.txt";
/// The file with the options of the training.
pub(crate) const RUN_FILE: &str = "run.toml";
/// Begins every run file that a training wrote.
pub(crate) const RUN_FILE_START: &str = "# Options of this model's training";

/// Kind of the classes, by the names of Hugging Face's `problem_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProblemType {
    /// A text has one class.
    SingleLabelClassification,
    /// A text may have several classes, or none.
    MultiLabelClassification,
}

impl ProblemType {
    /// Returns the type of a model whose texts may have several classes; models of one class per
    /// text have no such member.
    pub fn if_multi_label(multi_label: bool) -> Option<Self> {
        multi_label.then_some(Self::MultiLabelClassification)
    }

    /// The inverse of [`Self::if_multi_label`].
    pub fn is_multi_label(found: Option<Self>) -> bool {
        found == Some(Self::MultiLabelClassification)
    }
}

/// The first members of `config.json` in a format with several architectures.
#[derive(serde::Deserialize)]
struct ConfigHeader {
    format: String,
    version: u32,
    arch: String,
}

/// Returns the architecture of the model in a folder of this format.
///
/// # Errors
/// `config.json` is missing or has another format.
pub fn arch(dir: &Path, format: &str, version: u32) -> Result<String, Error> {
    let head: ConfigHeader = read_config(dir)?;
    check_format(dir, (format, version), (&head.format, head.version))?;
    Ok(head.arch)
}

/// Checks format and version of `config.json`.
///
/// # Errors
/// They differ from `expected`; the message names both.
pub fn check_format(dir: &Path, expected: (&str, u32), found: (&str, u32)) -> Result<(), Error> {
    if found == expected {
        return Ok(());
    }
    let words = |(format, version): (&str, u32)| format!("{format} {version}");
    let message = format!(
        "expected format `{}`, found `{}`",
        words(expected),
        words(found)
    );
    Err(unreadable(dir, CONFIG, message))
}

/// Refuses the model of another program: `format` names the program, `arch` may name a second one
/// that reads the folder. A folder without `format` in the layout of Hugging Face is of
/// `transformer`.
///
/// # Errors
/// The model is of another program; the help names it.
pub(crate) fn check_program(dir: &Path, program: &str) -> Result<(), Error> {
    let Ok(config) = read_config::<serde_json::Value>(dir) else {
        // The program's own reader explains what is wrong.
        return Ok(());
    };
    let text = |name: &str| config.get(name).and_then(serde_json::Value::as_str);
    let format = text("format").and_then(|format| format.strip_prefix("trainyard-"));
    let programs = match (format, text("model_type")) {
        (Some(format), _) => [text("arch").unwrap_or(format), format],
        (None, Some(_)) => ["transformer"; 2],
        (None, None) => return Ok(()),
    };
    if programs.contains(&program) {
        return Ok(());
    }
    let other = sanitize(programs[0]);
    let dir = dir.display();
    let message = format!("expected a model of `{program}`, found one of `{other}` in `{dir}`");
    Err(Error::new(message).help(match format {
        Some(_) => format!("use the `{other}` command for this model"),
        // Perhaps a pretrained model, which predicts nothing yet.
        None => format!(
            "use the `{other}` command for this model if it is a classifier, otherwise fine-tune \
             it: `{other} train --pretrained-model {dir}`"
        ),
    }))
}

/// Checks that the ids of `id2label` count from 0, and its labels.
///
/// # Errors
/// A message about the first wrong id or label.
pub fn check_ids(
    id2label: &BTreeMap<u32, String>,
    label2id: &BTreeMap<String, u32>,
) -> Result<(), String> {
    match (0..).zip(id2label.keys()).find(|(id, key)| id != *key) {
        Some((id, key)) => Err(format!(
            "expected the ids of `id2label` to count from 0, found `{key}` in place of `{id}`"
        )),
        None if id2label.len() < 2 => Err("expected at least 2 entries of `id2label`".to_owned()),
        None => check_labels(id2label.values(), |label| {
            label2id.get(label).copied().map(u64::from)
        }),
    }
}

/// Checks that labels, in the order of their ids, are not empty and have their ids in `label2id`,
/// so that no two are equal.
///
/// # Errors
/// A message about the first wrong label.
pub fn check_labels<'a>(
    labels: impl Iterator<Item = &'a String>,
    label2id: impl Fn(&str) -> Option<u64>,
) -> Result<(), String> {
    for (id, label) in (0..).zip(labels) {
        if label.is_empty() {
            return Err(format!(
                "expected a label for the id `{id}` in `id2label`, found an empty one"
            ));
        }
        if label2id(label) != Some(id) {
            return Err(format!(
                "expected `{}` to have the id `{id}` in `label2id`, as in `id2label`",
                sanitize(label)
            ));
        }
    }
    Ok(())
}

/// Refuses a shape of terms that training never writes: words of 1 or 2 characters or more, n-grams
/// of at most 255 tokens.
///
/// # Errors
/// A message about the wrong value.
pub fn check_terms(config: &NgramConfig) -> Result<(), String> {
    let NgramConfig {
        max_ngrams,
        min_ngrams,
        ref analyzer,
    } = *config;
    if !(1..=usize::from(u8::MAX)).contains(&max_ngrams) {
        return Err(format!(
            "expected `max_ngrams` from 1 to {}, found `{max_ngrams}`",
            u8::MAX
        ));
    }
    if !(1..=max_ngrams).contains(&min_ngrams) {
        return Err(format!(
            "expected `min_ngrams` from 1 to {max_ngrams}, found `{min_ngrams}`"
        ));
    }
    if !(1..=2).contains(&analyzer.min_word_length) {
        return Err(format!(
            "expected `min_word_length` 1 or 2, found `{}`",
            analyzer.min_word_length
        ));
    }
    Ok(())
}

/// Writes `config.json`.
///
/// # Errors
/// The file cannot be written.
pub fn write_config(dir: &Path, config: &impl Serialize) -> Result<(), Error> {
    let json =
        serde_json::to_string_pretty(config).map_err(|error| unreadable(dir, CONFIG, error))?;
    write(dir, CONFIG, format!("{json}\n").as_bytes())
}

/// Reads `config.json`.
///
/// # Errors
/// The file cannot be read or does not have these members.
pub fn read_config<C: DeserializeOwned>(dir: &Path) -> Result<C, Error> {
    serde_json::from_slice(&read(dir, CONFIG)?).map_err(|error| unreadable(dir, CONFIG, error))
}

/// Reads `vocabulary.txt`.
///
/// # Errors
/// The file cannot be read or is not UTF-8.
pub fn vocabulary(dir: &Path) -> Result<String, Error> {
    String::from_utf8(read(dir, VOCABULARY)?).map_err(|error| unreadable(dir, VOCABULARY, error))
}

/// Reads the terms in `vocabulary.txt`.
///
/// # Errors
/// As [`vocabulary`]; also if the terms are not in code point order, or one is empty.
pub fn terms(dir: &Path) -> Result<Terms, Error> {
    let terms = Terms::parse(vocabulary(dir)?);
    let message = if !terms.is_sorted() {
        "expected one term per line in code point order, found another order"
    } else if terms.iter().next() == Some("") {
        "expected one term per line, found an empty line"
    } else {
        return Ok(terms);
    };
    Err(unreadable(dir, VOCABULARY, message))
}

/// Reads the tensors of a model folder.
///
/// # Errors
/// The file cannot be read or is not a safetensors file.
pub fn tensors(dir: &Path) -> Result<Arrays, Error> {
    let path = dir.join(TENSORS);
    read_tensors(&path).map_err(|error| match error {
        TensorError::Io(error) => Error::io("read", &path)(error),
        TensorError::Format(why) => unreadable(dir, TENSORS, why),
    })
}

/// Writes a file of the folder.
///
/// # Errors
/// The file cannot be written.
pub fn write(dir: &Path, name: &str, bytes: &[u8]) -> Result<(), Error> {
    let path = dir.join(name);
    fs::write(&path, bytes).map_err(Error::io("write", &path))
}

/// Reads a file of the folder.
///
/// # Errors
/// The file cannot be read.
pub fn read(dir: &Path, name: &str) -> Result<Vec<u8>, Error> {
    let path = dir.join(name);
    fs::read(&path).map_err(Error::io("read", &path))
}

/// Returns the error for a file that is not in the expected format.
pub fn unreadable(dir: &Path, name: &str, error: impl ToString) -> Error {
    let path = dir.join(name);
    let message = format!(
        "`{}` is not a model file of this program: {}",
        path.display(),
        error.to_string()
    );
    Error::new(message)
        .help("train again, or point --model-dir at a folder that this program wrote")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An empty term has no characters, of which the terms of `char` and `char_wb` consist.
    #[test]
    fn vocabularies_in_another_order_or_with_empty_lines_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let read = |text: &str| {
            write(folder.path(), VOCABULARY, text.as_bytes()).unwrap();
            terms(folder.path()).map_err(|error| error.to_string())
        };
        assert_eq!(read(" a\nb\n").unwrap().len(), 2);
        assert!(read("b\na\n").unwrap_err().contains("found another order"));
        let error = read("\na\n").unwrap_err();
        assert!(error.contains("found an empty line"), "{error}");
    }
}
