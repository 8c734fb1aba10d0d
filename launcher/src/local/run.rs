//! The course of a local job: start, follow, stop, start again after an interruption, collect.

use std::path::Path;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::folder::Setup;
use super::results::Results;
use super::signals::{Asked, Signals};
use super::trouble::{Trouble, warn};
use super::words::Words;
use crate::context::Context;
use diagnostics::{Result, eprint_line};

/// From SIGTERM to SIGKILL, as SageMaker has it.
const GRACE: Duration = Duration::from_secs(120);

/// 128 and SIGKILL.
const KILLED: i32 = 137;

/// What runs the trainer.
pub(super) trait Backend {
    type Attempt: Attempt;

    /// Makes what the trainer runs in. Quick, for this is not given up half-way.
    async fn create(&self) -> Result<Self::Attempt>;
}

/// The trainer, started once.
pub(super) trait Attempt {
    /// Brings in what takes time, such as its checkpoints as they are kept. May be given up.
    async fn prepare(&mut self) -> Result<()>;
    /// Starts the trainer. Takes no time, and is not given up: a trainer that runs is to be asked to end.
    async fn start(&mut self) -> Result<()>;
    /// Waits for the end. May be given up and asked again.
    async fn ended(&mut self) -> Result<Ended>;
    /// SIGTERM to the trainer.
    async fn terminate(&mut self) -> Result<()>;
    /// SIGKILL to the trainer and all that it started.
    async fn kill(&mut self) -> Result<()>;
    /// After the end: keeps its checkpoints.
    async fn keep_checkpoints(&mut self) -> Result<()>;
    /// After the end: what it wrote as the reason of its failure.
    async fn failure(&mut self) -> Result<Option<Words>>;
    /// After the end: packs a folder of `/opt/ml`; false if there are no files.
    async fn pack(&mut self, folder: &str, archive: &Path) -> Result<bool>;
    /// Leaves nothing behind.
    async fn remove(self);
    /// Leaves the trainer's files, which could not be kept elsewhere, and tells how to get at them.
    async fn leave(self) -> String;
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

/// Why the trainer was not asked any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Killed {
    /// The same was asked for twice.
    Again(Asked),
    /// It had its time.
    Overdue,
}

impl Killed {
    /// After `killed`.
    pub(super) fn reason(self) -> String {
        match self {
            Self::Again(asked) => format!("by the second {}", asked.name()),
            Self::Overdue => format!("{} s after SIGTERM", GRACE.as_secs()),
        }
    }
}

/// The end of a job.
#[derive(Debug)]
pub(super) struct Finished {
    pub(super) ended: Ended,
    pub(super) cause: Cause,
    /// By us.
    pub(super) killed: Option<Killed>,
    pub(super) failure: Option<Words>,
    /// How often it was interrupted and started again.
    pub(super) interruptions: u32,
    /// The trainer's first start.
    pub(super) begun: Instant,
    /// From then to its end.
    pub(super) took: Duration,
    /// Its checkpoints are where they are kept on this machine.
    pub(super) checkpoints_kept: bool,
    /// Not all that it has written could be kept.
    left: bool,
    /// What went wrong after its end.
    pub(super) trouble: Trouble,
}

impl Finished {
    fn new((ended, cause, killed): End, begun: Instant) -> Self {
        Self {
            ended,
            cause,
            killed,
            failure: None,
            interruptions: 0,
            begun,
            took: begun.elapsed(),
            checkpoints_kept: false,
            left: false,
            trouble: Trouble::default(),
        }
    }

    /// `exit code 137 (killed by the second Ctrl-C)`
    pub(super) fn code(&self) -> String {
        let code = self.ended.code;
        match self.killed {
            // It may have ended by itself in the same moment.
            Some(killed) if code == KILLED => {
                format!("exit code {code} (killed {})", killed.reason())
            }
            _ => format!("exit code {code} ({})", sagemaker::exit::meaning(code)),
        }
    }
}

/// How it ended, why it was asked to, and why it was killed.
type End = (Ended, Cause, Option<Killed>);

