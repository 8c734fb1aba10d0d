//! Prints lines: results to standard output, everything else to standard error.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write};

use crate::{Error, Result};

/// Prints a line to standard error. Errors are ignored: a closed pipe must not end training.
pub fn eprint_line(text: impl Display) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Prints a line to standard output. A closed pipe (`| head`) is not an error.
///
/// # Errors
/// If the line cannot be written for any other reason, such as a full disk.
pub fn print_line(text: impl Display) -> Result<()> {
    let mut out = io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            let message = format!("cannot write to standard output: {error}");
            Err(Error::new(message).help("`df -h` shows which disks are full"))
        }
        _ => Ok(()),
    }
}
