//! Why a command failed.

use std::path::{Path, PathBuf};

use crate::data::ReadError;
use crate::diagnostic::Diagnostic;

/// Why a command failed; each kind ends with what to do.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// What was typed, or a hyperparameter, is wrong.
    #[error("error: {message}\n  help: {help}")]
    Usage {
        /// What was expected and what was found.
        message: String,
        /// The next thing to do.
        help: String,
    },
    /// clap's own message.
    #[error("{0}")]
    Typed(String),
    /// The data is wrong.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Data(Vec<Diagnostic>),
    /// A file could not be read or written.
    #[error("error: cannot {action} `{}`: {source}\n  help: {}", contract::shown(&.path.to_string_lossy()), io_help(.source))]
    Io {
        /// `read`, `write`, ...
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's word.
        source: std::io::Error,
    },
    /// SIGTERM or Ctrl-C came before there was anything to save.
    #[error(
        "stopped before there was a model: nothing is saved\n  help: run the same command again"
    )]
    Stopped,
    /// Ctrl-C came before there was anything to save.
    #[error(
        "stopped before there was a model: nothing is saved\n  help: run the same command again"
    )]
    Interrupted,
    /// Anything else.
    #[error("error: {message}\n  help: {help}")]
    Other {
        /// What happened.
        message: String,
        /// The next thing to do.
        help: String,
    },
}

impl Failure {
    /// A wrong argument.
    pub fn usage(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self::Usage {
            message: message.into(),
            help: help.into(),
        }
    }

    /// Anything that is no wrong argument.
    pub fn other(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self::Other {
            message: message.into(),
            help: help.into(),
        }
    }

    /// A closure for `map_err`.
    pub fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io {
            action,
            path,
            source,
        }
    }
}

impl From<Diagnostic> for Failure {
    fn from(diagnostic: Diagnostic) -> Self {
        Self::Data(vec![diagnostic])
    }
}

impl From<Box<Diagnostic>> for Failure {
    fn from(diagnostic: Box<Diagnostic>) -> Self {
        Self::Data(vec![*diagnostic])
    }
}

impl From<ReadError> for Failure {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Stopped => Self::Stopped,
            ReadError::Data(bad) => Self::Data(bad.findings.errors().collect()),
        }
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
