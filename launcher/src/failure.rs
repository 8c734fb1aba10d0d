//! What every command ends with when it cannot do its work: what happened, and the next thing to type.

use std::fmt::{self, Display};

use serde::Serialize;
use serde_json::json;

use crate::exit::Exit;

/// A failure as the user sees it. Lower case, no full stop, values in backticks.
#[derive(Debug)]
pub(crate) struct Failure {
    exit: Exit,
    message: String,
    help: Vec<String>,
}

/// The result of everything that a command does.
pub(crate) type Result<T, E = Failure> = std::result::Result<T, E>;

impl Failure {
    /// The command could not do its work.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self::with(Exit::Failed, message)
    }

    /// The user typed something wrong; nothing was started.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::with(Exit::Usage, message)
    }

    /// A failure with an exit code of its own.
    pub(crate) fn with(exit: Exit, message: impl Into<String>) -> Self {
        Self {
            exit,
            message: message.into(),
            help: Vec::new(),
        }
    }

    /// Adds to the message why it is so.
    #[must_use]
    pub(crate) fn because(mut self, reason: &str) -> Self {
        self.message.push_str(": ");
        self.message.push_str(reason);
        self
    }

    /// Adds what to do next; a second one is a line of its own.
    #[must_use]
    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help.push(help.into());
        self
    }

    /// The code that the process ends with.
    pub(crate) fn exit(&self) -> Exit {
        self.exit
    }

    /// The message and its help lines, for a report that holds several.
    pub(crate) fn into_parts(self) -> (String, Vec<String>) {
        (self.message, self.help)
    }

    /// For `--json`: `{"error": {"message", "help", "exit_code"}}`.
    pub(crate) fn to_json(&self) -> impl Serialize {
        json!({"error": {
            "message": self.message,
            "help": self.help,
            "exit_code": self.exit as u8,
        }})
    }
}

impl Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.message)?;
        for help in &self.help {
            write!(f, "\n  help: {help}")?;
        }
        Ok(())
    }
}

/// An error with all that caused it, `outer: inner`, each said once.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
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
