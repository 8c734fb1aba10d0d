//! Exit codes of all programs of this workspace.

use std::process::ExitCode;

use crate::ErrorKind;

/// The exit code of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Success; also after a SIGTERM that left time to save the model.
    Ok = 0,
    /// Error: network, disk, permissions, data, an unexpected answer.
    Failed = 1,
    /// The command line, a hyperparameter or a file of the user is wrong; nothing was started.
    Usage = 2,
    /// The training job failed, in the cloud or locally.
    JobFailed = 3,
    /// The training job was stopped before its end.
    JobStopped = 4,
    /// Interrupted by Ctrl-C; remote jobs keep running.
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

impl From<ErrorKind> for Exit {
    fn from(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::Stopped => Self::Ok,
            ErrorKind::Failed | ErrorKind::Io | ErrorKind::Data => Self::Failed,
            ErrorKind::Usage => Self::Usage,
            ErrorKind::JobFailed => Self::JobFailed,
            ErrorKind::JobStopped => Self::JobStopped,
            ErrorKind::Interrupted => Self::Interrupted,
        }
    }
}
