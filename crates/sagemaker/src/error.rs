use std::path::PathBuf;

use diagnostics::sanitize;

/// What can be wrong with a file, a variable or a request of the contract.
///
/// The text says what was found and ends with a `help:` line. The operating system's own words
/// are the source of the error, so that [`crate::failure::compose`] can put them first.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file of the contract exists but cannot be read.
    #[error(
        "cannot read `{}`\n  help: check that it is a file and that this user may read it",
        sanitize(&path.to_string_lossy())
    )]
    Read {
        /// The file.
        path: PathBuf,
        /// The operating system's answer.
        source: std::io::Error,
    },

    /// A file or folder of the contract cannot be written.
    #[error(
        "cannot write `{}`\n  help: check that the folder exists, is not full, and that this user may write to it",
        sanitize(&path.to_string_lossy())
    )]
    Write {
        /// The file.
        path: PathBuf,
        /// The operating system's answer.
        source: std::io::Error,
    },

    /// A file is not the JSON that SageMaker writes.
    #[error(
        "`{}` is not valid: {found}\n  help: expected {expected}",
        sanitize(&path.to_string_lossy())
    )]
    Json {
        /// The file.
        path: PathBuf,
        /// The parser's message, with line and column.
        found: String,
        /// An example of the right content.
        expected: &'static str,
    },

    /// One entry of a file cannot be used.
    #[error(
        "{kind} `{}` in `{}` {problem}\n  help: {help}",
        sanitize(name),
        sanitize(&path.to_string_lossy())
    )]
    Entry {
        /// `hyperparameter`, `channel`, `host`.
        kind: &'static str,
        /// The entry's name.
        name: String,
        /// The file it stands in.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
        /// What to do.
        help: String,
    },

    /// SageMaker would refuse the request.
    #[error("{what}: expected {expected}, found {found}\n  help: {help}")]
    Limit {
        /// What is limited, with its name in backticks.
        what: String,
        /// The rule.
        expected: String,
        /// What was found.
        found: String,
        /// What to do.
        help: &'static str,
    },
}

impl From<Error> for diagnostics::Error {
    /// The cause comes first: the failure file is cut after 1,024 characters.
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
