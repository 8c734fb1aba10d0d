//! The report at the end of a local job.

use std::fmt::Write as _;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use tokio::time::Instant;

use super::backend::{ExitState, SIGKILL_EXIT_CODE};
use super::failure_reason::FailureReason;
use super::results::Delivered;
use super::run::{JobOutcome, StopCause};
use crate::context::Context;
use crate::job::Job;
use crate::output::quoted;
use diagnostics::Exit;

/// Result of the command: the keys of a SageMaker job and those of local jobs.
#[derive(Debug, Serialize)]
pub(super) struct LocalJobReport {
    name: String,
    status: Status,
    /// `Completed`, `Failed`, `Stopped`, `MaxRuntimeExceeded`
    secondary_status: &'static str,
    created: String,
    started: String,
    ended: String,
    /// Duration of the training.
    seconds: f64,
    /// Always 0.
    billable_seconds: u32,
    /// As SageMaker's FailureReason, with the user's paths.
    failure_reason: Option<String>,
    /// `model.tar.gz`, if there are files of a model.
    model: Option<String>,
    phases: Vec<Phase>,
    /// `output.tar.gz`, if there are other results.
    output: Option<String>,
    /// Exit code of the trainer.
    exit_code: i32,
    /// Number of simulated interruptions.
    interruptions: u32,
    /// Path of the HTML report, or its name in `output` in S3, if there is one.
    #[serde(skip)]
    html_report: Option<String>,
    /// Message about an end other than success.
    #[serde(skip)]
    ending: Option<String>,
}

/// SageMaker's `TrainingJobStatus`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
enum Status {
    Completed,
    Failed,
    Stopped,
}

/// A period of the job, as SageMaker's secondary statuses.
#[derive(Debug, Serialize)]
struct Phase {
    status: &'static str,
    message: &'static str,
    seconds: f64,
}

impl LocalJobReport {
    /// Report of a job that was created at `created` and has ended.
    pub(super) fn new(
        job: &Job,
        created: Instant,
        outcome: &JobOutcome,
        delivered: Delivered,
    ) -> Self {
        let (status, secondary_status) = match (outcome.cause, outcome.ended.code) {
            (StopCause::MaxRun, _) => (Status::Stopped, "MaxRuntimeExceeded"),
            (StopCause::Signal(_), _) => (Status::Stopped, "Stopped"),
            (_, 0) => (Status::Completed, "Completed"),
            _ => (Status::Failed, "Failed"),
        };
        let trained = outcome.started + outcome.duration;
        let phase = |status, from: Instant, until: Instant| Phase {
            status,
            message: "",
            seconds: rounded(until.saturating_duration_since(from)),
        };
        Self {
            name: job.name.to_string(),
            status,
            secondary_status,
            created: timestamp(created),
            started: timestamp(outcome.started),
            ended: timestamp(trained),
            seconds: rounded(outcome.duration),
            billable_seconds: 0,
            failure_reason: (status == Status::Failed)
                .then(|| failure_text(outcome.ended, outcome.failure.as_ref())),
            model: delivered.model,
            phases: vec![
                phase("Downloading", created, outcome.started),
                phase("Training", outcome.started, trained),
                phase("Uploading", trained, Instant::now()),
            ],
            output: delivered.output,
            html_report: delivered.report,
            exit_code: outcome.ended.code,
            interruptions: outcome.interruptions,
            ending: ending(job, status, outcome),
        }
    }

    /// Exit of the command.
    pub(super) fn exit(&self, outcome: &JobOutcome) -> Exit {
        match (self.status, outcome.cause) {
            (Status::Completed, _) => Exit::Ok,
            (Status::Failed, _) => Exit::JobFailed,
            (Status::Stopped, StopCause::Signal(signal)) => signal.kind().into(),
            (Status::Stopped, _) => Exit::JobStopped,
        }
    }

    /// Message on standard error about an end other than success.
    pub(super) fn ending(&self) -> Option<&str> {
        self.ending.as_deref()
    }

    /// Message on standard error about the next command.
    pub(super) fn suggestion(&self, job: &Job, context: &Context) -> String {
        let mut text = self.next_step(job, context);
        // The path in the trainer's log does not exist any more.
        if let (Some(page), Some(output)) = (&self.html_report, &self.output) {
            let _ = write!(text, "\nthe report is `{}`", diagnostics::sanitize(page));
            if output.starts_with("s3://") {
                let _ = write!(text, " in `{}`", diagnostics::sanitize(output));
            }
        }
        text
    }

    fn next_step(&self, job: &Job, context: &Context) -> String {
        match &self.model {
            Some(url) if url.starts_with("s3://") => {
                let download = context.suggest(&format!("download {} model.tar.gz", quoted(url)));
                format!("next: {download}, then unpack it")
            }
            Some(path) => {
                let folder = format!("{}-model", self.name);
                format!(
                    "next: `mkdir {folder} && tar -xzf {} -C {folder} && {} evaluate --model-dir {folder} --data FILE`",
                    quoted(path),
                    job.trainer.name
                )
            }
            None if self.status == Status::Failed && self.exit_code == SIGKILL_EXIT_CODE => {
                "  help: the usual cause is too little memory: close other programs, or use less data, \
                 a smaller model or a larger machine; `dmesg` lists processes that the system killed"
                    .to_owned()
            }
            None if self.status == Status::Failed => format!(
                "  help: `trainyard train {} -- --help` shows the trainer's options: run the command again once the cause is fixed",
                job.trainer.name
            ),
            None => "the trainer wrote no model".to_owned(),
        }
    }

