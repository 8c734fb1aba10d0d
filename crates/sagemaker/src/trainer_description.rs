//! Output of trainers for programs: `describe --json` and `--error-format json`.
//!
//! A trainer writes these types, the launcher reads them. Where SageMaker's `TrainingSpecification`
//! has a field for something, the same words are used here. Unknown fields are ignored, so that a
//! launcher can read a newer trainer.

use diagnostics::Place;
use serde::{Deserialize, Serialize};

use crate::metrics::MetricDefinition;

/// The object of `NAME describe --json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrainerDescription {
    /// Name of the trainer, its package, its binary and its image: `svm`.
    pub name: String,
    /// Version of the package.
    pub version: String,
    /// One sentence for people.
    pub description: String,
    /// Channels that a job may have, `train` first.
    pub channels: Vec<ChannelSpec>,
    /// Options of `train`, in the order of `--help`.
    pub hyperparameters: Vec<HyperparameterSpec>,
    /// Metrics that training prints.
    pub metrics: Vec<MetricDefinition>,
    /// Optional features of SageMaker that the trainer supports.
    pub supports: Supports,
    /// Subcommands: `train`, `evaluate`, ...
    pub commands: Vec<String>,
}

/// A channel that the trainer reads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelSpec {
    /// `train`, `validation`, ...
    pub name: String,
    /// True if a job without the channel fails.
    pub required: bool,
    /// MIME types of the files: `text/csv`.
    #[serde(default)]
    pub content_types: Vec<String>,
    /// Compressions of the files: `None`, `Gzip`, `Zstd`, `Bzip2`, `Xz`.
    #[serde(default)]
    pub compression: Vec<String>,
    /// SageMaker's `TrainingInputMode`: `File`, `FastFile`.
    #[serde(default)]
    pub input_modes: Vec<String>,
}

/// An option of `train`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HyperparameterSpec {
    /// The option without its dashes: `min-df`.
    pub name: String,
    /// Other spellings: `min_df`.
    #[serde(default)]
    pub aliases: Vec<String>,
    /// SageMaker's type of the value.
    #[serde(rename = "type")]
    pub parameter_type: ParameterType,
    /// Default value, if there is one.
    #[serde(default)]
    pub default: Option<String>,
    /// Values that are accepted, if they can be listed.
    #[serde(default)]
    pub range: Option<ParameterRange>,
    /// The first sentence of `--help`.
    pub help: String,
    /// True if there is no default and the option must be given.
    #[serde(default)]
    pub required: bool,
    /// True if a tuning job may vary it.
    #[serde(default)]
    pub tunable: bool,
    /// True if SageMaker's contract sets it, such as a path: it is not a hyperparameter of a job.
    #[serde(default)]
    pub reserved: bool,
}

/// SageMaker's `ParameterType`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ParameterType {
    /// A whole number.
    Integer,
    /// A decimal number.
    Continuous,
    /// One of a list of values.
    Categorical,
    /// Any text.
    FreeText,
}

/// Accepted values of a hyperparameter.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParameterRange {
    /// All accepted values, if they can be listed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub choices: Vec<String>,
    /// Smallest accepted number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<String>,
    /// Largest accepted number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<String>,
}

/// Optional features of SageMaker.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[allow(clippy::struct_excessive_bools)]
pub struct Supports {
    /// Training writes checkpoints and resumes from them.
    pub checkpoints: bool,
    /// One job may use several hosts.
    pub distributed: bool,
    /// Training can use GPUs.
    pub gpu: bool,
    /// A spot interruption loses no more than the work since the last checkpoint.
    pub spot: bool,
}

/// The last line of standard error with `--error-format json`, and of standard output with
/// `--json`, if a command fails.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorReport {
    /// The error.
    pub error: ReportedError,
}

/// The error of an [`ErrorReport`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportedError {
    /// Lower case, no full stop, values in backticks.
    pub message: String,
    /// Actions that remove the error, one line each.
    #[serde(default)]
    pub help: Vec<String>,
    /// Exit code of the process.
    pub exit_code: u8,
    /// Findings about the data, if those are the error.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub diagnostics: Vec<ReportedDiagnostic>,
}

/// A finding about data: `diagnostics::Diagnostic`, and a line of `check --json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportedDiagnostic {
    /// `error` or `warning`.
    pub severity: String,
    /// A stable code: `D014`.
    pub code: String,
    /// Lower case, no full stop, values in backticks.
    pub message: String,
    /// First place of the finding.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
    /// Action that removes the error.
    pub help: String,
}

impl TrainerDescription {
    /// True if a job of the trainer may have the channel.
    pub fn has_channel(&self, name: &str) -> bool {
        self.channels.iter().any(|channel| channel.name == name)
    }
}

impl ErrorReport {
    /// Finds the report in what a trainer printed: its last line that is one.
    pub fn find(output: &str) -> Option<Self> {
        output
            .lines()
            .rev()
            .find_map(|line| serde_json::from_str(line).ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_description_with_unknown_fields() {
        let text = r#"{"name": "svm", "version": "0.1.0", "description": "An SVM.", "new": 1,
            "channels": [{"name": "train", "required": true, "content_types": ["text/csv"]}],
            "hyperparameters": [{"name": "min-df", "aliases": ["min_df"], "type": "Integer",
                "default": "1", "range": null, "help": "Drop rare words"}],
            "metrics": [{"name": "validation:accuracy", "regex": "x=(.*)"}],
            "supports": {"checkpoints": true}, "commands": ["train"]}"#;
        let description: TrainerDescription = serde_json::from_str(text).unwrap();
        assert!(description.has_channel("train") && !description.has_channel("test"));
        let min_df = &description.hyperparameters[0];
        assert_eq!(min_df.parameter_type, ParameterType::Integer);
        assert!(!min_df.reserved);
        assert!(description.supports.checkpoints && !description.supports.gpu);
    }

    #[test]
    fn finds_the_last_error_report_after_other_lines() {
        let text = r#"loading
{"error":{"message":"no `x`","help":["pass it"],"exit_code":2}}
"#;
        let report = ErrorReport::find(text).unwrap();
        assert_eq!(report.error.message, "no `x`");
        assert_eq!(ErrorReport::find("error: no `x`\n"), None);
    }

    #[test]
    fn reads_what_the_error_type_writes() {
        let diagnostic = diagnostics::Diagnostic {
            severity: diagnostics::Severity::Error,
            code: "D014",
            message: "row has no label".to_owned(),
            place: Some(diagnostics::Place {
                file: "a.csv".to_owned(),
                line: Some(3),
                column: None,
                record: Some(2),
            }),
            help: "fix it".to_owned(),
        };
        let text = serde_json::to_string(&diagnostics::Error::from(diagnostic).to_json()).unwrap();
        let error = ErrorReport::find(&text).unwrap().error;
        assert_eq!(error.message, "row has no label");
        let place = error.diagnostics[0].place.as_ref().unwrap();
        assert_eq!((place.line, place.column), (Some(3), None));
    }
}
