//! Runs a local job: starts the trainer, stops it, restarts it after an interruption, packs its
//! files.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::backend::{Attempt, Backend, ExitState, SIGKILL_EXIT_CODE};
use super::failure_reason::FailureReason;
use super::first_error::{FirstError, warn};
use super::results::Results;
use super::setup::Setup;
use super::signals::{Signals, StopSignal};
use crate::context::Context;
use diagnostics::{Result, eprint_line};

/// Time between SIGTERM and SIGKILL, as on SageMaker.
const STOP_GRACE: Duration = Duration::from_secs(120);

/// Times at which the job is stopped.
#[derive(Debug, Clone, Copy)]
pub(super) struct RunSchedule {
    /// From the first start.
    pub(super) max_run: Duration,
    /// From the start to a simulated spot interruption.
    pub(super) interruption: Option<Duration>,
}

/// Reason of the trainer's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StopCause {
    /// It ended by itself.
    Exited,
    /// It reached `--max-run`.
    MaxRun,
    /// The launcher got a signal.
    Signal(StopSignal),
    /// A simulated spot interruption.
    Interruption,
}

/// Reason of a SIGKILL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Killed {
    /// A second signal came.
    Repeated(StopSignal),
    /// The trainer did not end after SIGTERM.
    Timeout,
}

impl Killed {
    /// Completes a message after `killed`.
    pub(super) fn reason(self) -> String {
        match self {
            Self::Repeated(signal) => format!("by the second {}", signal.name()),
            Self::Timeout => format!("{} s after SIGTERM", STOP_GRACE.as_secs()),
        }
    }
}

/// Outcome of a job.
#[derive(Debug)]
pub(super) struct JobOutcome {
    pub(super) ended: ExitState,
    pub(super) cause: StopCause,
    /// Set if the launcher sent SIGKILL.
    pub(super) killed: Option<Killed>,
    pub(super) failure: Option<FailureReason>,
    /// Number of interruptions.
    pub(super) interruptions: u32,
    /// First start of the trainer.
    pub(super) started: Instant,
    /// Time from the first start to the end.
    pub(super) duration: Duration,
    /// True if its checkpoints are in their folder on this machine.
    pub(super) checkpoints_saved: bool,
    /// True if some of its files could not be saved.
    incomplete: bool,
    /// Errors after the end.
    pub(super) errors: FirstError,
}

impl JobOutcome {
    fn new((ended, cause, killed): AttemptEnd, first_start: Instant) -> Self {
        Self {
            ended,
            cause,
            killed,
            failure: None,
            interruptions: 0,
            started: first_start,
            duration: first_start.elapsed(),
            checkpoints_saved: false,
            incomplete: false,
            errors: FirstError::default(),
        }
    }

    /// `exit code 137 (killed by the second Ctrl-C)`
    pub(super) fn code(&self) -> String {
        let code = self.ended.code;
        match self.killed {
            // It may have ended by itself at the same moment.
            Some(killed) if code == SIGKILL_EXIT_CODE => {
                format!("exit code {code} (killed {})", killed.reason())
            }
            _ => format!(
                "exit code {code} ({})",
                sagemaker::failure::exit_code_meaning(code)
            ),
        }
    }
}

/// Exit of the trainer, its reason, and the reason of a SIGKILL.
type AttemptEnd = (ExitState, StopCause, Option<Killed>);

/// Runs a job and packs its files into `results`. Fails if the trainer's end was not observed.
pub(super) async fn run<B: Backend>(
    backend: &B,
    mut schedule: RunSchedule,
    results: &Results,
    setup: &Setup,
    signals: &mut Signals,
    context: &Context,
) -> Result<JobOutcome> {
    let mut first = run_attempt(backend, None, schedule, results, signals).await?;
    if first.cause != StopCause::Interruption || first.errors.is_some() {
        return Ok(first);
    }
    // SageMaker uploads checkpoints all the time. An error is not final: the end uploads again.
    if let Err(error) = signals
        .run_or_cancel(setup.upload_checkpoints(context))
        .await
        && !signals.cancelled()
    {
        warn(error);
    }
    eprint_line("starting the job again, as SageMaker does once a spot instance is available");
    schedule.interruption = None;
    match run_attempt(backend, Some(first.started), schedule, results, signals).await {
        Ok(second) => Ok(JobOutcome {
            interruptions: 1,
            ..second
        }),
        Err(error) => {
            first.errors.record::<()>(Err(error));
            Ok(first)
        }
    }
}

