//! Python programs that compute the expected results.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::{Outcome, run};

/// Runs a Python script with the pinned Python of `./test`.
///
/// # Panics
/// If `TRAINYARD_PYTHON` is not set.
#[track_caller]
pub fn python<S: AsRef<OsStr>>(script: &Path, arguments: &[S]) -> Outcome {
    let mut command = pinned("TRAINYARD_PYTHON", script);
    command.args(arguments);
    run(command)
}

/// Returns the command of a script with the Python that a variable of `./test` names.
#[track_caller]
fn pinned(variable: &str, script: &Path) -> Command {
    let mut command = Command::new(program(variable, "a Python with pinned packages"));
    // No bytecode files in the work tree.
    command.arg("-B").arg(script);
    command
}

/// Returns the path of a program, which `./test` puts into a variable.
#[track_caller]
fn program(variable: &str, what: &str) -> PathBuf {
    let Some(path) = std::env::var_os(variable) else {
        panic!(
            "`{variable}` is not set, expected the path of {what}\n\
             help: run the tests with `./test`, which finds or installs it"
        );
    };
    path.into()
}

/// Returns the path of Chromium.
///
/// # Panics
/// If `TRAINYARD_CHROMIUM` is not set.
#[track_caller]
pub fn chromium() -> String {
    let path = program("TRAINYARD_CHROMIUM", "Chromium or Chrome");
    path.to_string_lossy().into_owned()
}

/// Returns the command of `tests/judges/NAME.py` with the Python that a variable of `./test` names.
///
/// # Panics
/// If the variable is not set.
#[track_caller]
pub fn judge_command(variable: &str, name: &str) -> Command {
    pinned(variable, &script(name))
}

/// Runs `tests/judges/NAME.py` with the pinned PyTorch and returns the JSON object that it prints.
///
/// # Panics
/// If `TRAINYARD_TORCH_PYTHON` is not set, or if the judge fails or prints anything else.
#[track_caller]
pub fn torch_judge<S: AsRef<OsStr>>(name: &str, arguments: &[S]) -> serde_json::Value {
    let mut command = judge_command("TRAINYARD_TORCH_PYTHON", name);
    command.args(arguments);
    run(command).expect_code(0).json()
}

fn script(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../tests/judges")
        .join(name)
        .with_extension("py")
}

/// Runs `tests/judges/NAME.py` and returns the JSON object that it prints.
///
/// # Panics
/// If the judge fails or prints anything else.
#[track_caller]
pub fn judge<S: AsRef<OsStr>>(name: &str, arguments: &[S]) -> serde_json::Value {
    let outcome = python(&script(name), arguments);
    outcome.expect_code(0).json()
}

/// Runs `tests/judges/NAME.py` for several lists of arguments, in one process, and returns the JSON
/// objects that it prints.
///
/// # Panics
/// As [`judge`].
#[track_caller]
pub fn judge_cases(name: &str, cases: &[Vec<String>]) -> Vec<serde_json::Value> {
    let (_folder, path) = cases_file(cases);
    results(judge("cases", &[OsStr::new(name), path.as_os_str()]), cases)
}

/// As [`judge_cases`], with the pinned PyTorch.
///
/// # Panics
/// As [`torch_judge`].
#[track_caller]
pub fn torch_judge_cases(name: &str, cases: &[Vec<String>]) -> Vec<serde_json::Value> {
    let (_folder, path) = cases_file(cases);
    let arguments = [OsStr::new(name), path.as_os_str()];
    results(torch_judge("cases", &arguments), cases)
}

fn cases_file(cases: &[Vec<String>]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let path = folder.path().join("cases.json");
    std::fs::write(&path, serde_json::json!(cases).to_string()).expect("a file can be written");
    (folder, path)
}

#[track_caller]
fn results(mut printed: serde_json::Value, cases: &[Vec<String>]) -> Vec<serde_json::Value> {
    match printed["cases"].take() {
        serde_json::Value::Array(results) if results.len() == cases.len() => results,
        other => panic!("expected a list of {} results, found {other}", cases.len()),
    }
}
