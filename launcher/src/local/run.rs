//! The course of a local job: start, follow, stop, start again after an interruption, collect.

use std::path::Path;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::results::Results;
use super::signals::{Asked, Signals};
use crate::failure::Result;
use crate::say::say;

/// From SIGTERM to SIGKILL, as SageMaker has it.
const GRACE: Duration = Duration::from_secs(120);

/// What runs the trainer.
pub(super) trait Backend {
    type Attempt: Attempt;

    /// Starts the trainer, with its checkpoints as they are kept.
    async fn start(&self) -> Result<Self::Attempt>;
}

/// The trainer, started once.
pub(super) trait Attempt {
    /// Waits for the end. May be given up and asked again.
    async fn ended(&mut self) -> Result<Ended>;
    /// SIGTERM to the trainer.
    async fn terminate(&mut self) -> Result<()>;
    /// SIGKILL to the trainer and all that it started.
    async fn kill(&mut self) -> Result<()>;
    /// After the end: keeps its checkpoints.
    async fn keep_checkpoints(&mut self) -> Result<()>;
    /// After the end: what it wrote as the reason of its failure.
    async fn failure(&mut self) -> Result<Option<String>>;
    /// After the end: packs a folder of `/opt/ml`; false if there are no files.
    async fn pack(&mut self, folder: &str, archive: &Path) -> Result<bool>;
    /// Leaves nothing behind.
    async fn remove(self);
}

/// How the trainer ended.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ended {
    /// Exit code; 128 and its number for a signal.
    pub(super) code: i32,
    /// The engine saw it run out of memory.
    pub(super) out_of_memory: bool,
}

/// What is to happen to the job from outside.
#[derive(Debug, Clone, Copy)]
pub(super) struct Course {
    pub(super) max_run: Duration,
    pub(super) interruption: Option<Duration>,
}

/// Why the trainer was asked to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// It was not.
    Itself,
    MaxRun,
    Asked(Asked),
    /// As for spot instances.
    Interruption,
}

/// The end of a job.
#[derive(Debug)]
pub(super) struct Finished {
    pub(super) ended: Ended,
    pub(super) cause: Cause,
    pub(super) failure: Option<String>,
    /// How often it was interrupted and started again.
    pub(super) interruptions: u32,
}

/// Runs a job; the archives lie in `results` then.
pub(super) async fn run<B: Backend>(
    backend: &B,
    mut course: Course,
    results: &Results,
    signals: &mut Signals,
) -> Result<Finished> {
    let deadline = Instant::now() + course.max_run;
    let mut interruptions = 0;
    loop {
        let mut attempt = backend.start().await?;
        let outcome = follow(&mut attempt, deadline, course, results, signals).await;
        attempt.remove().await;
        let mut finished = outcome?;
        if finished.cause != Cause::Interruption {
            finished.interruptions = interruptions;
            return Ok(finished);
        }
        say("starting the job again, as SageMaker does when it has a spot instance");
        interruptions += 1;
        course.interruption = None;
    }
}

async fn follow<A: Attempt>(
    attempt: &mut A,
    deadline: Instant,
    course: Course,
    results: &Results,
    signals: &mut Signals,
) -> Result<Finished> {
    let interrupt_at = course.interruption.map(|after| Instant::now() + after);
    let (ended, cause) = watch(attempt, deadline, interrupt_at, signals).await?;
    attempt.keep_checkpoints().await?;
    let mut finished = Finished {
        ended,
        cause,
        failure: None,
        interruptions: 0,
    };
    if cause == Cause::Interruption {
        say(format!(
            "the trainer ended with exit code {} ({})",
            ended.code,
            contract::exit::meaning(ended.code)
        ));
        return Ok(finished);
    }
    if course.interruption.is_some() {
        say("the job ended before it was to be interrupted; nothing was simulated");
    }
    finished.failure = attempt.failure().await?;
    // A signal now means that somebody does not want to wait for the archives either.
    signals.give_up_on(results.collect(attempt)).await?;
    Ok(finished)
}

/// Waits for the end, and asks for it when it is time.
async fn watch<A: Attempt>(
    attempt: &mut A,
    deadline: Instant,
    interrupt_at: Option<Instant>,
    signals: &mut Signals,
) -> Result<(Ended, Cause)> {
    let mut cause = Cause::Itself;
    let mut kill_at = None;
    loop {
        let running = cause == Cause::Itself;
        tokio::select! {
            ended = attempt.ended() => return Ok((ended?, cause)),
            asked = signals.next() => {
                if matches!(cause, Cause::Asked(_)) {
                    say(format!("{} again: killing the trainer", asked.name()));
                    attempt.kill().await?;
                    continue;
                }
                cause = Cause::Asked(asked);
                say(format!(
                    "{}: stopping the job; the trainer may save what it has ({} again kills it)",
                    asked.name(),
                    asked.name()
                ));
            }
            () = sleep_until(deadline), if running => {
                cause = Cause::MaxRun;
                say("the job has run for `--max-run`: stopping it");
            }
            () = at(interrupt_at), if running => {
                cause = Cause::Interruption;
                say("simulated interruption: SIGTERM to the trainer, as before a spot instance is taken away");
            }
            () = at(kill_at) => {
                kill_at = None;
                say(format!("still running {} s after SIGTERM: killing the trainer", GRACE.as_secs()));
                attempt.kill().await?;
                continue;
            }
        }
        attempt.terminate().await?;
        kill_at = Some(kill_at.unwrap_or_else(|| Instant::now() + GRACE));
    }
}

/// Ends at that time; never without one.
async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}
