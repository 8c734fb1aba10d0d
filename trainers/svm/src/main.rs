//! The `svm` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    harness::run::<svm::Svm>()
}
