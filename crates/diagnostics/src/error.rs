//! The error type of all programs: message, help lines, exit code.

use std::fmt::{self, Display};
use std::path::Path;
use std::process::ExitCode;

use serde::Serialize;

use crate::{Diagnostic, sanitize};

/// The result of everything that can fail with an [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The category of an [`Error`]; it decides the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The command could not do its work.
    Failed,
    /// The command line, a hyperparameter or a file of the user is wrong; nothing was started.
    Usage,
    /// A file could not be read or written.
    Io,
    /// The data has errors.
    Data,
    /// Stopped by SIGTERM before a model existed.
    Stopped,
    /// Interrupted by Ctrl-C before a model existed.
    Interrupted,
    /// The training job failed.
    JobFailed,
    /// The training job was stopped.
    JobStopped,
}

/// The exit code of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Success; also after a SIGTERM that left time to save the model.
    Ok = 0,
    /// Error: network, disk, permissions, data, an unexpected answer.
    Failed = 1,
    /// The command line, a hyperparameter or a file of the user is wrong; nothing was started.
    Usage = 2,
    /// The training job failed, in the cloud or locally.
    JobFailed = 3,
    /// The training job was stopped before its end.
    JobStopped = 4,
    /// Interrupted by Ctrl-C; remote jobs keep running.
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

impl From<ErrorKind> for Exit {
    fn from(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::Stopped => Self::Ok,
            ErrorKind::Failed | ErrorKind::Io | ErrorKind::Data => Self::Failed,
            ErrorKind::Usage => Self::Usage,
            ErrorKind::JobFailed => Self::JobFailed,
            ErrorKind::JobStopped => Self::JobStopped,
            ErrorKind::Interrupted => Self::Interrupted,
        }
    }
}

/// An error for the user: lower case, no full stop, values in backticks, then help lines.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    help: Vec<String>,
    diagnostics: Vec<Diagnostic>,
}

impl Error {
    /// The command could not do its work.
    pub fn new(message: impl Into<String>) -> Self {
        Self::with_kind(ErrorKind::Failed, message)
    }

    /// The user's input is wrong; nothing was started.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::with_kind(ErrorKind::Usage, message)
    }

    /// An error of another kind.
    pub fn with_kind(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            help: Vec::new(),
            diagnostics: Vec::new(),
        }
    }

    /// The data has these errors.
    pub fn data(diagnostics: Vec<Diagnostic>) -> Self {
        Self {
            diagnostics,
            ..Self::with_kind(ErrorKind::Data, "")
        }
    }

    /// The run was stopped before a model existed.
    pub fn stopped() -> Self {
        let message = "stopped before there was a model: nothing is saved";
        Self::with_kind(ErrorKind::Stopped, message).help("run the same command again")
    }

    /// Returns a closure for `map_err`: `cannot <action> <path>: <cause>`.
    pub fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        move |source| {
            let path = path.to_string_lossy();
            let message = format!("cannot {action} `{}`: {source}", sanitize(&path));
            Self::with_kind(ErrorKind::Io, message).help(io_help(action, &source))
        }
    }

    /// Standard output cannot be written, for another reason than a closed pipe.
    pub fn stdout(source: &std::io::Error) -> Self {
        let message = format!("cannot write to standard output: {source}");
        Self::with_kind(ErrorKind::Io, message).help("`df -h` shows which disks are full")
    }

    /// Returns message and help lines for a warning: without `error: `.
    pub fn without_prefix(&self) -> String {
        let text = self.to_string();
        match text.strip_prefix("error: ") {
            Some(rest) => rest.to_owned(),
            None => text,
        }
    }

    /// Appends the reason to the message.
    #[must_use]
    pub fn because(mut self, reason: &str) -> Self {
        self.message.push_str(": ");
        self.message.push_str(reason);
        self
    }

    /// Puts what was tried before the message.
    #[must_use]
    pub fn context(mut self, tried: &str) -> Self {
        self.message = format!("{tried}: {}", self.message);
        self
    }

    /// Adds a help line.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help.push(help.into());
        self
    }

    /// Adds findings about the data, for programs; the text does not repeat them.
    #[must_use]
    pub fn with_diagnostics(mut self, diagnostics: Vec<Diagnostic>) -> Self {
        self.diagnostics = diagnostics;
        self
    }

    /// The same error as another kind.
    #[must_use]
    pub fn into_kind(mut self, kind: ErrorKind) -> Self {
        self.kind = kind;
        self
    }

    /// The category.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The exit code of the process.
    pub fn exit(&self) -> Exit {
        self.kind.into()
    }

    /// The message and its help lines, for a report that has several errors.
    pub fn into_parts(self) -> (String, Vec<String>) {
        (self.message, self.help)
    }

    /// The object of `--json` and `--error-format json`:
    /// `{"error": {"message", "help", "exit_code", "diagnostics"}}`.
    pub fn to_json(&self) -> impl Serialize {
        #[derive(Serialize)]
        struct Report {
            error: Body,
        }
        #[derive(Serialize)]
        struct Body {
            message: String,
            help: Vec<String>,
            exit_code: u8,
            #[serde(skip_serializing_if = "Vec::is_empty")]
            diagnostics: Vec<Diagnostic>,
        }
        let is_data = self.kind == ErrorKind::Data;
        let first = self.diagnostics.first().filter(|_| is_data);
        Report {
            error: Body {
                message: first.map_or(&self.message, |first| &first.message).clone(),
                help: match first {
                    Some(first) => vec![first.help.clone()],
                    None => self.help.clone(),
                },
                exit_code: self.exit() as u8,
                diagnostics: self.diagnostics.clone(),
            },
        }
    }
}

