//! Stays with a job: its states and log lines as they come, until it ends, or until Ctrl-C.

use std::time::{Duration, Instant};

use aws_sdk_sagemaker::Client;
use jiff::Timestamp;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::describe;
use super::logs::{Tail, Trouble};
use super::pace::Pace;
use super::sink::Sink;
use super::state::JobState;
use crate::aws::Aws;
use diagnostics::{Error, Result, eprint_line};
use transport::retry::is_transient;

/// CloudWatch is late by some seconds: an ended job's log is complete when this many looks found nothing new.
const QUIET_LOOKS: u32 = 3;
/// A job that ended longer ago has all its lines.
const SETTLED: Duration = Duration::from_secs(120);
/// Throttling and outages that last longer are reported.
const PATIENCE: Duration = Duration::from_secs(600);

/// How it ended.
#[derive(Debug)]
pub(crate) enum End {
    /// The job is over.
    Ended(Box<JobState>),
    /// Ctrl-C: the job goes on.
    Interrupted,
    /// The reader of the log has gone.
    NobodyReads,
}

/// Ctrl-C, from the moment of the installation on.
#[derive(Debug)]
pub(crate) struct Interrupt(Signal);

impl Interrupt {
    /// From here on Ctrl-C no longer ends the process.
    pub(crate) fn install() -> Result<Self> {
        signal(SignalKind::interrupt()).map(Self).map_err(|error| {
            Error::new(format!("cannot watch for Ctrl-C: {error}"))
                .help("`trainyard status JOB` does not watch")
        })
    }

    /// Waits for it.
    pub(crate) async fn pressed(&mut self) {
        self.0.recv().await;
    }
}

/// One job that is followed.
#[derive(Debug)]
pub(crate) struct Follow {
    client: Client,
    name: String,
    tail: Option<Tail>,
    pace: Pace,
    sink: Sink,
    state: Option<JobState>,
    state_trouble: Trying,
    log_trouble: Trying,
}

impl Follow {
    pub(crate) fn new(aws: &Aws, name: &str, pace: Pace, sink: Sink) -> Self {
        Self {
            client: aws.sagemaker(),
            name: name.to_owned(),
            tail: Some(Tail::new(aws, name)),
            pace,
            sink,
            state: None,
            state_trouble: Trying::default(),
            log_trouble: Trying::default(),
        }
    }

    /// Follows a job without its log.
    pub(crate) fn silently(mut self) -> Self {
        self.tail = None;
        self
    }

    /// Until the job has ended and its log is complete.
    pub(crate) async fn until_the_end(mut self, mut interrupt: Interrupt) -> Result<End> {
        tokio::select! {
            end = self.run() => end,
            () = interrupt.pressed() => Ok(End::Interrupted),
        }
    }

    /// What is there now, and no more: whether there was anything, and the job's state.
    pub(crate) async fn once(mut self) -> Result<(bool, JobState)> {
        let state = match describe::ask(&self.client, &self.name).await {
            Ok(job) => JobState::new(&job, Timestamp::now()),
            Err(error) => return Err(describe::explained(&self.client, &self.name, error).await),
        };
        self.sink.hosts = state.machines > 1;
        let Some(tail) = &mut self.tail else {
            return Ok((false, state));
        };
        match hand_on(tail, &self.sink).await {
            (found, Ok(_)) => Ok((found, state)),
            (_, Err(Trouble::Passing(failure) | Trouble::Lasting(failure))) => Err(failure),
        }
    }

    async fn run(&mut self) -> Result<End> {
        let mut next_look = Instant::now();
        let mut quiet = 0;
        loop {
            let over = self.state.as_ref().is_some_and(JobState::is_over);
            if !over && next_look <= Instant::now() {
                let changed = self.look().await?;
                next_look = Instant::now() + self.pace.state(changed);
            }
            // Streams may be found late too.
            let Some(found) = self.lines().await? else {
                return Ok(End::NobodyReads);
            };
            quiet = if found { 0 } else { quiet + 1 };
            if let Some(state) = self.state.take_if(|state| state.is_over()) {
                if self.is_complete(&state, quiet) {
                    return Ok(End::Ended(Box::new(state)));
                }
                self.state = Some(state);
            } else {
                quiet = 0;
            }
            self.pause(found).await;
        }
    }