/// Runs a job; the archives lie in `results` then. An error is of a trainer whose end was not seen.
pub(super) async fn run<B: Backend>(
    backend: &B,
    mut course: Course,
    results: &Results,
    setup: &Setup,
    signals: &mut Signals,
    context: &Context,
) -> Result<Finished> {
    let mut first = once(backend, None, course, results, signals).await?;
    if first.cause != Cause::Interruption || first.trouble.is_some() {
        return Ok(first);
    }
    // As SageMaker does all the time; at the end it is tried again.
    if let Err(failure) = signals.give_up_on(setup.hand_over(context)).await
        && !signals.given_up()
    {
        warn(failure);
    }
    eprint_line("starting the job again, as SageMaker does when it has a spot instance");
    course.interruption = None;
    match once(backend, Some(first.begun), course, results, signals).await {
        Ok(second) => Ok(Finished {
            interruptions: 1,
            ..second
        }),
        Err(failure) => {
            first.trouble.note::<()>(Err(failure));
            Ok(first)
        }
    }
}

/// One attempt, from its start to its last file.
async fn once<B: Backend>(
    backend: &B,
    begun: Option<Instant>,
    course: Course,
    results: &Results,
    signals: &mut Signals,
) -> Result<Finished> {
    // Only what was begun can be cleaned up, and a signal that came by now is noticed below.
    let mut attempt = backend.create().await?;
    let mut outcome = follow(&mut attempt, begun, course, results, signals).await;
    match &mut outcome {
        Ok(finished) if finished.left => finished.trouble.help(attempt.leave().await),
        _ => attempt.remove().await,
    }
    outcome
}

async fn follow<A: Attempt>(
    attempt: &mut A,
    begun: Option<Instant>,
    course: Course,
    results: &Results,
    signals: &mut Signals,
) -> Result<Finished> {
    signals.give_up_on(attempt.prepare()).await?;
    attempt.start().await?;
    let started = Instant::now();
    let begun = begun.unwrap_or(started);
    let interrupt_at = course.interruption.map(|after| started + after);
    let deadline = begun + course.max_run;
    let end = watch(attempt, deadline, interrupt_at, signals).await?;
    let mut finished = Finished::new(end, begun);
    if finished.cause == Cause::Interruption {
        eprint_line(format!("the trainer ended with {}", finished.code()));
    } else {
        if course.interruption.is_some() {
            eprint_line("the job ended before it was to be interrupted; nothing was simulated");
        }
        keep_results(attempt, &mut finished, results, signals).await;
    }
    let kept = signals.give_up_on(attempt.keep_checkpoints()).await;
    finished.checkpoints_kept = finished.trouble.note(kept).is_some();
    finished.left |= !finished.checkpoints_kept;
    Ok(finished)
}

/// A signal now means that somebody does not want to wait for the archives either.
async fn keep_results<A: Attempt>(
    attempt: &mut A,
    finished: &mut Finished,
    results: &Results,
    signals: &mut Signals,
) {
    let trouble = &mut finished.trouble;
    let failure = signals.give_up_on(attempt.failure()).await;
    finished.failure = trouble.note(failure).flatten();
    for archive in results.archives() {
        let packed = signals
            .give_up_on(attempt.pack(archive.folder, &archive.file))
            .await;
        finished.left |= trouble.note(packed).is_none();
    }
}

/// Waits for the end, and asks for it when it is time.
async fn watch<A: Attempt>(
    attempt: &mut A,
    deadline: Instant,
    interrupt_at: Option<Instant>,
    signals: &mut Signals,
) -> Result<End> {
    let (mut cause, mut killed) = (Cause::Itself, None);
    let mut kill_at = None;
    loop {
        let running = cause == Cause::Itself;
        tokio::select! {
            ended = attempt.ended() => return Ok((ended?, cause, killed)),
            asked = signals.next() => {
                if matches!(cause, Cause::Asked(_)) {
                    killed = killed.or(Some(Killed::Again(asked)));
                    eprint_line(format!("{} again: killing the trainer", asked.name()));
                    attempt.kill().await?;
                    continue;
                }
                cause = Cause::Asked(asked);
                eprint_line(format!(
                    "{}: stopping the job; the trainer may save what it has ({} again kills it)",
                    asked.name(),
                    asked.name()
                ));
            }
            () = sleep_until(deadline), if running => {
                cause = Cause::MaxRun;
                eprint_line("the job has run for `--max-run`: stopping it");
            }
            () = at(interrupt_at), if running => {
                cause = Cause::Interruption;
                eprint_line("simulated interruption: SIGTERM to the trainer, as before a spot instance is taken away");
            }
            () = at(kill_at) => {
                kill_at = None;
                killed = killed.or(Some(Killed::Overdue));
                eprint_line(format!("still running {} s after SIGTERM: killing the trainer", GRACE.as_secs()));
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
