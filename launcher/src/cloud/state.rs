//! State of a job: status, phases with their times, billed time and model.

use std::fmt::Write as _;

use aws_sdk_sagemaker::operation::describe_training_job::DescribeTrainingJobOutput;
use aws_sdk_sagemaker::primitives::DateTime;
use aws_sdk_sagemaker::types::SecondaryStatusTransition;
use diagnostics::{Exit, sanitize};
use jiff::Timestamp;
use serde::Serialize;

use crate::aws::Aws;

/// Output of `status`, and of `train` at the end.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct JobState {
    pub(crate) name: String,
    /// `InProgress`, `Completed`, `Failed`, `Stopping`, `Stopped`
    pub(crate) status: String,
    /// `Downloading`, `Training`, `MaxRuntimeExceeded` and more
    pub(crate) secondary_status: String,
    pub(crate) created: Option<String>,
    pub(crate) started: Option<String>,
    pub(crate) ended: Option<String>,
    /// Time on the instances, including download and upload.
    pub(crate) seconds: Option<i32>,
    pub(crate) billable_seconds: Option<i32>,
    pub(crate) failure_reason: Option<String>,
    /// URL of the model, after the end.
    pub(crate) model: Option<String>,
    pub(crate) phases: Vec<Phase>,
    #[serde(skip)]
    pub(super) instance_count: i32,
    #[serde(skip)]
    pub(super) ended_at: Option<Timestamp>,
}

/// A secondary status and its duration.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Phase {
    pub(crate) status: String,
    pub(crate) message: String,
    /// Duration; until now for the last phase.
    pub(crate) seconds: f64,
}

impl JobState {
    /// Reads the response of SageMaker; `now` ends the current phase.
    pub(crate) fn new(job: &DescribeTrainingJobOutput, now: Timestamp) -> Self {
        let status = job
            .training_job_status()
            .map_or("", |s| s.as_str())
            .to_owned();
        let artifacts = job.model_artifacts().and_then(|m| m.s3_model_artifacts());
        let transitions = job.secondary_status_transitions();
        Self {
            name: job.training_job_name().unwrap_or_default().to_owned(),
            secondary_status: job.secondary_status().map_or("", |s| s.as_str()).to_owned(),
            created: job.creation_time().and_then(text_of),
            started: job.training_start_time().and_then(text_of),
            ended: job.training_end_time().and_then(text_of),
            seconds: job.training_time_in_seconds(),
            billable_seconds: job.billable_time_in_seconds(),
            failure_reason: job.failure_reason().map(str::to_owned),
            // The SDK returns an empty string where SageMaker has none.
            model: artifacts
                .filter(|url| is_end(&status) && !url.is_empty())
                .map(str::to_owned),
            phases: transitions.iter().map(|t| Phase::new(t, now)).collect(),
            instance_count: job
                .resource_config()
                .and_then(|r| r.instance_count())
                .unwrap_or(1),
            ended_at: is_end(&status)
                .then(|| job.training_end_time().or(job.last_modified_time()))
                .flatten()
                .and_then(to_timestamp),
            status,
        }
    }

    /// True if the job has ended.
    pub(crate) fn is_over(&self) -> bool {
        is_end(&self.status)
    }

    /// Exit code of a command that waited for the job.
    pub(crate) fn exit(&self) -> Exit {
        match self.status.as_str() {
            "Failed" => Exit::JobFailed,
            "Stopped" | "Stopping" => Exit::JobStopped,
            _ => Exit::Ok,
        }
    }

