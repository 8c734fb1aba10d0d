//! The `nb` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    harness::run::<nb::Nb>()
}
