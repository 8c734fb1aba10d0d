//! The `bilstm` command.

#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod heap;

use std::process::ExitCode;

fn main() -> ExitCode {
    harness::run::<bilstm::BiLstm>()
}
