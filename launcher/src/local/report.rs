//! What a local job says at its end.

use std::fmt::Write as _;

use serde::Serialize;

use super::results::Delivered;
use super::run::{Cause, Ended, Finished};
use crate::exit::Exit;
use crate::job::Job;
use crate::output::quoted;

/// Lines of the failure that are shown; the rest is in the log.
const LINES: usize = 20;

/// The answer.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    job: String,
    status: Status,
    /// The trainer's.
    exit_code: i32,
    seconds: f64,
    /// Simulated ones, after which it was started again.
    interruptions: u32,
    /// `model.tar.gz`, if there are files of a model.
    model: Option<String>,
    /// `output.tar.gz`, if there are other results.
    output: Option<String>,
    /// As SageMaker's FailureReason has it.
    failure: Option<String>,
}

/// SageMaker's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
enum Status {
    Completed,
    Failed,
    Stopped,
}

impl Report {
    pub(super) fn new(job: &Job, finished: &Finished, delivered: Delivered) -> Self {
        let status = match (finished.cause, finished.ended.code) {
            (Cause::MaxRun | Cause::Asked(_), _) => Status::Stopped,
            (_, 0) => Status::Completed,
            _ => Status::Failed,
        };
        Self {
            job: job.name.to_string(),
            status,
            exit_code: finished.ended.code,
            seconds: (finished.took.as_secs_f64() * 1000.0).round() / 1000.0,
            interruptions: finished.interruptions,
            model: delivered.model,
            output: delivered.output,
            failure: (status == Status::Failed)
                .then(|| reason(finished.ended, finished.failure.as_deref())),
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
    pub(super) fn ending(&self) -> Option<String> {
        let code = self.exit_code;
        match (self.status, &self.failure) {
            (Status::Failed, Some(failure)) => Some(format!("error: {failure}")),
            (Status::Stopped, _) => Some(format!(
                "job `{}` was stopped; the trainer's exit code is {code} ({})",
                self.job,
                contract::exit::meaning(code)
            )),
            _ => None,
        }
    }

    /// For standard error: what may be done next.
    pub(super) fn next(&self, job: &Job) -> String {
        match &self.model {
            Some(url) if url.starts_with("s3://") => {
                format!("next: `trainyard download {url} model.tar.gz`, then unpack it")
            }
            Some(path) => {
                let folder = format!("{}-model", self.job);
                format!(
                    "next: `mkdir {folder} && tar -xzf {} -C {folder} && {} evaluate --model-dir {folder} --data FILE`",
                    quoted(path),
                    job.trainer.name
                )
            }
            None if self.status == Status::Failed => format!(
                "  help: the trainer's own words are above, and `trainyard describe {}` shows what it takes: type the \
                 command again when the reason is gone",
                job.trainer.name
            ),
            None => "the trainer has left no model".to_owned(),
        }
    }

    /// For standard output.
    pub(super) fn text(&self) -> String {
        let mut text = format!(
            "job `{}`: {:?} after {:.1} s",
            self.job, self.status, self.seconds
        );
        for (name, place) in [("model", &self.model), ("output", &self.output)] {
            if let Some(place) = place {
                // Writing to a String cannot fail.
                let _ = write!(text, "\n{name}: {}", contract::shown(place));
            }
        }
        text
    }
}

/// As SageMaker puts it: the failure file's text, then the exit code.
fn reason(ended: Ended, failure: Option<&str>) -> String {
    let Ended {
        code,
        out_of_memory,
    } = ended;
    let mut text = failure.map(first_lines).unwrap_or_default();
    if text.is_empty() {
        text = if out_of_memory {
            "out of memory: the container was killed at its memory limit".to_owned()
        } else {
            contract::exit::meaning(code).to_owned()
        };
    } else if out_of_memory {
        text.push_str(" (out of memory)");
    }
    format!("AlgorithmError: {text}, exit code: {code}")
}

fn first_lines(text: &str) -> String {
    let mut lines = text.trim().lines();
    let first: Vec<_> = lines.by_ref().take(LINES).map(contract::shown).collect();
    let mut text = first.join("\n");
    if lines.next().is_some() {
        text.push_str("\n…");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(code: i32, out_of_memory: bool) -> Ended {
        Ended {
            code,
            out_of_memory,
        }
    }

    #[test]
    fn reasons() {
        assert_eq!(
            reason(
                ended(1, false),
                Some("no column `text`\nwhile: reading\u{1b}[31m\n")
            ),
            "AlgorithmError: no column `text`\nwhile: reading\\u{1b}[31m, exit code: 1"
        );
        let memory = reason(ended(137, true), None);
        assert!(memory.contains("out of memory") && memory.ends_with("exit code: 137"));
        let killed = reason(ended(137, false), Some("  \n"));
        assert!(killed.contains("SIGKILL"), "{killed}");
        let many = "line\n".repeat(50);
        assert_eq!(
            reason(ended(1, false), Some(&many)).lines().count(),
            LINES + 1
        );
    }
}
