//! Standard output: the result of a command as text or as one JSON object. `logs` writes JSON
//! lines, see `cloud::sink`.

use serde::Serialize;

pub(crate) use diagnostics::quoted_for_shell as quoted;
use diagnostics::stdio::print_text;
use diagnostics::{Error, Exit, Result};

/// Output format of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// Text for people.
    Text,
    /// `--json`: one object on standard output.
    Json,
}

impl Format {
    /// Prints `value` as JSON, or the result of `text`. Returns the exit code of success.
    pub(crate) fn print<T: Serialize>(
        self,
        value: &T,
        text: impl FnOnce(&T) -> String,
    ) -> Result<Exit> {
        let out = match self {
            Self::Text => text(value),
            Self::Json => serde_json::to_string_pretty(value).map_err(|error| {
                Error::new(format!("cannot serialize the result: {error}"))
                    .help("leave out `--json`")
            })?,
        };
        print_text(out.trim_end())?;
        Ok(Exit::Ok)
    }
}
