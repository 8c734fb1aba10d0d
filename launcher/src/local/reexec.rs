//! Starts the trainer's process so that it ends with the launcher, even after SIGKILL. On Linux
//! only a process itself can request this from the kernel: the launcher starts itself, requests it,
//! and executes the trainer in its place.

use std::ffi::OsStr;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};

use tokio::process::Command as Async;

use diagnostics::{Error, Result, eprint_line};

/// Internal argument, which `trainyard` passes to itself.
const REEXEC: &str = "__exec-trainer";

/// Returns a command that executes `binary SUBCOMMAND`.
pub(super) fn command(binary: &OsStr, subcommand: &str) -> Result<Async> {
    let own = std::env::current_exe().map_err(|error| {
        Error::new(format!("cannot find the binary of `trainyard`: {error}"))
            .help("mount /proc, or use `--instance-type local`")
    })?;
    let mut command = Async::new(own);
    command
        .arg(REEXEC)
        .arg(std::process::id().to_string())
        .arg(binary)
        .arg(subcommand);
    Ok(command)
}

/// Executes the trainer if this process was started by [`command`]. Returns only on failure.
pub(crate) fn exec_trainer() -> Option<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().as_deref() != Some(OsStr::new(REEXEC)) {
        return None;
    }
    let parent = arguments.next();
    let binary = arguments.next()?;
    die_with_parent();
    // If the parent ended before the request, the kernel sends no signal.
    let alive = rustix::process::getppid().map(|pid| pid.as_raw_nonzero().to_string());
    if alive.as_deref().map(OsStr::new) != parent.as_deref() {
        return Some(ExitCode::FAILURE);
    }
    let error = Command::new(&binary).args(arguments).exec();
    eprint_line(format!(
        "cannot start `{}`: {error}",
        diagnostics::sanitize(&binary.to_string_lossy())
    ));
    // Exit codes of shells for a command that is not found, and for one without permission.
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
    // Best effort: without it the trainer outlives only a launcher that gets SIGKILL.
    let _ = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
}

/// Only Linux supports this; elsewhere the trainer outlives a launcher that gets SIGKILL.
#[cfg(not(target_os = "linux"))]
fn die_with_parent() {}
