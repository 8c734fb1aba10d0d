//! Prints lines: results to standard output, everything else to standard error, where messages
//! have clap's colours on a terminal.
//!
//! SageMaker looks for metrics in all that a trainer prints. A trainer therefore prints only
//! [`LogText`], JSON that is as safe, and metrics ([`MetricText`]). [`print_text`] and
//! [`eprint_text`] are for the launcher. Colours are added last, to safe text.

use std::fmt::Display;
use std::io::{self, ErrorKind, IsTerminal, Write};

use serde::Serialize;

use crate::sanitize::{LogText, sanitize_json};
use crate::{Error, Result};

/// Metrics of the program: a text without anything of a user.
pub trait MetricText: Display {}

/// Prints a message to standard error. Errors are ignored: a closed pipe must not end training.
pub fn eprint_line(message: impl Display) {
    eprint_text(LogText::new(message));
}

/// Prints a message to standard error in place of the progress bar of a terminal, which is one line
/// and draws itself again below. Errors are ignored.
pub fn eprint_over_bar(message: impl Display) {
    let clear = match io::stderr().is_terminal() && !is_dumb() {
        true => "\r\x1b[2K",
        false => "",
    };
    eprint_text(format_args!("{clear}{}", LogText::new(message)));
}

/// Prints metrics after a message to standard error.
pub fn eprint_metrics(message: impl Display, metrics: &impl MetricText) {
    eprint_text(format_args!("{}{metrics}", LogText::new(message)));
}

/// Prints a value as a line of JSON to standard error, in one write: servers print one per request.
pub fn eprint_json(value: &impl Serialize) {
    if let Ok(json) = serde_json::to_string(value) {
        let line = format!("{}\n", sanitize_json(&json));
        let _ = io::stderr().lock().write_all(line.as_bytes());
    }
}

/// Emphasis of a line that is not a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Bold.
    Bold,
    /// Green.
    Green,
}

/// Prints a line to standard error, with emphasis on a terminal with colours. Errors are ignored.
pub fn eprint_styled(line: impl Display, style: Style) {
    let line = LogText::new(line);
    if !stderr_has_colors() {
        return eprint_text(line);
    }
    let start = match style {
        Style::Bold => "\x1b[1m",
        Style::Green => "\x1b[32m",
    };
    eprint_text(format_args!("{start}{line}\x1b[0m"));
}

/// True if standard error is a terminal and `NO_COLOR` (<https://no-color.org>) is not set.
fn stderr_has_colors() -> bool {
    let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    io::stderr().is_terminal() && !is_set("NO_COLOR") && !is_dumb()
}

/// True for a terminal without control sequences.
fn is_dumb() -> bool {
    std::env::var_os("TERM").is_some_and(|name| name == "dumb")
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

/// Prints text of several lines to standard error as it is, apart from the colours of messages.
/// Errors are ignored.
pub fn eprint_text(text: impl Display) {
    let mut text = text.to_string();
    if stderr_has_colors() {
        text = colored(&text);
    }
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Prints text of several lines to standard output as it is.
///
/// # Errors
/// As [`print_line`].
pub fn print_text(text: impl Display) -> Result<()> {
    let mut out = io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(Error::stdout(&error)),
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
