//! The `bag` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    harness::run::<bag::Bag>()
}
