//! Where log lines go.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Write};

use super::logs::Event;
use super::state::format_timestamp;
use crate::output::Format;
use diagnostics::{Error, Result};

/// Takes the events as they come.
#[derive(Debug)]
pub(crate) struct Sink {
    target: Target,
    /// A terminal obeys control characters, and a log may hold anything.
    terminal: bool,
    json: bool,
    /// With several machines each line says whose it is.
    pub(super) hosts: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    Out,
    Err,
}

impl Sink {
    /// To standard output: the logs are the answer. With `--json` an object per line.
    pub(crate) fn answer(format: Format) -> Self {
        Self {
            target: Target::Out,
            terminal: io::stdout().is_terminal(),
            json: format == Format::Json,
            hosts: false,
        }
    }

    /// To standard error, beside an answer that is still to come.
    pub(crate) fn stderr() -> Self {
        Self {
            target: Target::Err,
            terminal: io::stderr().is_terminal(),
            json: false,
            hosts: false,
        }
    }

    /// Whether the answer is still to come.
    pub(super) fn is_beside(&self) -> bool {
        self.target == Target::Err
    }

    /// False if nobody reads any more; an error if the lines cannot be written, as on a full disk. Standard error stops
    /// nothing.
    pub(super) fn take(&self, events: &[Event]) -> Result<bool> {
        let mut text = String::new();
        for event in events {
            self.add(event, &mut text);
        }
        match self.target {
            Target::Out => match write(io::stdout().lock(), &text) {
                Ok(()) => Ok(true),
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
                Err(error) => Err(
                    Error::new(format!("cannot write to standard output: {error}"))
                        .help("the log is whole in CloudWatch: type the command again"),
                ),
            },
            Target::Err => {
                let _ = write(io::stderr().lock(), &text);
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
            let line = self.safe(line);
            let _ = if self.hosts {
                writeln!(text, "{} | {line}", event.host)
            } else {
                writeln!(text, "{line}")
            };
        }
    }

    fn safe<'a>(&self, line: &'a str) -> Cow<'a, str> {
        if !self.terminal {
            return Cow::Borrowed(line);
        }
        escaped(line)
    }
}

/// Control characters but the tab, as `\u{1b}`.
fn escaped(line: &str) -> Cow<'_, str> {
    let steers = |c: char| c.is_control() && c != '\t';
    if !line.contains(steers) {
        return Cow::Borrowed(line);
    }
    let mut text = String::with_capacity(line.len() + 16);
    for c in line.chars() {
        if steers(c) {
            let _ = write!(text, "\\u{{{:x}}}", u32::from(c));
        } else {
            text.push(c);
        }
    }
    Cow::Owned(text)
}

fn write(mut out: impl Write, text: &str) -> io::Result<()> {
    out.write_all(text.as_bytes())?;
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sanitize(sink: &Sink, message: &str) -> String {
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
    fn a_log_cannot_steer_a_terminal() {
        let mut sink = Sink::stdout(Format::Text);
        sink.terminal = true;
        assert_eq!(
            sanitize(&sink, "a\tb\u{1b}[2Jc\r"),
            "a\tb\\u{1b}[2Jc\\u{d}\n"
        );
        sink.terminal = false;
        assert_eq!(sanitize(&sink, "a\u{1b}[2J"), "a\u{1b}[2J\n");
    }

    #[test]
    fn hosts_stand_before_every_line() {
        let mut sink = Sink::stdout(Format::Text);
        sink.hosts = true;
        assert_eq!(sanitize(&sink, "a\n  b\n"), "algo-1 | a\nalgo-1 |   b\n");
    }

    #[test]
    fn json_lines() {
        let sink = Sink::stdout(Format::Json);
        let line = sanitize(&sink, "a\nb");
        let value: serde_json::Value = serde_json::from_str(&line).expect("one line of JSON");
        assert_eq!(value["message"], "a\nb");
        assert_eq!(value["time"], "1970-01-01T00:00:00Z");
    }
}
