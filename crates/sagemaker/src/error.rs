//! Errors of files, variables and requests of the contract.

use std::path::PathBuf;

use diagnostics::sanitize;

/// An error in a file, a variable or a request of the contract.
///
/// Its text is the message without [`ContractError::help`]. Operating system errors are the source
/// of this error, so that [`crate::failure::compose`] can put them first.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ContractError {
    /// A file of the contract exists but cannot be read.
    #[error("cannot read `{}`", sanitize(&path.to_string_lossy()))]
    Read {
        /// The file.
        path: PathBuf,
        /// Error of the operating system.
        source: std::io::Error,
    },

    /// A file or folder of the contract cannot be written.
    #[error("cannot write `{}`", sanitize(&path.to_string_lossy()))]
    Write {
        /// The file.
        path: PathBuf,
        /// Error of the operating system.
        source: std::io::Error,
    },

    /// A file does not have the JSON that SageMaker writes.
    #[error("`{}` is not valid: {found}", sanitize(&path.to_string_lossy()))]
    Json {
        /// The file.
        path: PathBuf,
        /// Message of the parser, with line and column.
        found: String,
        /// Example of valid content, after `expected`.
        help: String,
    },

    /// An entry of a file is invalid.
    #[error(
        "{kind} `{}` in `{}` {problem}",
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
    #[error("{what}: expected {expected}, found {found}")]
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

impl ContractError {
    /// Returns the action that removes the error.
    pub fn help(&self) -> &str {
        match self {
            Self::Read { .. } => {
                "check that it is a file and that this user has permission to read it"
            }
            Self::Write { .. } => {
                "check that the folder exists and is writable, and that the disk is not full"
            }
            Self::Json { help, .. } | Self::Entry { help, .. } => help,
            Self::Limit { help, .. } => help,
        }
    }
}

impl From<ContractError> for diagnostics::Error {
    /// Puts the cause first: the failure file is truncated to 1,024 characters.
    fn from(error: ContractError) -> Self {
        let message = match std::error::Error::source(&error) {
            Some(cause) => format!("{cause}: {error}"),
            None => error.to_string(),
        };
        Self::usage(message).help(error.help())
    }
}
