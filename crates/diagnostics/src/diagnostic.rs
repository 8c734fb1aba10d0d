//! Findings about data: code, message, place, help.

use std::fmt;

use crate::sanitize;

/// Severity of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The run continues; the finding is counted.
    Warning,
    /// The run stops.
    Error,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Warning => "warning",
            Self::Error => "error",
        })
    }
}

/// Place in the user's files.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Place {
    /// The path as the user gave it, or as found below the folder that the user gave.
    pub file: String,
    /// Line, from 1; absent for a finding about a whole file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// Column in bytes, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<u64>,
    /// Data record, from 1; the header is not counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub record: Option<u64>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&sanitize(&self.file))?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
            if let Some(column) = self.column {
                write!(f, ":{column}")?;
            }
        }
        if let Some(record) = self.record {
            write!(f, " (record {record})")?;
        }
        Ok(())
    }
}

/// A finding about the user's data. Fields may have names and values from the files verbatim.
/// `Display` sanitizes them, so that they cannot look like a metric or start a line:
///
/// ```text
/// error[D014]: row has no label
///   --> train/movie.csv:1042:318 (record 987)
///   help: 3 such rows; fix them, or pass --drop-missing
/// ```
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Diagnostic {
    /// Error or warning.
    pub severity: Severity,
    /// A stable code such as `D014`.
    pub code: &'static str,
    /// Message, with the expected and the actual value: lower case, no full stop, values in
    /// backticks.
    pub message: String,
    /// First place of the finding.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
    /// Action that removes the error.
    pub help: String,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let help = std::slice::from_ref(&self.help);
        write_finding(
            f,
            self.severity,
            Some(self.code),
            &self.message,
            self.place.as_ref(),
            help,
        )
    }
}

/// Writes message, place and help lines, all sanitized.
fn write_finding(
    f: &mut fmt::Formatter<'_>,
    severity: Severity,
    code: Option<&str>,
    message: &str,
    place: Option<&Place>,
    help: &[String],
) -> fmt::Result {
    write!(f, "{severity}")?;
    if let Some(code) = code {
        write!(f, "[{code}]")?;
    }
    write!(f, ": {}", sanitize(message))?;
    if let Some(place) = place {
        write!(f, "\n  --> {place}")?;
    }
    help.iter()
        .try_for_each(|help| write!(f, "\n  help: {}", sanitize(help)))
}

impl std::error::Error for Diagnostic {}

/// A warning of a run: a finding about its data, or another fact that the user should know. In
/// `metrics.json` it is an object with these members. `Display` sanitizes as [`Diagnostic`]'s.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Warning {
    /// [`Severity::Warning`].
    pub severity: Severity,
    /// The stable code of a finding about data, such as `D022`.
    pub code: Option<&'static str>,
    /// Message: lower case, no full stop, values in backticks.
    pub message: String,
    /// First place of a finding about data.
    pub place: Option<Place>,
    /// Actions, one line each.
    pub help: Vec<String>,
}

impl From<String> for Warning {
    /// Takes a message with its help lines, each after `\n  help: `.
    fn from(text: String) -> Self {
        let mut parts = text.split("\n  help: ").map(str::to_owned);
        Self {
            severity: Severity::Warning,
            code: None,
            message: parts.next().unwrap_or_default(),
            place: None,
            help: parts.collect(),
        }
    }
}

impl From<Diagnostic> for Warning {
    fn from(finding: Diagnostic) -> Self {
        Self {
            severity: Severity::Warning,
            code: Some(finding.code),
            message: finding.message,
            place: finding.place,
            help: vec![finding.help],
        }
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = self.place.as_ref();
        write_finding(
            f,
            self.severity,
            self.code,
            &self.message,
            place,
            &self.help,
        )
    }
}

/// Lists names in backticks, at most `max` of them and the number of others: a message about
/// hundreds of classes or files stays short.
pub fn listed<S: AsRef<str>>(names: impl IntoIterator<Item = S>, max: usize) -> String {
    let mut names = names.into_iter();
    let shown = names.by_ref().take(max);
    let shown: Vec<String> = shown
        .map(|name| format!("`{}`", sanitize(name.as_ref())))
        .collect();
    match names.count() {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// Formats `1 row`, `2 rows`.
pub fn counted(count: u64, unit: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {unit}{plural}")
}

#[cfg(test)]
mod attacks {
    use super::*;

    /// ATTACK F9: a warning named hundreds of classes.
    #[test]
    fn long_list_is_cut_after_its_first_names() {
        assert_eq!(listed(["a", "b"], 2), "`a`, `b`");
        let names = (0..300).map(|class| format!("c{class}"));
        assert_eq!(listed(names, 2), "`c0`, `c1` and 298 more");
    }
}