    /// Text on standard output.
    pub(super) fn text(&self) -> String {
        let mut text = format!(
            "job `{}`: {:?} after {:.1} s",
            self.name, self.status, self.seconds
        );
        for (name, place) in [("model", &self.model), ("output", &self.output)] {
            if let Some(place) = place {
                // Writing to a String cannot fail.
                let _ = write!(text, "\n{name}: {}", diagnostics::sanitize(place));
            }
        }
        text
    }
}

fn ending(job: &Job, status: Status, outcome: &JobOutcome) -> Option<String> {
    match (status, &outcome.failure) {
        (Status::Completed, _) => None,
        (Status::Stopped, _) => Some(format!(
            "job `{}` was stopped; the trainer ended with {}",
            job.name,
            outcome.code()
        )),
        (Status::Failed, Some(failure)) if failure.in_log => {
            let mut text = format!(
                "error: job `{}` failed with exit code {}, for the reason above",
                job.name, outcome.ended.code
            );
            if outcome.ended.out_of_memory {
                text.push_str(" (out of memory)");
            }
            // The log has the container's paths only.
            for place in &failure.path_lines {
                let _ = write!(text, "\n  {place}");
            }
            Some(text)
        }
        (Status::Failed, failure) => Some(format!(
            "error: {}",
            failure_text(outcome.ended, failure.as_ref())
        )),
    }
}

/// Returns the failure file's text and the exit code, in SageMaker's form.
fn failure_text(ended: ExitState, failure: Option<&FailureReason>) -> String {
    let ExitState {
        code,
        out_of_memory,
    } = ended;
    let mut text = failure
        .map(|failure| failure.text.clone())
        .unwrap_or_default();
    if text.is_empty() {
        text = if out_of_memory {
            "out of memory: the container was killed at its memory limit".to_owned()
        } else {
            sagemaker::failure::exit_code_meaning(code).to_owned()
        };
    } else if out_of_memory {
        text.push_str(" (out of memory)");
    }
    format!("AlgorithmError: {text}, exit code: {code}")
}

/// Rounds to milliseconds.
fn rounded(time: std::time::Duration) -> f64 {
    (time.as_secs_f64() * 1000.0).round() / 1000.0
}

/// Converts to wall clock time.
fn timestamp(then: Instant) -> String {
    let ago = SignedDuration::try_from(then.elapsed()).unwrap_or_default();
    let time = Timestamp::now().checked_sub(ago).unwrap_or_default();
    let millisecond = Timestamp::from_millisecond(time.as_millisecond());
    millisecond.unwrap_or(time).to_string()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use aws_sdk_sagemaker::operation::describe_training_job::DescribeTrainingJobOutput;

    use super::*;
    use crate::cloud::JobState;

    fn exit_state(code: i32, out_of_memory: bool) -> ExitState {
        ExitState {
            code,
            out_of_memory,
        }
    }

    fn failure(text: &str) -> FailureReason {
        FailureReason {
            text: text.to_owned(),
            ..FailureReason::default()
        }
    }

    #[test]
    fn failure_reasons() {
        assert_eq!(
            failure_text(exit_state(1, false), Some(&failure("no column `text`"))),
            "AlgorithmError: no column `text`, exit code: 1"
        );
        let memory = failure_text(exit_state(137, true), None);
        assert!(memory.contains("out of memory") && memory.ends_with("exit code: 137"));
        let killed = failure_text(exit_state(137, false), Some(&failure("")));
        assert!(killed.contains("SIGKILL"), "{killed}");
    }

    fn keys(value: &impl Serialize) -> BTreeSet<String> {
        let value = serde_json::to_value(value).expect("it is for JSON");
        value
            .as_object()
            .expect("an object")
            .keys()
            .cloned()
            .collect()
    }

    /// Scripts can read both kinds of jobs.
    #[test]
    fn has_the_keys_of_a_sagemaker_job() {
        let cloud = JobState::new(
            &DescribeTrainingJobOutput::builder().build(),
            Timestamp::now(),
        );
        let report = LocalJobReport {
            name: String::new(),
            status: Status::Completed,
            secondary_status: "Completed",
            created: String::new(),
            started: String::new(),
            ended: String::new(),
            seconds: 0.0,
            billable_seconds: 0,
            failure_reason: None,
            model: None,
            phases: Vec::new(),
            output: None,
            html_report: None,
            exit_code: 0,
            interruptions: 0,
            ending: None,
        };
        let additional: Vec<_> = keys(&report).difference(&keys(&cloud)).cloned().collect();
        assert_eq!(additional, ["exit_code", "interruptions", "output"]);
        assert_eq!(keys(&cloud).difference(&keys(&report)).count(), 0);
    }

    #[test]
    fn times_have_milliseconds() {
        let then = timestamp(Instant::now());
        assert!(then.ends_with('Z') && then.len() <= 24, "{then}");
        assert!((rounded(Duration::from_micros(1_234_567)) - 1.235).abs() < 1e-9);
    }
}
