//! The `bilstm` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    harness::run::<bilstm::BiLstm>()
}