impl Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.kind == ErrorKind::Data {
            let texts: Vec<String> = self.diagnostics.iter().map(Diagnostic::to_string).collect();
            return f.write_str(&texts.join("\n"));
        }
        // A stop is not an error.
        if !matches!(self.kind, ErrorKind::Stopped | ErrorKind::Interrupted) {
            f.write_str("error: ")?;
        }
        f.write_str(&self.message)?;
        for help in &self.help {
            write!(f, "\n  help: {help}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

impl From<Diagnostic> for Error {
    fn from(diagnostic: Diagnostic) -> Self {
        Self::data(vec![diagnostic])
    }
}

impl From<Box<Diagnostic>> for Error {
    fn from(diagnostic: Box<Diagnostic>) -> Self {
        Self::data(vec![*diagnostic])
    }
}

fn io_help(action: &str, error: &std::io::Error) -> &'static str {
    use std::io::ErrorKind;
    match error.kind() {
        ErrorKind::NotFound if action == "write" => "create its folder, or correct the path",
        ErrorKind::NotFound => "correct the path",
        ErrorKind::NotADirectory | ErrorKind::AlreadyExists => {
            "choose another path: a file has the name of a folder in it"
        }
        ErrorKind::IsADirectory => "choose another path: this is a folder, expected a file",
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            "give the user that runs this access to it"
        }
        ErrorKind::InvalidData if action == "read" => "save the file as UTF-8",
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            "free some space, or choose another disk"
        }
        _ => "check the disk and the path",
    }
}

