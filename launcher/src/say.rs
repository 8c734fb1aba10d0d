//! Standard error, where all but the answers go.

use std::fmt::Display;
use std::io::{self, Write};

/// Prints a line; a reader that has gone away must not end what was started.
pub(crate) fn say(text: impl Display) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}
