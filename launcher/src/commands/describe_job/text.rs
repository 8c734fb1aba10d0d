//! Formats a response as text: the state first, then all other fields, one per line.

use std::fmt::Write as _;

use aws_sdk_sagemaker::operation::describe_training_job::DescribeTrainingJobOutput;
use diagnostics::sanitize;
use jiff::Timestamp;
use serde_json::Value;

use crate::cloud::{JobState, format_timestamp};

/// Fields that are part of the state.
const STATE_FIELDS: [&str; 8] = [
    "TrainingJobName",
    "TrainingJobStatus",
    "SecondaryStatus",
    "SecondaryStatusTransitions",
    "FailureReason",
    "ModelArtifacts",
    "BillableTimeInSeconds",
    "TrainingTimeInSeconds",
];

/// Converts times in seconds since 1970 to text.
pub(super) fn convert_times(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let is_time = name.ends_with("Time") || name == "Timestamp";
                if let Some(seconds) = value.as_f64().filter(|_| is_time) {
                    #[expect(
                        clippy::cast_possible_truncation,
                        reason = "`as` saturates, and `format_timestamp` takes any number"
                    )]
                    let milliseconds = (seconds * 1000.0).round() as i64;
                    *value = Value::from(format_timestamp(milliseconds));
                } else {
                    convert_times(value);
                }
            }
        }
        Value::Array(values) => values.iter_mut().for_each(convert_times),
        _ => {}
    }
}

/// Formats the state, then all other fields.
pub(super) fn text(job: &DescribeTrainingJobOutput, response: &Value) -> String {
    let mut text = JobState::new(job, Timestamp::now()).text();
    if let Value::Object(fields) = response {
        for (name, value) in fields
            .iter()
            .filter(|(name, _)| !STATE_FIELDS.contains(&name.as_str()))
        {
            field(&mut text, name, value, 1);
        }
    }
    text
}

fn field(text: &mut String, name: &str, value: &Value, depth: usize) {
    let indent = "  ".repeat(depth);
    let name = sanitize(name);
    // Writing to a String cannot fail.
    match value {
        // Long, and the same for every job.
        Value::Array(values) if name == "MetricDefinitions" => {
            let _ = write!(text, "\n{indent}{name}: {}, see `--json`", values.len());
        }
        Value::Object(fields) if !fields.is_empty() => {
            let _ = write!(text, "\n{indent}{name}");
            for (name, value) in fields {
                field(text, name, value, depth + 1);
            }
        }
        Value::Array(values) if !values.is_empty() => {
            let _ = write!(text, "\n{indent}{name}");
            for value in values {
                match pair(value) {
                    Some((name, value)) => field(text, &name, &value, depth + 1),
                    None => field(text, "-", value, depth + 1),
                }
            }
        }
        Value::String(value) => {
            let _ = write!(text, "\n{indent}{name}: {}", sanitize(value));
        }
        other => {
            let _ = write!(text, "\n{indent}{name}: {other}");
        }
    }
}

/// Returns `{"Key": .., "Value": ..}` and similar objects as a pair, printed on one line.
fn pair(value: &Value) -> Option<(String, Value)> {
    let names = [("Key", "Value"), ("Name", "Regex"), ("MetricName", "Value")];
    names.iter().find_map(|(name, content)| {
        let name = value.get(name)?.as_str()?;
        Some((name.to_owned(), value.get(content)?.clone()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_fields_and_times() {
        let mut response = serde_json::json!({
            "CreationTime": 1_795_406_789.551,
            "MaxWaitTimeInSeconds": 5,
            "FinalMetricDataList": [{"MetricName": "train:loss", "Value": 0.5, "Timestamp": 1_795_406_789}],
            "HyperParameters": {"min_df": "5"},
            "Empty": [],
        });
        convert_times(&mut response);
        let mut text = String::new();
        field(&mut text, "job", &response, 0);
        assert_eq!(
            text,
            "\njob\n  CreationTime: 2026-11-23T04:06:29.551Z\n  Empty: []\n  FinalMetricDataList\n    train:loss: 0.5\n  \
             HyperParameters\n    min_df: 5\n  MaxWaitTimeInSeconds: 5"
        );
    }
}
