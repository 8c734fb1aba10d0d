//! What model folders have in common: names of files, how they are read and refused.

mod checksums;
mod save;

pub(crate) use checksums::{check_model, names};
pub(crate) use save::{forget_report, save, writable};

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use diagnostics::Error;
use training::{Arrays, TensorError, read_tensors};

/// The file that says what the model is.
pub const CONFIG: &str = "config.json";
/// The file of the weights.
pub const TENSORS: &str = "model.safetensors";
/// The file of the words or terms, one per line.
pub const VOCABULARY: &str = "vocabulary.txt";

/// What the `config.json` of a format with several architectures begins with.
#[derive(serde::Deserialize)]
struct Head {
    format: String,
    version: u32,
    arch: String,
}

/// The architecture of the model in a folder of this format.
///
/// # Errors
///
/// There is no config, or it is another format's.
pub fn arch(dir: &Path, format: &str, version: u32) -> Result<String, Error> {
    let head: Head = serde_json::from_slice(&read(dir, CONFIG)?)
        .map_err(|error| unreadable(dir, CONFIG, error))?;
    check_format(dir, (format, version), (&head.format, head.version))?;
    Ok(head.arch)
}

/// Refuses a config of another format or version than `expected`.
///
/// # Errors
///
/// They differ; the message names both.
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

/// Refuses ids that do not count from 0.
///
/// # Errors
///
/// Words for the first id that is wrong.
pub fn check_ids(id2label: &BTreeMap<u32, String>) -> Result<(), String> {
    match (0..).zip(id2label.keys()).find(|(id, key)| id != *key) {
        Some((id, key)) => Err(format!(
            "expected the ids of `id2label` to count from 0, found `{key}` in place of `{id}`"
        )),
        None if id2label.len() < 2 => Err("expected at least 2 entries of `id2label`".to_owned()),
        None => Ok(()),
    }
}

/// The tensors of a model folder.
///
/// # Errors
///
/// The file cannot be read, or is not one of safetensors.
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
///
/// The system's, with the path.
pub fn write(dir: &Path, name: &str, bytes: &[u8]) -> Result<(), Error> {
    let path = dir.join(name);
    fs::write(&path, bytes).map_err(Error::io("write", &path))
}

/// Reads a file of the folder.
///
/// # Errors
///
/// The system's, with the path.
pub fn read(dir: &Path, name: &str) -> Result<Vec<u8>, Error> {
    let path = dir.join(name);
    fs::read(&path).map_err(Error::io("read", &path))
}

/// A file of a folder that this program cannot use, and why.
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
