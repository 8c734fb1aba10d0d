//! Ctrl-C and SIGTERM in commands that wait.

use tokio::signal::unix::{Signal, SignalKind, signal};

use diagnostics::{Error, ErrorKind, Result};

/// Listener for Ctrl-C, active from its installation on.
#[derive(Debug)]
pub(crate) struct Interrupt(Signal);

impl Interrupt {
    /// Installs the listener. From here on Ctrl-C no longer ends the process.
    pub(crate) fn install() -> Result<Self> {
        signal(SignalKind::interrupt()).map(Self).map_err(|error| {
            Error::new(format!("cannot watch for Ctrl-C: {error}"))
                .help("run `trainyard status JOB`, which does not watch")
        })
    }

    /// Waits for Ctrl-C.
    pub(crate) async fn pressed(&mut self) {
        self.0.recv().await;
    }
}

/// Runs `work` until it ends, or until Ctrl-C or SIGTERM. Needs no cleanup: the next run resumes
/// from what has been transferred.
pub(crate) async fn until_interrupted<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    until_interrupted_with("run the same command again to resume", work).await
}

/// Like [`until_interrupted`], with the help of the error after a signal.
pub(crate) async fn until_interrupted_with<T>(
    help: &str,
    work: impl Future<Output = Result<T>>,
) -> Result<T> {
    let cannot = |error| {
        Error::new(format!("cannot watch for signals: {error}")).help("try again in a minute")
    };
    let mut interrupt = signal(SignalKind::interrupt()).map_err(cannot)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(cannot)?;
    tokio::select! {
        done = work => return done,
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Err(Error::with_kind(ErrorKind::Interrupted, "interrupted").help(help))
}
