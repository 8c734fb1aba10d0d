//! Standard output.

use diagnostics::eprint_line;
use std::fmt::Display;
use std::io::{self, ErrorKind, Write};
use std::process::exit;

/// Prints a line, or ends the process: quietly if the reader, such as `head`, has seen enough.
pub(super) fn line(text: impl Display) {
    match writeln!(io::stdout().lock(), "{text}") {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::BrokenPipe => exit(0),
        Err(error) => {
            eprint_line(format_args!(
                "error: cannot write to standard output: {error}\n  help: check where it goes"
            ));
            exit(1)
        }
    }
}
