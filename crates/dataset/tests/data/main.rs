//! Tests of the public API.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

#[cfg(feature = "parquet")]
mod arrow;
mod attacks;
mod campaigns;
mod files;
mod messages;
mod multi_label;
mod near;
#[cfg(feature = "parquet")]
mod parquet;
mod properties;
mod public_reports;
mod rows;
mod whole;

use dataset::{Encode, Format, ReadError, ReadOptions, Rows, Source, read};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

/// A stop flag that is never set.
static GO: AtomicBool = AtomicBool::new(false);

/// Keeps the texts, unlike trainers.
#[derive(Debug, Default)]
struct Texts(Vec<String>);

impl Encode for Texts {
    fn encode(&mut self, text: &str) {
        self.0.push(text.to_owned());
    }
}

/// A folder with one file in it.
struct Given {
    folder: tempfile::TempDir,
    path: PathBuf,
}

fn given(name: &str, bytes: impl AsRef<[u8]>) -> Given {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    Given { folder, path }
}

impl Given {
    fn source(&self) -> Vec<Source> {
        vec![Source::file(
            &self.path,
            Format::of_name(&self.path).unwrap(),
        )]
    }

    fn read(&self, options: &ReadOptions) -> Result<Rows<Texts>, ReadError> {
        read(&self.source(), options, Texts::default, &GO)
    }

    /// Returns text and label of each row.
    fn pairs(&self, options: &ReadOptions) -> Vec<(String, String)> {
        pairs(&self.read(options).unwrap())
    }

    /// Returns all messages about the file, without the name of the folder.
    fn messages(&self, options: &ReadOptions) -> String {
        let message = match self.read(options) {
            Ok(rows) => rows.findings.to_string(),
            Err(error) => error.to_string(),
        };
        without(&message, self.folder.path())
    }
}

fn without(message: &str, folder: &Path) -> String {
    message
        .replace(&format!("{}/", folder.display()), "")
        .replace(&folder.display().to_string(), "FOLDER")
}

fn pairs(rows: &Rows<Texts>) -> Vec<(String, String)> {
    let text =
        |at: &dataset::RowRef| rows.encoders[at.encoder as usize].0[at.index as usize].clone();
    let label = |label: &u32| rows.label_names[*label as usize].clone();
    rows.order
        .iter()
        .map(text)
        .zip(rows.labels.iter().map(label))
        .collect()
}

fn pair(text: &str, label: &str) -> (String, String) {
    (text.to_owned(), label.to_owned())
}

fn options() -> ReadOptions {
    ReadOptions::default()
}

fn dropping() -> ReadOptions {
    ReadOptions {
        drop_missing: true,
        drop_malformed: true,
        ..options()
    }
}
