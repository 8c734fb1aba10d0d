//! Follows a job: prints its states and log lines until it ends, or until Ctrl-C.

use std::time::{Duration, Instant};

use aws_sdk_sagemaker::Client;
use jiff::Timestamp;

use super::consistency_window::ConsistencyWindow;
use super::logs::{LogError, LogTail};
use super::lookup;
use super::poll_interval::PollInterval;
use super::sink::Sink;
use super::state::JobState;
use crate::aws::Aws;
use crate::interrupt::Interrupt;
use diagnostics::{Error, Result, eprint_line};
use transport::retry::is_transient;

/// CloudWatch is some seconds late: the log of an ended job counts as complete after this many
/// polls without new lines.
const QUIET_POLLS: u32 = 3;
/// All log lines of a job that ended longer ago have arrived.
const SETTLED_AFTER: Duration = Duration::from_secs(120);
/// Longest outage or throttling that is retried.
const MAX_OUTAGE: Duration = Duration::from_secs(600);

/// Reason why following ended.
#[derive(Debug)]
pub(crate) enum FollowOutcome {
    /// The job has ended.
    Ended(Box<JobState>),
    /// Ctrl-C: the job keeps running.
    Interrupted,
    /// The reader of standard output has closed it.
    ReaderGone,
}

/// A job that is being followed.
#[derive(Debug)]
pub(crate) struct Follow {
    client: Client,
    name: String,
    tail: Option<LogTail>,
    poll_interval: PollInterval,
    consistency_window: ConsistencyWindow,
    sink: Sink,
    state: Option<JobState>,
    state_outage: Outage,
    log_outage: Outage,
}

impl Follow {
    pub(crate) fn new(aws: &Aws, name: &str, poll_interval: PollInterval, sink: Sink) -> Self {
        let consistency_window = ConsistencyWindow::of_name(name, &poll_interval);
        Self {
            client: aws.sagemaker(),
            name: name.to_owned(),
            tail: Some(LogTail::new(aws, name, consistency_window)),
            consistency_window,
            poll_interval,
            sink,
            state: None,
            state_outage: Outage::default(),
            log_outage: Outage::default(),
        }
    }

    /// For a job that was created now: an upload may have taken long after it was named.
    pub(super) fn created_now(mut self) -> Self {
        self.consistency_window = ConsistencyWindow::new(&self.poll_interval);
        if let Some(tail) = &mut self.tail {
            tail.consistency_window = self.consistency_window;
        }
        self
    }

    /// Follows a job without its log.
    pub(crate) fn without_log(mut self) -> Self {
        self.tail = None;
        self
    }

    /// Follows until the job has ended and its log is complete, or until Ctrl-C.
    pub(crate) async fn run_to_end(mut self, mut interrupt: Interrupt) -> Result<FollowOutcome> {
        tokio::select! {
            end = self.run() => end,
            () = interrupt.pressed() => Ok(FollowOutcome::Interrupted),
        }
    }

    /// Prints the log that exists now. Returns true if there was any, and the state of the job.
    pub(crate) async fn once(mut self) -> Result<(bool, JobState)> {
        let state = lookup::job_state(&self.client, &self.name, &self.poll_interval).await?;
        self.sink.hosts = state.instance_count > 1;
        let Some(tail) = &mut self.tail else {
            return Ok((false, state));
        };
        match forward(tail, &self.sink).await {
            (found, Ok(_)) => Ok((found, state)),
            (_, Err(LogError::Transient(error) | LogError::Permanent(error))) => Err(error),
        }
    }

    async fn run(&mut self) -> Result<FollowOutcome> {
        let mut next_poll = Instant::now();
        let mut quiet = 0;
        loop {
            let over = self.state.as_ref().is_some_and(JobState::is_over);
            if !over && next_poll <= Instant::now() {
                let changed = self.poll_state().await?;
                next_poll = Instant::now() + self.poll_interval.state(changed);
            }
            // After the job has ended too: streams may appear late.
            let Some(found) = self.forward_log().await? else {
                return Ok(FollowOutcome::ReaderGone);
            };
            quiet = if found { 0 } else { quiet + 1 };
            if let Some(state) = self.state.take_if(|state| state.is_over()) {
                if self.is_complete(&state, quiet) {
                    return Ok(FollowOutcome::Ended(Box::new(state)));
                }
                self.state = Some(state);
            } else {
                quiet = 0;
            }
            self.pause(found).await;
        }
    }