    /// Asks for the state, and says it when it is new.
    async fn look(&mut self) -> Result<bool> {
        let state = match describe::ask(&self.client, &self.name).await {
            Ok(job) => JobState::new(&job, Timestamp::now()),
            Err(error) => {
                let passing = is_transient(&error);
                let failure = describe::explained(&self.client, &self.name, error).await;
                self.state_trouble.endure(passing, failure)?;
                return Ok(false);
            }
        };
        self.state_trouble = Trying::default();
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
        self.sink.hosts = state.machines > 1;
        self.state = Some(state);
        Ok(changed)
    }

    /// Reads and hands on new lines: whether there were any, or nothing if nobody reads.
    async fn lines(&mut self) -> Result<Option<bool>> {
        let Some(tail) = &mut self.tail else {
            return Ok(Some(false));
        };
        let (found, result) = hand_on(tail, &self.sink).await;
        match result {
            Ok(false) => return Ok(None),
            Ok(true) => self.log_trouble = Trying::default(),
            Err(Trouble::Passing(failure)) => {
                self.log_trouble.endure(true, failure)?;
                // Not having been able to look is no quiet.
                return Ok(Some(true));
            }
            // The log stands beside an answer that can still come.
            Err(Trouble::Lasting(failure)) if self.sink.is_beside() => {
                eprint_line(format!(
                    "{failure}\n  help: the job is waited for without its log"
                ));
                self.tail = None;
            }
            Err(Trouble::Lasting(failure)) => return Err(failure),
        }
        Ok(Some(found))
    }

    fn is_complete(&self, state: &JobState, quiet: u32) -> bool {
        if self.tail.is_none() {
            return true;
        }
        let settled = state.ended_at.is_some_and(|end| {
            let since = Timestamp::now().duration_since(end);
            Duration::try_from(since).is_ok_and(|since| since > SETTLED)
        });
        quiet >= if settled { 1 } else { QUIET_LOOKS }
    }

    async fn pause(&mut self, found: bool) {
        let over = self.state.as_ref().is_some_and(JobState::is_over);
        let time = if self.state_trouble.0.or(self.log_trouble.0).is_some() {
            self.pace.trouble()
        } else if over {
            self.pace.last_lines()
        } else {
            self.pace.logs(found)
        };
        tokio::time::sleep(time).await;
    }
}

/// Hands on what is new, page after page: whether there was anything, and whether anybody reads.
async fn hand_on(tail: &mut Tail, sink: &Sink) -> (bool, Result<bool, Trouble>) {
    let mut found = false;
    if let Err(trouble) = tail.discover().await {
        return (found, Err(trouble));
    }
    loop {
        let mut events = Vec::new();
        let more = tail.read(&mut events).await;
        found |= !events.is_empty();
        match sink.take(&events) {
            Ok(true) => {}
            Ok(false) => return (found, Ok(false)),
            Err(failure) => return (found, Err(Trouble::Lasting(failure))),
        }
        match more {
            Ok(true) => {}
            Ok(false) => return (found, Ok(true)),
            Err(trouble) => return (found, Err(trouble)),
        }
    }
}

/// Since when something does not work.
#[derive(Debug, Default)]
struct Trying(Option<Instant>);

impl Trying {
    /// Goes on after trouble that may pass, and says so once.
    fn endure(&mut self, passing: bool, failure: Error) -> Result<()> {
        match self.0 {
            _ if !passing => Err(failure),
            None => {
                eprint_line(format!(
                    "{failure}\n  help: nothing to do, it is tried again"
                ));
                self.0 = Some(Instant::now());
                Ok(())
            }
            Some(since) if since.elapsed() < PATIENCE => Ok(()),
            Some(_) => Err(failure),
        }
    }
}