    /// Formats the state as text.
    pub(crate) fn text(&self) -> String {
        let mut text = format!("{}: {}", sanitize(&self.name), self.both_states());
        let row = |name: &str, seconds| format!("\n  {name:<14} {:>8}", format_duration(seconds));
        // Writing to a String cannot fail.
        for phase in &self.phases {
            text += &row(&phase.status, phase.seconds);
            if !phase.message.is_empty() {
                let _ = write!(text, "  {}", sanitize(&phase.message));
            }
        }
        if let Some(seconds) = self.seconds {
            text += &row("on instances", f64::from(seconds));
        }
        if let Some(seconds) = self.billable_seconds {
            text += &row("billable", f64::from(seconds));
            if let Some(saved) = self.saved() {
                let _ = write!(text, "  ({saved} % saved)");
            }
        }
        if let Some(reason) = &self.failure_reason {
            let lines = reason.trim().lines().map(sanitize);
            let reason: Vec<_> = lines.map(|line| format!("\n    {line}")).collect();
            let _ = write!(text, "\n  failure reason{}", reason.concat());
        }
        if let Some(model) = &self.model {
            let _ = write!(text, "\n  model          {}", sanitize(model));
        }
        text
    }

    /// Suggests the next commands.
    pub(super) fn suggestions(&self, aws: &Aws) -> Vec<String> {
        let name = &self.name;
        let describe = aws.suggest(&format!("describe {name}"));
        let describe = format!("next: {describe} shows all details");
        let first = match self.status.as_str() {
            "Completed" => format!(
                "next: {} downloads and unpacks the model to `model/`",
                aws.suggest(&format!("download model --job-name {name}"))
            ),
            _ => format!(
                "next: {} shows its log",
                aws.suggest(&format!("logs {name} --no-wait"))
            ),
        };
        vec![first, describe]
    }

    /// Returns `InProgress (Training)`, or one word if both are the same.
    pub(crate) fn both_states(&self) -> String {
        if self.secondary_status.is_empty() || self.secondary_status == self.status {
            self.status.clone()
        } else {
            format!("{} ({})", self.status, self.secondary_status)
        }
    }

    /// Percentage that spot instances saved.
    fn saved(&self) -> Option<i32> {
        let (paid, used) = (self.billable_seconds?, self.seconds?);
        (used > 0 && paid < used).then(|| 100 - 100 * paid / used)
    }
}

impl Phase {
    fn new(transition: &SecondaryStatusTransition, now: Timestamp) -> Self {
        let seconds = |time: &DateTime| time.as_secs_f64();
        let start = transition.start_time().map(seconds);
        let end = transition.end_time().map(seconds);
        #[expect(
            clippy::cast_precision_loss,
            reason = "milliseconds since 1970 fit into 53 bits"
        )]
        let now = now.as_millisecond() as f64 / 1000.0;
        let length = start.map_or(0.0, |start| (end.unwrap_or(now) - start).max(0.0));
        Self {
            status: transition.status().map_or("", |s| s.as_str()).to_owned(),
            message: transition.status_message().unwrap_or_default().to_owned(),
            seconds: (length * 1000.0).round() / 1000.0,
        }
    }
}

fn is_end(status: &str) -> bool {
    matches!(status, "Completed" | "Failed" | "Stopped")
}

fn to_timestamp(time: &DateTime) -> Option<Timestamp> {
    Timestamp::from_millisecond(time.to_millis().ok()?).ok()
}

fn text_of(time: &DateTime) -> Option<String> {
    time.to_millis().ok().map(format_timestamp)
}

/// Formats milliseconds since 1970 as `2026-11-23T04:05:06Z`.
pub(crate) fn format_timestamp(milliseconds: i64) -> String {
    Timestamp::from_millisecond(milliseconds)
        .map_or_else(|_| milliseconds.to_string(), |t| t.to_string())
}

/// Formats as `12 s`, `3 min 4 s` or `2 h 5 min`.
fn format_duration(seconds: f64) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "`as` saturates, and no job lasts that long"
    )]
    let whole = seconds.round() as u64;
    match whole {
        0..60 => format!("{whole} s"),
        60..3600 => format!("{} min {} s", whole / 60, whole % 60),
        _ => format!("{} h {} min", whole / 3600, whole % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_durations_and_timestamps() {
        for (seconds, text) in [
            (0.2, "0 s"),
            (59.0, "59 s"),
            (184.0, "3 min 4 s"),
            (7500.0, "2 h 5 min"),
        ] {
            assert_eq!(format_duration(seconds), text);
        }
        assert_eq!(
            format_timestamp(1_795_406_789_551),
            "2026-11-23T04:06:29.551Z"
        );
    }
}
