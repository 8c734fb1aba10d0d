//! Output of log lines.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Write};

use super::logs::Event;
use super::state::format_timestamp;
use crate::output::Format;
use diagnostics::{Error, Result};

/// Writer of log events.
#[derive(Debug)]
pub(crate) struct Sink {
    target: Target,
    /// True for a terminal: control characters are escaped.
    terminal: bool,
    json: bool,
    /// True to prefix each line with its host.
    pub(super) hosts: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    Out,
    Err,
}

impl Sink {
    /// Writes to standard output, as the result of the command; with `--json` one object per line.
    pub(crate) fn stdout(format: Format) -> Self {
        Self {
            target: Target::Out,
            terminal: io::stdout().is_terminal(),
            json: format == Format::Json,
            hosts: false,
        }
    }

    /// Writes to standard error; the result of the command follows on standard output.
    pub(crate) fn stderr() -> Self {
        Self {
            target: Target::Err,
            terminal: io::stderr().is_terminal(),
            json: false,
            hosts: false,
        }
    }

    /// True if this writes to standard error.
    pub(super) fn is_stderr(&self) -> bool {
        self.target == Target::Err
    }

    /// Writes events. Returns false if the reader has closed the pipe. Errors of standard error are
    /// ignored.
    ///
    /// # Errors
    ///
    /// If standard output cannot be written, as on a full disk.
    pub(super) fn write(&self, events: &[Event]) -> Result<bool> {
        let mut text = String::new();
        for event in events {
            self.add(event, &mut text);
        }
        match self.target {
            Target::Out => match write_all(io::stdout().lock(), &text) {
                Ok(()) => Ok(true),
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
                Err(error) => Err(
                    Error::new(format!("cannot write to standard output: {error}"))
                        .help("free space or use another file, then run the command again: CloudWatch has the whole log"),
                ),
            },
            Target::Err => {
                let _ = write_all(io::stderr().lock(), &text);
                Ok(true)
            }
        }
    }

    fn add(&self, event: &Event, text: &mut String) {
        // Writing to a String cannot fail.
        if self.json {
            let line = serde_json::json!({
                "time": format_timestamp(event.time),
                "host": event.host,
                "stream": event.stream,
                "message": event.message,
            });
            let _ = writeln!(text, "{line}");
            return;
        }
        for line in event.message.trim_end_matches('\n').split('\n') {
            let line = match self.terminal {
                true => escaped(line),
                false => Cow::Borrowed(line),
            };
            let _ = if self.hosts {
                writeln!(text, "{} | {line}", event.host)
            } else {
                writeln!(text, "{line}")
            };
        }
    }
}

/// Escapes control characters except tabs, as `\u{1b}`.
fn escaped(line: &str) -> Cow<'_, str> {
    let is_control = |c: char| c.is_control() && c != '\t';
    if !line.contains(is_control) {
        return Cow::Borrowed(line);
    }
    let mut text = String::with_capacity(line.len() + 16);
    for c in line.chars() {
        if is_control(c) {
            let _ = write!(text, "\\u{{{:x}}}", u32::from(c));
        } else {
            text.push(c);
        }
    }
    Cow::Owned(text)
}

fn write_all(mut out: impl Write, text: &str) -> io::Result<()> {
    out.write_all(text.as_bytes())?;
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(sink: &Sink, message: &str) -> String {
        let event = Event {
            time: 0,
            host: "algo-1".to_owned(),
            stream: "algo-1-1".to_owned(),
            message: message.to_owned(),
        };
        let mut text = String::new();
        sink.add(&event, &mut text);
        text
    }

    #[test]
    fn escapes_control_characters_on_a_terminal() {
        let mut sink = Sink::stdout(Format::Text);
        sink.terminal = true;
        assert_eq!(
            written(&sink, "a\tb\u{1b}[2Jc\r"),
            "a\tb\\u{1b}[2Jc\\u{d}\n"
        );
        sink.terminal = false;
        assert_eq!(written(&sink, "a\u{1b}[2J"), "a\u{1b}[2J\n");
    }

    #[test]
    fn prefixes_every_line_with_its_host() {
        let mut sink = Sink::stdout(Format::Text);
        sink.hosts = true;
        assert_eq!(written(&sink, "a\n  b\n"), "algo-1 | a\nalgo-1 |   b\n");
    }

    #[test]
    fn writes_one_json_object_per_event() {
        let sink = Sink::stdout(Format::Json);
        let line = written(&sink, "a\nb");
        let value: serde_json::Value = serde_json::from_str(&line).expect("one line of JSON");
        assert_eq!(value["message"], "a\nb");
        assert_eq!(value["time"], "1970-01-01T00:00:00Z");
    }
}
