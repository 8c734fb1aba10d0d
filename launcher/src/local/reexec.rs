//! The trainer's process must not outlive the launcher, not even one that is killed. The kernel does that for a process
//! that asks for it, so we start ourselves, ask, and become the trainer.

use std::ffi::OsStr;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};

use tokio::process::Command as Async;

use diagnostics::{Error, Result, eprint_line};

/// No command of a user: `trainyard` passes it to itself.
const ASK: &str = "__become-trainer";

/// The command that becomes `binary train` once it is started.
pub(super) fn command(binary: &OsStr) -> Result<Async> {
    let own = std::env::current_exe().map_err(|error| {
        Error::new(format!("cannot find the own binary: {error}"))
            .help("Linux names it in /proc, which must be mounted; or use `--instance-type local`")
    })?;
    let mut command = Async::new(own);
    command
        .arg(ASK)
        .arg(std::process::id().to_string())
        .arg(binary)
        .arg("train");
    Ok(command)
}

/// If this process was started to become a trainer: becomes it, or gives the exit code of having failed.
pub(crate) fn become_trainer() -> Option<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().as_deref() != Some(OsStr::new(ASK)) {
        return None;
    }
    let parent = arguments.next();
    let binary = arguments.next()?;
    die_with_parent();
    // A parent that was gone before we asked will not be reported any more.
    let alive = rustix::process::getppid().map(|pid| pid.as_raw_nonzero().to_string());
    if alive.as_deref().map(OsStr::new) != parent.as_deref() {
        return Some(ExitCode::FAILURE);
    }
    let error = Command::new(&binary).args(arguments).exec();
    eprint_line(format!(
        "cannot start `{}`: {error}",
        diagnostics::sanitize(&binary.to_string_lossy())
    ));
    // The shells' codes for a command that is not there, and for one that may not be run.
    Some(ExitCode::from(
        if error.kind() == std::io::ErrorKind::NotFound {
            127
        } else {
            126
        },
    ))
}

#[cfg(target_os = "linux")]
fn die_with_parent() {
    // Where it is refused, the trainer ends with us in every case but a SIGKILL.
    let _ = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
}

/// Only Linux has it; elsewhere the trainer ends with us in every case but a SIGKILL.
#[cfg(not(target_os = "linux"))]
fn die_with_parent() {}
