//! Ctrl-C and its like, from the first step to the last: nothing that was started outlives us.

use std::future::Future;

use tokio::signal::unix::{Signal, SignalKind, signal};

use diagnostics::{Error, ErrorKind, Exit, Result};

/// What somebody outside asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    /// Ctrl-C.
    Interrupt,
    /// SIGTERM.
    Terminate,
    /// SIGHUP: the terminal has gone.
    HangUp,
}

impl Asked {
    /// The signal's name, for messages.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Interrupt => "Ctrl-C",
            Self::Terminate => "SIGTERM",
            Self::HangUp => "SIGHUP",
        }
    }

    /// How the command ends after it.
    pub(super) fn exit(self) -> Exit {
        self.kind().into()
    }

    fn kind(self) -> ErrorKind {
        match self {
            Self::Interrupt => ErrorKind::Interrupted,
            Self::Terminate | Self::HangUp => ErrorKind::JobStopped,
        }
    }
}

/// The signals that would end us without cleaning up.
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
    /// The one at which work was given up.
    given_up: Option<Asked>,
}

impl Signals {
    /// From now on these signals are ours.
    pub(super) fn install() -> Result<Self> {
        let listen = |kind| {
            signal(kind).map_err(|error| Error::new(format!("cannot listen to signals: {error}")))
        };
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hang_up: listen(SignalKind::hangup())?,
            given_up: None,
        })
    }

    /// Waits for the next one. Nothing is lost if the wait is given up.
    pub(super) async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.interrupt.recv() => Asked::Interrupt,
            _ = self.terminate.recv() => Asked::Terminate,
            _ = self.hang_up.recv() => Asked::HangUp,
        }
    }

    /// Whether a signal has ended some work half-way.
    pub(super) fn given_up(&self) -> bool {
        self.given_up.is_some()
    }

    /// Does some work, or drops it half-way at the first signal. After that no work is begun any more.
    pub(super) async fn give_up_on<T>(
        &mut self,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let asked = match self.given_up {
            Some(asked) => asked,
            None => tokio::select! {
                biased;
                asked = self.next() => asked,
                done = work => return done,
            },
        };
        self.given_up = Some(asked);
        Err(Error::with_kind(
            asked.kind(),
            format!("{}: given up, nothing is left running", asked.name()),
        ))
    }
}
