//! Compares the trainer with scikit-learn on real data: matrix, optimum, metrics, model folder.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests, outside of a test function"
)]

mod folder;
mod matrix;
mod metrics;
mod multi_label;
mod optimum;
mod public_reports;
mod words;

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use testkit::{Outcome, run};

/// Returns a file of the real data, or the small sample if that is absent.
fn data(name: &str) -> PathBuf {
    let path = testkit::data_dir().join(name);
    if path.is_file() {
        path
    } else {
        testkit::movie_csv()
    }
}

/// Runs `svm` with the arguments and asserts success.
#[track_caller]
fn svm<S: AsRef<std::ffi::OsStr>>(arguments: &[S]) -> Outcome {
    let mut command = Command::new(env!("CARGO_BIN_EXE_svm"));
    command.env_clear().args(arguments);
    let outcome = run(command);
    outcome.expect_code(0);
    outcome
}

/// Trains on a file into `folder`; returns the JSON object of `--json`.
#[track_caller]
fn train(rows: &Path, folder: &Path, flags: &[&str]) -> Value {
    let [rows, folder] = [rows, folder].map(|path| path.to_str().unwrap());
    let fixed = [
        "train",
        "--train",
        rows,
        "--model-dir",
        folder,
        "--no-report",
        "--json",
    ];
    svm(&[&fixed, flags].concat()).json()
}

/// Returns the output of `predict --format jsonl --all-classes` for a file.
#[track_caller]
fn predict(model: &Path, rows: &Path) -> String {
    let [model, rows] = [model, rows].map(|path| path.to_str().unwrap());
    let arguments = ["predict", "--model-dir", model, "--input", rows];
    svm(&[&arguments[..], &["--format", "jsonl", "--all-classes"]].concat()).stdout
}

fn number(value: &Value) -> f64 {
    value
        .as_f64()
        .unwrap_or_else(|| panic!("expected a number, found {value}"))
}

/// Asserts that two numbers differ by at most the tolerance.
#[track_caller]
fn close(ours: &Value, theirs: &Value, tolerance: f64, what: &str) {
    let (ours, theirs) = (number(ours), number(theirs));
    assert!(
        (ours - theirs).abs() <= tolerance,
        "{what}: {ours}, expected {theirs}"
    );
}