/// An error with all its causes, `outer: inner`; a cause that the text already has is left out.
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;
    use crate::{Place, Severity};

    fn json(error: &Error) -> serde_json::Value {
        serde_json::to_value(error.to_json()).unwrap()
    }

    fn finding() -> Diagnostic {
        Diagnostic {
            severity: Severity::Error,
            code: "D014",
            message: "row has no label".to_owned(),
            place: Some(Place {
                file: "a.csv".to_owned(),
                line: Some(3),
                column: Some(5),
                record: Some(2),
            }),
            help: "fix it".to_owned(),
        }
    }

    #[test]
    fn text_has_message_and_help_lines() {
        let error = Error::new("cannot connect").because("timed out");
        let error = error.help("check the network").help("try again");
        let text = "error: cannot connect: timed out\n  help: check the network\n  help: try again";
        assert_eq!(error.to_string(), text);
    }

    #[test]
    fn stops_have_no_error_prefix() {
        let text = Error::stopped().to_string();
        assert!(text.starts_with("stopped before "), "{text}");
        let interrupted = Error::with_kind(ErrorKind::Interrupted, "interrupted");
        assert_eq!(interrupted.to_string(), "interrupted");
    }

    #[test]
    fn data_errors_print_their_findings() {
        let error = Error::data(vec![finding(), finding()]);
        let one = "error[D014]: row has no label\n  --> a.csv:3:5 (record 2)\n  help: fix it";
        assert_eq!(error.to_string(), format!("{one}\n{one}"));
        assert_eq!(Error::from(finding()).to_string(), one);
        assert_eq!(Error::from(Box::new(finding())).to_string(), one);
    }

    #[test]
    fn json_has_message_help_and_exit_code() {
        let error = Error::usage("wrong option").help("see --help");
        let expected = serde_json::json!({
            "error": {"message": "wrong option", "help": ["see --help"], "exit_code": 2}
        });
        assert_eq!(json(&error), expected);
    }

    #[test]
    fn json_of_an_error_with_findings_keeps_its_message() {
        let error = Error::new("there are errors").help("fix them");
        let error = json(&error.with_diagnostics(vec![finding()]));
        assert_eq!(error["error"]["message"], "there are errors");
        assert_eq!(error["error"]["help"], serde_json::json!(["fix them"]));
        assert_eq!(error["error"]["diagnostics"][0]["code"], "D014");
    }

    #[test]
    fn json_of_data_errors_has_all_findings_and_the_first_message() {
        let error = json(&Error::data(vec![finding(), finding()]));
        assert_eq!(error["error"]["message"], "row has no label");
        assert_eq!(error["error"]["help"], serde_json::json!(["fix it"]));
        assert_eq!(error["error"]["exit_code"], 1);
        let findings = error["error"]["diagnostics"].as_array().unwrap();
        assert_eq!(findings.len(), 2);
        assert_eq!(findings[0]["code"], "D014");
        assert_eq!(findings[0]["place"]["line"], 3);
    }

    #[test]
    fn each_kind_has_its_exit_code() {
        let cases = [
            (ErrorKind::Failed, 1),
            (ErrorKind::Usage, 2),
            (ErrorKind::Io, 1),
            (ErrorKind::Data, 1),
            (ErrorKind::Stopped, 0),
            (ErrorKind::Interrupted, 130),
            (ErrorKind::JobFailed, 3),
            (ErrorKind::JobStopped, 4),
        ];
        for (kind, code) in cases {
            let error = Error::with_kind(kind, "x");
            assert_eq!(error.exit() as u8, code, "{kind:?}");
            assert_eq!(Error::new("x").into_kind(kind).kind(), kind);
        }
    }

    #[test]
    fn io_errors_name_action_path_and_cause() {
        let cause = io::Error::from(io::ErrorKind::NotFound);
        let error = Error::io("read", Path::new("a\n.csv"))(cause);
        assert_eq!(error.kind(), ErrorKind::Io);
        let text = error.to_string();
        assert!(
            text.starts_with("error: cannot read `a\\n.csv`: "),
            "{text}"
        );
        assert!(text.ends_with("\n  help: correct the path"), "{text}");
    }

    #[test]
    fn chain_omits_causes_that_the_text_already_has() {
        #[derive(Debug)]
        struct Layer(&'static str, Option<Box<Layer>>);
        impl Display for Layer {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.0)
            }
        }
        impl std::error::Error for Layer {
            fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
                self.1.as_deref().map(|layer| layer as _)
            }
        }
        let root = Layer("refused", None);
        let middle = Layer("connect: refused", Some(Box::new(root)));
        let outer = Layer("upload", Some(Box::new(middle)));
        assert_eq!(chain(&outer), "upload: connect: refused");
    }
}
