//! The `transformer` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    harness::run::<transformer::Transformer>()
}
