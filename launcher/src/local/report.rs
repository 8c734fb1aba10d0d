//! What a local job says at its end.

use std::fmt::Write as _;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use tokio::time::Instant;

use super::results::Delivered;
use super::run::{Cause, Ended, Finished};
use super::words::Words;
use crate::context::Context;
use crate::job::Job;
use crate::output::quoted;
use diagnostics::Exit;

/// 128 and SIGKILL, as a shell and Docker have it.
const KILLED: i32 = 137;

/// The answer: the keys of a job in the cloud, and what only a job here has.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    name: String,
    status: Status,
    /// `Completed`, `Failed`, `Stopped`, `MaxRuntimeExceeded`
    secondary_status: &'static str,
    created: String,
    started: String,
    ended: String,
    /// Of the trainer.
    seconds: f64,
    /// Nobody asks for money.
    billable_seconds: u32,
    /// As SageMaker's FailureReason has it, with the user's paths.
    failure_reason: Option<String>,
    /// `model.tar.gz`, if there are files of a model.
    model: Option<String>,
    phases: Vec<Phase>,
    /// `output.tar.gz`, if there are other results.
    output: Option<String>,
    /// The trainer's.
    exit_code: i32,
    /// Simulated ones, after which it was started again.
    interruptions: u32,
    /// The name in `output` of the report for people, if there is one.
    #[serde(skip)]
    page: Option<String>,
    /// For people.
    #[serde(skip)]
    ending: Option<String>,
}

/// SageMaker's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
enum Status {
    Completed,
    Failed,
    Stopped,
}

/// A part of the job's time, as SageMaker's secondary statuses.
#[derive(Debug, Serialize)]
struct Phase {
    status: &'static str,
    message: &'static str,
    seconds: f64,
}

impl Report {
    /// Of a job that was made at `created`, and that is over now.
    pub(super) fn new(
        job: &Job,
        created: Instant,
        finished: &Finished,
        delivered: Delivered,
    ) -> Self {
        let (status, secondary_status) = match (finished.cause, finished.ended.code) {
            (Cause::MaxRun, _) => (Status::Stopped, "MaxRuntimeExceeded"),
            (Cause::Asked(_), _) => (Status::Stopped, "Stopped"),
            (_, 0) => (Status::Completed, "Completed"),
            _ => (Status::Failed, "Failed"),
        };
        let trained = finished.begun + finished.took;
        let phase = |status, from: Instant, until: Instant| Phase {
            status,
            message: "",
            seconds: rounded(until.saturating_duration_since(from)),
        };
        Self {
            name: job.name.to_string(),
            status,
            secondary_status,
            created: moment(created),
            started: moment(finished.begun),
            ended: moment(trained),
            seconds: rounded(finished.took),
            billable_seconds: 0,
            failure_reason: (status == Status::Failed)
                .then(|| reason(finished.ended, finished.failure.as_ref())),
            model: delivered.model,
            phases: vec![
                phase("Downloading", created, finished.begun),
                phase("Training", finished.begun, trained),
                phase("Uploading", trained, Instant::now()),
            ],
            output: delivered.output,
            page: delivered.page,
            exit_code: finished.ended.code,
            interruptions: finished.interruptions,
            ending: ending(job, status, finished),
        }
    }

    /// How the command ends.
    pub(super) fn exit(&self, finished: &Finished) -> Exit {
        match (self.status, finished.cause) {
            (Status::Completed, _) => Exit::Ok,
            (Status::Failed, _) => Exit::JobFailed,
            (Status::Stopped, Cause::Asked(asked)) => asked.exit(),
            (Status::Stopped, _) => Exit::JobStopped,
        }
    }

    /// For standard error: how it ended, if not as it should.
    pub(super) fn ending(&self) -> Option<&str> {
        self.ending.as_deref()
    }

    /// For standard error: what may be done next.
    pub(super) fn next(&self, job: &Job, context: &Context) -> String {
        let mut next = self.next_step(job, context);
        // The trainer has named it by a path that is gone.
        if let (Some(page), Some(output)) = (&self.page, &self.output) {
            let _ = write!(
                next,
                "\nthe report is `{}` in `{}`",
                diagnostics::sanitize(page),
                diagnostics::sanitize(output)
            );
        }
        next
    }