    /// Requests the state and prints it if it changed. Returns true if it did.
    async fn poll_state(&mut self) -> Result<bool> {
        let state = match lookup::send_describe(&self.client, &self.name).await {
            Ok(job) => JobState::new(&job, Timestamp::now()),
            Err(error) => {
                let transient = is_transient(&error) || self.consistency_window.tolerates(&error);
                let error = lookup::describe_error(&self.client, &self.name, error).await;
                self.state_outage.tolerate(transient, error)?;
                return Ok(false);
            }
        };
        self.state_outage = Outage::default();
        let before = self.state.as_ref().map(|state| state.both_states());
        let now = state.both_states();
        let changed = before.as_ref() != Some(&now);
        if changed {
            let message = state
                .phases
                .last()
                .map_or("", |phase| phase.message.as_str());
            eprint_line(format!("== {now}: {}", diagnostics::sanitize(message)));
        }
        self.sink.hosts = state.instance_count > 1;
        self.state = Some(state);
        Ok(changed)
    }

    /// Forwards new log lines. Returns true if there were any, None if the reader is gone.
    async fn forward_log(&mut self) -> Result<Option<bool>> {
        let Some(tail) = &mut self.tail else {
            return Ok(Some(false));
        };
        let (found, result) = forward(tail, &self.sink).await;
        match result {
            Ok(false) => return Ok(None),
            Ok(true) => self.log_outage = Outage::default(),
            Err(LogError::Transient(error)) => {
                self.log_outage.tolerate(true, error)?;
                // An outage does not count as a quiet poll.
                return Ok(Some(true));
            }
            // On standard error the log only accompanies the result, which can still come.
            Err(LogError::Permanent(error)) if self.sink.is_stderr() => {
                eprint_line(format!(
                    "{error}\n  help: waiting for the job without its log"
                ));
                self.tail = None;
            }
            Err(LogError::Permanent(error)) => return Err(error),
        }
        Ok(Some(found))
    }

    fn is_complete(&self, state: &JobState, quiet: u32) -> bool {
        if self.tail.is_none() {
            return true;
        }
        let settled = state.ended_at.is_some_and(|end| {
            let since = Timestamp::now().duration_since(end);
            Duration::try_from(since).is_ok_and(|since| since > SETTLED_AFTER)
        });
        quiet >= if settled { 1 } else { QUIET_POLLS }
    }

    async fn pause(&mut self, found: bool) {
        let over = self.state.as_ref().is_some_and(JobState::is_over);
        let time = if self.state_outage.0.or(self.log_outage.0).is_some() {
            self.poll_interval.after_error()
        } else if over {
            self.poll_interval.last_lines()
        } else {
            self.poll_interval.logs(found)
        };
        tokio::time::sleep(time).await;
    }
}

/// Forwards new events page by page. Returns true if there were any, and true if the reader is
/// still there.
async fn forward(tail: &mut LogTail, sink: &Sink) -> (bool, Result<bool, LogError>) {
    let mut found = false;
    if let Err(error) = tail.discover().await {
        return (found, Err(error));
    }
    loop {
        let mut events = Vec::new();
        let more = tail.read(&mut events).await;
        found |= !events.is_empty();
        match sink.write(&events) {
            Ok(true) => {}
            Ok(false) => return (found, Ok(false)),
            Err(error) => return (found, Err(LogError::Permanent(error))),
        }
        match more {
            Ok(true) => {}
            Ok(false) => return (found, Ok(true)),
            Err(error) => return (found, Err(error)),
        }
    }
}

/// Start of an outage, if there is one.
#[derive(Debug, Default)]
struct Outage(Option<Instant>);

impl Outage {
    /// Tolerates transient errors up to [`MAX_OUTAGE`]; reports the first one.
    fn tolerate(&mut self, transient: bool, error: Error) -> Result<()> {
        match self.0 {
            _ if !transient => Err(error),
            None => {
                eprint_line(format!("{error}\n  help: nothing to do, retrying"));
                self.0 = Some(Instant::now());
                Ok(())
            }
            Some(since) if since.elapsed() < MAX_OUTAGE => Ok(()),
            Some(_) => Err(error),
        }
    }
}
