//! Prints lines: results to standard output, everything else to standard error.
//!
//! SageMaker looks for metrics in all that a trainer prints. A trainer therefore prints only
//! [`LogText`], JSON that is as safe, and metrics ([`MetricText`]). [`print_text`] and
//! [`eprint_text`] are for the launcher.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write};

use serde::Serialize;

use crate::sanitize::{LogText, sanitize_json};
use crate::{Error, Result};

/// Metrics of the program: a text without anything of a user.
pub trait MetricText: Display {}

/// Prints a message to standard error. Errors are ignored: a closed pipe must not end training.
pub fn eprint_line(message: impl Display) {
    eprint_text(LogText::new(message));
}

/// Prints metrics after a message to standard error.
pub fn eprint_metrics(message: impl Display, metrics: &impl MetricText) {
    eprint_text(format_args!("{}{metrics}", LogText::new(message)));
}

/// Prints a value as a line of JSON to standard error.
pub fn eprint_json(value: &impl Serialize) {
    if let Ok(json) = serde_json::to_string(value) {
        eprint_text(sanitize_json(&json));
    }
}

/// Prints a line to standard output. A closed pipe (`| head`) is not an error.
///
/// # Errors
/// If the line cannot be written for any other reason, such as a full disk.
pub fn print_line(line: impl Display) -> Result<()> {
    print_text(LogText::new(line))
}

/// Prints a value as a line of JSON to standard output.
///
/// # Errors
/// As [`print_line`].
pub fn print_json(value: &impl Serialize) -> Result<()> {
    let json = serde_json::to_string(value).map_err(|error| {
        Error::new(format!("cannot write the result as JSON: {error}")).help("leave out --json")
    })?;
    print_text(sanitize_json(&json))
}

/// Prints text of several lines to standard error as it is. Errors are ignored.
pub fn eprint_text(text: impl Display) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Prints text of several lines to standard output as it is.
///
/// # Errors
/// As [`print_line`].
pub fn print_text(text: impl Display) -> Result<()> {
    let mut out = io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            let message = format!("cannot write to standard output: {error}");
            Err(Error::new(message).help("`df -h` shows which disks are full"))
        }
        _ => Ok(()),
    }
}
