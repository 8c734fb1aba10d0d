//! Python programs that compute the expected results.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;

use crate::process::{Outcome, run};

/// Runs a Python script with the pinned Python of `./test`.
///
/// # Panics
/// If `TRAINYARD_PYTHON` is not set.
#[track_caller]
pub fn python<S: AsRef<OsStr>>(script: &Path, arguments: &[S]) -> Outcome {
    let Some(python) = std::env::var_os("TRAINYARD_PYTHON") else {
        panic!(
            "`TRAINYARD_PYTHON` is not set, expected the Python with the pinned scikit-learn\n\
             help: run the tests with `./test`, which makes it"
        );
    };
    let mut command = Command::new(python);
    // No bytecode files in the work tree.
    command.arg("-B").arg(script).args(arguments);
    run(command)
}

/// Runs `tests/judges/NAME.py` with the pinned PyTorch and returns the JSON object that it prints.
///
/// # Panics
/// If `TRAINYARD_TORCH_PYTHON` is not set, or if the judge fails or prints anything else.
#[track_caller]
pub fn torch_judge<S: AsRef<OsStr>>(name: &str, arguments: &[S]) -> serde_json::Value {
    let Some(python) = std::env::var_os("TRAINYARD_TORCH_PYTHON") else {
        panic!(
            "`TRAINYARD_TORCH_PYTHON` is not set, expected the Python with the pinned PyTorch\n\
             help: run the tests with `./test`, which makes it"
        );
    };
    let mut command = Command::new(python);
    command.arg("-B").arg(script(name)).args(arguments);
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
