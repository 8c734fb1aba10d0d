//! Standard output: the answer, as text or as one JSON object. `logs` has lines of them, by `cloud::sink`.

use serde::Serialize;

use diagnostics::{Error, Result, print_line};

/// How a command answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// For people.
    Text,
    /// `--json`: one object, nothing else, on standard output.
    Json,
}

impl Format {
    /// Prints `value` as JSON, or what `text` makes of it.
    pub(crate) fn answer<T: Serialize>(
        self,
        value: &T,
        text: impl FnOnce(&T) -> String,
    ) -> Result<()> {
        let out = match self {
            Self::Text => text(value),
            Self::Json => serde_json::to_string_pretty(value).map_err(|error| {
                Error::new(format!("cannot write the answer: {error}")).help("leave out `--json`")
            })?,
        };
        print_line(out.trim_end())
    }
}

/// A word as a shell takes it, in single quotes where it must be.
pub(crate) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@%+=,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", diagnostics::sanitize(word).replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_for_a_shell() {
        assert_eq!(quoted("/a/b-1.tar.gz"), "/a/b-1.tar.gz");
        assert_eq!(quoted("my data/it's"), r"'my data/it'\''s'");
    }
}