    fn next_step(&self, job: &Job, context: &Context) -> String {
        match &self.model {
            Some(url) if url.starts_with("s3://") => {
                let download = context.next(&format!("download {} model.tar.gz", quoted(url)));
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
            None if self.status == Status::Failed && self.exit_code == KILLED => {
                "  help: the trainer most often needs more memory than it gets: end other programs, or take fewer data, \
                 a smaller model or a larger machine; `dmesg` shows what the system has killed"
                    .to_owned()
            }
            None if self.status == Status::Failed => format!(
                "  help: `trainyard train {} -- --help` shows what the trainer takes: type the command again when the reason is gone",
                job.trainer.name
            ),
            None => "the trainer has left no model".to_owned(),
        }
    }

    /// For standard output.
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

fn ending(job: &Job, status: Status, finished: &Finished) -> Option<String> {
    match (status, &finished.failure) {
        (Status::Completed, _) => None,
        (Status::Stopped, _) => Some(format!(
            "job `{}` was stopped; the trainer ended with {}",
            job.name,
            finished.code()
        )),
        (Status::Failed, Some(words)) if words.logged => {
            let mut text = format!(
                "error: job `{}` failed with exit code {}, for the reason above",
                job.name, finished.ended.code
            );
            if finished.ended.out_of_memory {
                text.push_str(" (out of memory)");
            }
            // The log has the container's paths.
            for place in &words.places {
                text.push_str("\n  ");
                text.push_str(place);
            }
            Some(text)
        }
        (Status::Failed, words) => {
            Some(format!("error: {}", reason(finished.ended, words.as_ref())))
        }
    }
}

/// As SageMaker puts it: the failure file's text, then the exit code.
fn reason(ended: Ended, words: Option<&Words>) -> String {
    let Ended {
        code,
        out_of_memory,
    } = ended;
    let mut text = words.map(|words| words.text.clone()).unwrap_or_default();
    if text.is_empty() {
        text = if out_of_memory {
            "out of memory: the container was killed at its memory limit".to_owned()
        } else {
            sagemaker::exit::meaning(code).to_owned()
        };
    } else if out_of_memory {
        text.push_str(" (out of memory)");
    }
    format!("AlgorithmError: {text}, exit code: {code}")
}

/// In milliseconds, which is what a clock is worth here.
fn rounded(time: std::time::Duration) -> f64 {
    (time.as_secs_f64() * 1000.0).round() / 1000.0
}

/// The wall clock's time then.
fn moment(then: Instant) -> String {
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

    fn ended(code: i32, out_of_memory: bool) -> Ended {
        Ended {
            code,
            out_of_memory,
        }
    }

    fn words(text: &str) -> Words {
        Words {
            text: text.to_owned(),
            ..Words::default()
        }
    }

    #[test]
    fn reasons() {
        assert_eq!(
            reason(ended(1, false), Some(&words("no column `text`"))),
            "AlgorithmError: no column `text`, exit code: 1"
        );
        let memory = reason(ended(137, true), None);
        assert!(memory.contains("out of memory") && memory.ends_with("exit code: 137"));
        let killed = reason(ended(137, false), Some(&words("")));
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

    /// A script that reads one kind of job reads the other.
    #[test]
    fn the_keys_are_those_of_a_job_in_the_cloud() {
        let cloud = JobState::new(
            &DescribeTrainingJobOutput::builder().build(),
            Timestamp::now(),
        );
        let report = Report {
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
            page: None,
            exit_code: 0,
            interruptions: 0,
            ending: None,
        };
        let more: Vec<_> = keys(&report).difference(&keys(&cloud)).cloned().collect();
        assert_eq!(more, ["exit_code", "interruptions", "output"]);
        assert_eq!(keys(&cloud).difference(&keys(&report)).count(), 0);
    }

    #[test]
    fn moments() {
        let then = moment(Instant::now());
        assert!(then.ends_with('Z') && then.len() <= 24, "{then}");
        assert!((rounded(Duration::from_micros(1_234_567)) - 1.235).abs() < 1e-9);
    }
}
