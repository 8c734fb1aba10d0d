//! Messages about data: one code, one place, one way out.

use crate::sanitize;
use std::fmt;

/// Whether the run can go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The run goes on; the finding is counted.
    Warning,
    /// The run stops.
    Error,
}

/// Where in the user's files something was found.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
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

/// One finding about the user's data. The fields may hold names and values as they stand in the files; what is printed
/// is made safe for a log as a whole, so that no part of it can count as a metric or start a line. In this manner:
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
    /// What was expected and what was found: lower case, no full stop, values in backticks.
    pub message: String,
    /// The first place where it was seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
    /// The next thing to do.
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
