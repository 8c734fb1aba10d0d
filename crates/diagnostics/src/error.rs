//! The error type of all programs: message, help lines, exit code.

use std::fmt::{self, Display};
use std::path::Path;

use serde::Serialize;

use crate::{Diagnostic, Exit, sanitize};

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
    /// SIGTERM came before there was a model.
    Stopped,
    /// Ctrl-C came before there was a model.
    Interrupted,
    /// The training job failed.
    JobFailed,
    /// The training job was stopped.
    JobStopped,
}

/// An error as the user reads it: lower case, no full stop, values in backticks, then what to do.
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

    /// The run was stopped before there was a model.
    pub fn stopped() -> Self {
        let message = "stopped before there was a model: nothing is saved";
        Self::with_kind(ErrorKind::Stopped, message).help("run the same command again")
    }

    /// Returns a closure for `map_err`: `cannot <action> <path>: <cause>`.
    pub fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        move |source| {
            let path = path.to_string_lossy();
            let message = format!("cannot {action} `{}`: {source}", sanitize(&path));
            Self::with_kind(ErrorKind::Io, message).help(io_help(&source))
        }
    }

    /// Appends the reason to the message.
    #[must_use]
    pub fn because(mut self, reason: &str) -> Self {
        self.message.push_str(": ");
        self.message.push_str(reason);
        self
    }

    /// Adds a help line.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help.push(help.into());
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
        let first = self.diagnostics.first();
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

fn io_help(error: &std::io::Error) -> &'static str {
    use std::io::ErrorKind;
    match error.kind() {
        ErrorKind::NotFound => "check the path",
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            "give the user that runs this access to it"
        }
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            "free some room, or choose another disk"
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
