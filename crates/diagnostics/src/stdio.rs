//! Prints lines: results to standard output, everything else to standard error, where messages
//! have clap's colours on a terminal.

use std::fmt::Display;
use std::io::{self, ErrorKind, IsTerminal, Write};

use crate::{Error, Result};

/// Prints a line to standard error. Errors are ignored: a closed pipe must not end training.
pub fn eprint_line(text: impl Display) {
    let mut text = text.to_string();
    if stderr_has_colors() {
        text = colored(&text);
    }
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// True if standard error is a terminal and `NO_COLOR` (<https://no-color.org>) is not set.
pub fn stderr_has_colors() -> bool {
    let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let is_dumb = || std::env::var_os("TERM").is_some_and(|name| name == "dumb");
    io::stderr().is_terminal() && !is_set("NO_COLOR") && !is_dumb()
}

/// First words of a line of a message, and their colours in clap and rustc.
const COLORS: [(&str, &str); 4] = [
    ("error", "\x1b[1;31m"),
    ("warning", "\x1b[1;33m"),
    ("  help:", "\x1b[1;32m"),
    ("  -->", "\x1b[1;34m"),
];

/// Colours `error[D014]:`, `warning:`, `  -->` and `  help:` at the start of a line.
fn colored(text: &str) -> String {
    let line = |line: &str| {
        let found = COLORS.iter().find_map(|(word, color)| {
            let rest = line.strip_prefix(word)?;
            // Of `error` and `warning` also the code.
            let end = match word.starts_with(' ') {
                true => 0,
                false if rest.starts_with([':', '[']) => rest.find(':')? + 1,
                false => return None,
            };
            let (start, rest) = line.split_at(word.len() + end);
            Some(format!("{color}{start}\x1b[0m{rest}"))
        });
        found.unwrap_or_else(|| line.to_owned())
    };
    text.split('\n').map(line).collect::<Vec<_>>().join("\n")
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

#[cfg(test)]
mod public_reports {
    use super::*;

    /// USER 16: errors of trainers have no colour.
    #[test]
    fn messages_have_colours_and_other_lines_do_not() {
        let message = "error[D014]: row has no label\n  --> a.csv:3:5\n  help: fix it";
        let expected = "\x1b[1;31merror[D014]:\x1b[0m row has no label\n\
                        \x1b[1;34m  -->\x1b[0m a.csv:3:5\n\x1b[1;32m  help:\x1b[0m fix it";
        assert_eq!(colored(message), expected);
        assert_eq!(colored("warning: a: b"), "\x1b[1;33mwarning:\x1b[0m a: b");
        for other in ["errors are counted: 3", "errors", "train: 2 rows", ""] {
            assert_eq!(colored(other), other);
        }
    }
}