/// Runs the trainer once and removes the attempt.
async fn run_attempt<B: Backend>(
    backend: &B,
    first_start: Option<Instant>,
    schedule: RunSchedule,
    results: &Results,
    signals: &mut Signals,
) -> Result<JobOutcome> {
    // Not cancelled, so that it is always removed. An earlier signal is noticed below.
    let mut attempt = backend.create().await?;
    let mut result = run_created(&mut attempt, first_start, schedule, results, signals).await;
    match &mut result {
        Ok(outcome) if outcome.incomplete => outcome.errors.help(attempt.keep().await),
        _ => attempt.remove().await,
    }
    result
}

async fn run_created<A: Attempt>(
    attempt: &mut A,
    first_start: Option<Instant>,
    schedule: RunSchedule,
    results: &Results,
    signals: &mut Signals,
) -> Result<JobOutcome> {
    signals.run_or_cancel(attempt.prepare()).await?;
    attempt.start().await?;
    let started = Instant::now();
    let first_start = first_start.unwrap_or(started);
    let interrupt_at = schedule.interruption.map(|after| started + after);
    let deadline = first_start + schedule.max_run;
    let end = watch(attempt, deadline, interrupt_at, signals).await?;
    let mut outcome = JobOutcome::new(end, first_start);
    if outcome.cause == StopCause::Interruption {
        eprint_line(format!("the trainer ended with {}", outcome.code()));
    } else {
        if schedule.interruption.is_some() {
            eprint_line("the job ended before the simulated interruption");
        }
        save_results(attempt, &mut outcome, results, signals).await;
    }
    let kept = signals.run_or_cancel(attempt.save_checkpoints()).await;
    outcome.checkpoints_saved = outcome.errors.record(kept).is_some();
    outcome.incomplete |= !outcome.checkpoints_saved;
    Ok(outcome)
}

/// A signal cancels packing, too.
async fn save_results<A: Attempt>(
    attempt: &mut A,
    outcome: &mut JobOutcome,
    results: &Results,
    signals: &mut Signals,
) {
    let errors = &mut outcome.errors;
    let failure = signals.run_or_cancel(attempt.failure()).await;
    outcome.failure = errors.record(failure).flatten();
    for (folder, archive) in results.archives() {
        let packed = signals.run_or_cancel(attempt.pack(folder, &archive)).await;
        outcome.incomplete |= errors.record(packed).is_none();
    }
}

/// Waits for the end. Stops the trainer after a signal, `--max-run` or at an interruption.
async fn watch<A: Attempt>(
    attempt: &mut A,
    deadline: Instant,
    interrupt_at: Option<Instant>,
    signals: &mut Signals,
) -> Result<AttemptEnd> {
    let (mut cause, mut killed) = (StopCause::Exited, None);
    let mut kill_at = None;
    loop {
        let running = cause == StopCause::Exited;
        tokio::select! {
            ended = attempt.wait() => return Ok((ended?, cause, killed)),
            signal = signals.next() => {
                if matches!(cause, StopCause::Signal(_)) {
                    killed = killed.or(Some(Killed::Repeated(signal)));
                    eprint_line(format!("{} again: killing the trainer", signal.name()));
                    attempt.kill().await?;
                    continue;
                }
                cause = StopCause::Signal(signal);
                eprint_line(format!(
                    "{}: stopping the job; the trainer may save its model ({} again kills it)",
                    signal.name(),
                    signal.name()
                ));
            }
            () = sleep_until(deadline), if running => {
                cause = StopCause::MaxRun;
                eprint_line("the job reached `--max-run`: stopping it");
            }
            () = at(interrupt_at), if running => {
                cause = StopCause::Interruption;
                eprint_line("simulated interruption: SIGTERM to the trainer, as before a spot instance ends");
            }
            () = at(kill_at) => {
                kill_at = None;
                killed = killed.or(Some(Killed::Timeout));
                eprint_line(format!("still running {} s after SIGTERM: killing the trainer", STOP_GRACE.as_secs()));
                attempt.kill().await?;
                continue;
            }
        }
        attempt.terminate().await?;
        kill_at = Some(kill_at.unwrap_or_else(|| Instant::now() + STOP_GRACE));
    }
}

/// Waits until `time`; forever without one.
async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}
