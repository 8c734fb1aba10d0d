//! Signals that stop a local job, from the first step to the last.

use std::future::Future;

use tokio::signal::unix::{Signal, SignalKind, signal};

use diagnostics::{Error, ErrorKind, Result};

/// A signal that stops the launcher.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StopSignal {
    /// Ctrl-C.
    Interrupt,
    /// SIGTERM.
    Terminate,
    /// SIGHUP: the terminal was closed.
    HangUp,
}

impl StopSignal {
    /// Name of the signal in messages.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Interrupt => "Ctrl-C",
            Self::Terminate => "SIGTERM",
            Self::HangUp => "SIGHUP",
        }
    }

    pub(super) fn kind(self) -> ErrorKind {
        match self {
            Self::Interrupt => ErrorKind::Interrupted,
            Self::Terminate | Self::HangUp => ErrorKind::JobStopped,
        }
    }
}

/// Handlers of the signals that would end the launcher before it cleans up.
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
    /// The signal that cancelled work.
    cancelled: Option<StopSignal>,
}

impl Signals {
    /// Installs the handlers.
    pub(super) fn install() -> Result<Self> {
        let listen = |kind| {
            signal(kind).map_err(|error| Error::new(format!("cannot handle signals: {error}")))
        };
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hang_up: listen(SignalKind::hangup())?,
            cancelled: None,
        })
    }

    /// Waits for the next signal. Can be cancelled without losing one.
    pub(super) async fn next(&mut self) -> StopSignal {
        tokio::select! {
            _ = self.interrupt.recv() => StopSignal::Interrupt,
            _ = self.terminate.recv() => StopSignal::Terminate,
            _ = self.hang_up.recv() => StopSignal::HangUp,
        }
    }

    /// True if a signal cancelled work.
    pub(super) fn cancelled(&self) -> bool {
        self.cancelled.is_some()
    }

    /// Runs `work`, or drops it at the first signal. After a signal no other work is started.
    pub(super) async fn run_or_cancel<T>(
        &mut self,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let signal = match self.cancelled {
            Some(signal) => signal,
            None => tokio::select! {
                biased;
                found = self.next() => found,
                done = work => return done,
            },
        };
        self.cancelled = Some(signal);
        Err(Error::with_kind(
            signal.kind(),
            format!("{}: cancelled, nothing is left running", signal.name()),
        ))
    }
}
