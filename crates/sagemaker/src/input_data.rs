//! `inputdataconfig.json`: the job's channels and how SageMaker delivers them.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::{ContractError, file, limits};

const EXPECTED: &str =
    r#"one object per channel, such as {"train": {"TrainingInputMode": "File"}}"#;

/// The channels by name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct InputDataConfig(pub BTreeMap<String, ChannelConfig>);

/// A channel. SageMaker omits fields that were not given, and may add fields.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ChannelConfig {
    /// Content type, such as `text/csv`, as given by the user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// `File`, `FastFile` or `Pipe`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub training_input_mode: Option<String>,
    /// `FullyReplicated` or `ShardedByS3Key`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub s3_distribution_type: Option<String>,
    /// `None` or `RecordIO`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub record_wrapper_type: Option<String>,
    /// `None` or `Gzip`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compression_type: Option<String>,
}

impl ChannelConfig {
    /// Returns a channel in File mode: SageMaker copies its files before the start.
    pub fn file() -> Self {
        Self {
            training_input_mode: Some("File".to_owned()),
            ..Self::default()
        }
    }
}

impl InputDataConfig {
    /// Reads the file; `None` if it does not exist.
    ///
    /// # Errors
    /// If the file cannot be read, is invalid, or has a channel that trainers cannot read: `Pipe`
    /// mode provides a pipe instead of files, and `RecordIO` wraps each row.
    pub fn read(path: &Path) -> Result<Option<Self>, ContractError> {
        let Some(config) = file::json::<Self>(path, EXPECTED)? else {
            return Ok(None);
        };
        for (name, channel) in &config.0 {
            if let Some((problem, help)) = channel.problem(name) {
                return Err(ContractError::Entry {
                    kind: "channel",
                    name: name.clone(),
                    path: path.to_owned(),
                    problem,
                    help: help.to_owned(),
                });
            }
        }
        Ok(Some(config))
    }
}

impl ChannelConfig {
    fn problem(&self, name: &str) -> Option<(String, &'static str)> {
        let is = |field: &Option<String>, value: &str| {
            field
                .as_deref()
                .is_some_and(|field| field.eq_ignore_ascii_case(value))
        };
        if is(&self.training_input_mode, "Pipe") {
            let problem = "has the input mode `Pipe`: expected `File` or `FastFile`";
            let help = "set `TrainingInputMode` to `FastFile`, which also streams";
            Some((problem.to_owned(), help))
        } else if is(&self.record_wrapper_type, "RecordIO") {
            let problem = "is wrapped as `RecordIO`: expected `None`";
            Some((problem.to_owned(), "set `RecordWrapperType` to `None`"))
        } else if limits::check_channel_name(name).is_err() {
            // The name becomes a path, so `../..` must not pass.
            let problem = "has an invalid name";
            Some((problem.to_owned(), "use letters, digits, `.`, `-` and `_`"))
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Option<InputDataConfig>, ContractError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("inputdataconfig.json");
        std::fs::write(&path, text).unwrap();
        InputDataConfig::read(&path)
    }

    #[test]
    fn reads_config_of_sagemaker() {
        let text = r#"{"train": {"ContentType": "text/csv", "TrainingInputMode": "File",
            "S3DistributionType": "FullyReplicated", "RecordWrapperType": "None", "New": [1]},
            "test": {}}"#;
        let config = read(text).unwrap().unwrap();
        assert_eq!(config.0["train"].content_type.as_deref(), Some("text/csv"));
        assert_eq!(
            config.0["train"].s3_distribution_type.as_deref(),
            Some("FullyReplicated")
        );
        assert_eq!(config.0["test"], ChannelConfig::default());
    }

    #[test]
    fn config_round_trips() {
        let config = InputDataConfig(BTreeMap::from([(
            "train".to_owned(),
            ChannelConfig::file(),
        )]));
        let text = serde_json::to_string(&config).unwrap();
        assert_eq!(text, r#"{"train":{"TrainingInputMode":"File"}}"#);
        assert_eq!(read(&text).unwrap(), Some(config));
    }

    #[test]
    fn missing_file_is_none() {
        assert_eq!(
            InputDataConfig::read(Path::new("/nowhere/at/all.json")).unwrap(),
            None
        );
    }

    #[test]
    fn unsupported_channels_are_refused() {
        let cases = [
            (
                r#"{"a": {"TrainingInputMode": "Pipe"}}"#,
                "channel `a` in",
                "FastFile",
            ),
            (
                r#"{"a": {"RecordWrapperType": "RecordIO"}}"#,
                "RecordIO",
                "set `RecordWrapperType`",
            ),
            (r#"{"../x": {}}"#, "channel `../x`", "use letters"),
            ("[]", "expected one object per channel", "line 1"),
            ("", "EOF", "line 1"),
        ];
        for (text, first, second) in cases {
            let error = read(text).unwrap_err();
            let message = format!("{error}\n  help: {}", error.help());
            assert!(
                message.contains(first) && message.contains(second),
                "{message}"
            );
        }
    }
}
