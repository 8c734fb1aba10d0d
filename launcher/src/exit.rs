//! Exit codes; `trainyard --help` lists them.

use std::process::ExitCode;

/// How the process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// Done.
    Ok = 0,
    /// The command itself failed: network, disk, permissions, an unexpected answer.
    Failed = 1,
    /// The command line, a hyperparameter or a file of the user is wrong; nothing was started.
    Usage = 2,
    /// The training job failed, in the cloud or here.
    JobFailed = 3,
    /// The training job was stopped before its end.
    JobStopped = 4,
    /// Ctrl-C: what runs elsewhere goes on.
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
