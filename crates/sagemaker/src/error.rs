//! Errors of files, variables and requests of the contract.

use std::path::PathBuf;

use diagnostics::sanitize;

/// An error in a file, a variable or a request of the contract.
///
/// The text ends with a `help:` line. Operating system errors are the source of this error, so that
/// [`crate::failure::compose`] can put them first.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file of the contract exists but cannot be read.
    #[error(
        "cannot read `{}`\n  help: check that it is a file and that this user has permission to read it",
        sanitize(&path.to_string_lossy())
    )]
    Read {
        /// The file.
        path: PathBuf,
        /// Error of the operating system.
        source: std::io::Error,
    },

    /// A file or folder of the contract cannot be written.
    #[error(
        "cannot write `{}`\n  help: check that the folder exists and is writable, and that the disk is not full",
        sanitize(&path.to_string_lossy())
    )]
    Write {
        /// The file.
        path: PathBuf,
        /// Error of the operating system.
        source: std::io::Error,
    },

    /// A file does not have the JSON that SageMaker writes.
    #[error(
        "`{}` is not valid: {found}\n  help: expected {expected}",
        sanitize(&path.to_string_lossy())
    )]
    Json {
        /// The file.
        path: PathBuf,
        /// Message of the parser, with line and column.
        found: String,
        /// Example of valid content.
        expected: &'static str,
    },

    /// An entry of a file is invalid.
    #[error(
        "{kind} `{}` in `{}` {problem}\n  help: {help}",
        sanitize(name),
        sanitize(&path.to_string_lossy())
    )]
    Entry {
        /// `hyperparameter`, `channel`, `host`.
        kind: &'static str,
        /// Name of the entry.
        name: String,
        /// The file.
        path: PathBuf,
        /// Description of the problem.
        problem: String,
        /// Action that removes the error.
        help: String,
    },

    /// A limit of SageMaker is exceeded; the request would be refused.
    #[error("{what}: expected {expected}, found {found}\n  help: {help}")]
    Limit {
        /// Limited item, with its name in backticks.
        what: String,
        /// The limit.
        expected: String,
        /// Actual value.
        found: String,
        /// Action that removes the error.
        help: &'static str,
    },
}

impl From<Error> for diagnostics::Error {
    /// Puts the cause first: the failure file is truncated to 1,024 characters.
    fn from(error: Error) -> Self {
        let text = error.to_string();
        let text = match std::error::Error::source(&error) {
            Some(cause) => format!("{cause}: {text}"),
            None => text,
        };
        match text.split_once("\n  help: ") {
            Some((message, help)) => Self::usage(message).help(help),
            None => Self::usage(text),
        }
    }
}
