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
        let severity = match self.severity {
            Severity::Warning => "warning",
            Severity::Error => "error",
        };
        write!(f, "{severity}[{}]: {}", self.code, sanitize(&self.message))?;
        if let Some(place) = &self.place {
            write!(f, "\n  --> {place}")?;
        }
        write!(f, "\n  help: {}", sanitize(&self.help))
    }
}

impl std::error::Error for Diagnostic {}

/// Formats `1 row`, `2 rows`.
pub fn counted(count: u64, unit: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {unit}{plural}")
}
