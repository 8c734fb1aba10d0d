//! End-to-end tests with the real binary: train, evaluate, predict, check, explain.
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests, outside of a test function"
)]

mod attacks;
mod campaigns;
mod edge_cases;
mod evaluate;
mod findings;
mod help_lines;
mod job;
mod model;
mod multi_label;
mod predict;
mod public_reports;
mod rows;
mod serve;
mod terminal;

use std::ffi::OsStr;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use testkit::{Outcome, movie_csv, run};

const BIN: &str = env!("CARGO_BIN_EXE_svm");

/// Temporary folder of one test.
struct Workspace(tempfile::TempDir);

impl Workspace {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// Creates a folder with a model trained on the sample data with these flags.
    fn with_model(flags: &[&str]) -> Self {
        let workspace = Self::new();
        workspace.train(&movie_csv(), flags).expect_code(0);
        workspace
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        std::fs::write(self.path(name), bytes).unwrap();
        self.path(name)
    }

    fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap()
    }

    /// Runs `svm COMMAND --model-dir FOLDER/model ...`.
    fn svm<S: AsRef<OsStr>>(&self, name: &str, arguments: &[S]) -> Outcome {
        run(self.command(name, arguments))
    }

    fn command<S: AsRef<OsStr>>(&self, name: &str, arguments: &[S]) -> Command {
        let mut command = Command::new(BIN);
        command
            .env_clear()
            .arg(name)
            .arg("--model-dir")
            .arg(self.path("model"))
            .args(arguments);
        command
    }

    fn train(&self, rows: &Path, flags: &[&str]) -> Outcome {
        self.svm(
            "train",
            &[&["--train", rows.to_str().unwrap()], flags].concat(),
        )
    }

    /// Runs `predict` with rows on standard input; returns its standard output.
    fn predict_piped(&self, arguments: &[&str], input: &[u8]) -> String {
        let mut command = self.command("predict", arguments);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()
    }

    /// Files of the model, without those that contain times.
    fn model(&self) -> [Vec<u8>; 3] {
        ["config.json", "vocabulary.txt", "model.safetensors"]
            .map(|name| self.read(&format!("model/{name}")))
    }
}

fn records(csv: &str) -> Vec<csv::StringRecord> {
    csv::Reader::from_reader(csv.as_bytes())
        .records()
        .map(|record| record.unwrap())
        .collect()
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap()
}
