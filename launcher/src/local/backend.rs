//! Interface of the two backends of local jobs: the Docker engine and a process.

use std::path::Path;
use std::time::Duration;

use diagnostics::Result;

use super::failure_reason::FailureReason;

/// Exit code after SIGKILL: 128 and its number.
pub(super) const SIGKILL_EXIT_CODE: i32 = 137;

/// Longest wait for the last lines after the trainer's end.
pub(super) const LOG_TIMEOUT: Duration = Duration::from_secs(10);

/// A backend that runs the trainer.
pub(super) trait Backend {
    type Attempt: Attempt;

    /// Makes the container or process. Must be fast: cannot be cancelled.
    async fn create(&self) -> Result<Self::Attempt>;
}

/// One start of the trainer.
pub(super) trait Attempt {
    /// Copies files, such as checkpoints. Can be cancelled.
    async fn prepare(&mut self) -> Result<()>;
    /// Starts the trainer. Must be fast: cannot be cancelled, so that a running trainer always
    /// gets a signal.
    async fn start(&mut self) -> Result<()>;
    /// Waits for the end. Can be cancelled and called again.
    async fn wait(&mut self) -> Result<ExitState>;
    /// Sends SIGTERM to the trainer.
    async fn terminate(&mut self) -> Result<()>;
    /// Sends SIGKILL to the trainer and all its children.
    async fn kill(&mut self) -> Result<()>;
    /// After the end: copies the checkpoints to their folder on this machine.
    async fn save_checkpoints(&mut self) -> Result<()>;
    /// After the end: reads the failure file.
    async fn failure(&mut self) -> Result<Option<FailureReason>>;
    /// After the end: packs a folder of `/opt/ml`. Returns false if there are no files.
    async fn pack(&mut self, folder: &str, archive: &Path) -> Result<bool>;
    /// Removes the container or process with all its files.
    async fn remove(self);
    /// Keeps the trainer's files, which could not be saved elsewhere. Returns a help line about
    /// them.
    async fn keep(self) -> String;
}

/// Exit of the trainer.
#[derive(Debug, Clone, Copy)]
pub(super) struct ExitState {
    /// Exit code; 128 and the signal's number for a signal.
    pub(super) code: i32,
    /// True if the engine killed it at its memory limit.
    pub(super) out_of_memory: bool,
}
