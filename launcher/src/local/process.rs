//! A job as a process: the trainer's own binary in a private folder, with the environment of a container.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use sagemaker::limits;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;
use tokio::time::{Duration, timeout};

use super::archive;
use super::become_trainer;
use super::folder::{Scratch, Setup, WRITABLE};
use super::giving_up;
use super::lines::Lines;
use super::run::{Attempt, Backend, Ended};
use super::words::{Tail, Words};
use crate::job::Job;
use crate::output::quoted;
use diagnostics::{Error, Result};

/// How long the last lines may take after the trainer's end.
const LAST_LINES: Duration = Duration::from_secs(10);

/// Of our own environment; the rest is what a container gets.
const PASSED_ON: [&str; 3] = ["PATH", "HOME", "TMPDIR"];

/// This machine, with a binary.
pub(super) struct Machine<'a> {
    setup: &'a Setup,
    binary: PathBuf,
}

/// A trainer's process and its `/opt/ml`.
pub(super) struct Process<'a> {
    setup: &'a Setup,
    folder: Scratch,
    child: Child,
    /// Both its id and that of its group.
    pid: Pid,
    log: [JoinHandle<()>; 2],
}

/// The binary that was named, else the trainer's own.
pub(super) async fn binary(job: &Job, named: Option<&Path>) -> Result<PathBuf> {
    let path = match named {
        Some(path) => path.to_owned(),
        None => job.trainer.host_binary().await?,
    };
    let shown = diagnostics::sanitize(&path.to_string_lossy()).into_owned();
    let path = path.canonicalize().map_err(|error| {
        Error::usage(format!(
            "cannot read the trainer's binary `{shown}`: {error}"
        ))
        .help("pass `--trainer-binary FILE`")
    })?;
    let executable = fs::metadata(&path)
        .is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0);
    if !executable {
        return Err(
            Error::usage(format!("the trainer's binary `{shown}` cannot be executed")).help(
                format!(
                    "`chmod +x {}` if it is a program",
                    quoted(&path.to_string_lossy())
                ),
            ),
        );
    }
    Ok(path)
}

/// What the process gets, beside the trainer's own variables.
pub(super) fn environment(setup: &Setup, base: &Path) -> Vec<(OsString, OsString)> {
    let passed_on = PASSED_ON
        .iter()
        .filter_map(|name| Some(((*name).into(), std::env::var_os(name)?)));
    let own = (sagemaker::env_vars::BASE_DIR.name.into(), base.into());
    let job = setup.environment.iter();
    passed_on
        .chain(job.map(|(name, value)| (name.into(), value.into())))
        .chain([own])
        .collect()
}

impl<'a> Machine<'a> {
    pub(super) fn new(setup: &'a Setup, binary: PathBuf) -> Self {
        Self { setup, binary }
    }

    /// The private `/opt/ml`. Data and checkpoints are linked: they are not copied.
    fn lay_out(&self) -> std::io::Result<Scratch> {
        let folder =
            Scratch::new().map_err(|failure| std::io::Error::other(failure.to_string()))?;
        let base = folder.path();
        for name in ["input/config", "input/data"].iter().chain(&WRITABLE) {
            if *name != "checkpoints" || self.setup.checkpoints.is_none() {
                fs::create_dir_all(base.join(name))?;
            }
        }
        for (path, content) in self.setup.config_files(base) {
            fs::write(path, content.to_string())?;
        }
        for input in &self.setup.channels {
            let target = input.target(base);
            if let Some(parent) = target.parent() {
                fs::create_dir_all(parent)?;
            }
            symlink(&input.path, target)?;
        }
        if let Some(checkpoints) = &self.setup.checkpoints {
            fs::create_dir_all(checkpoints)?;
            symlink(checkpoints, base.join("checkpoints"))?;
        }
        Ok(folder)
    }

    fn command(&self, base: &Path) -> Result<Command> {
        let mut command = become_trainer::command(self.binary.as_os_str())?;
        command
            .env_clear()
            .envs(environment(self.setup, base))
            // Stray files go with the folder.
            .current_dir(base)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // The terminal's Ctrl-C is for us; we stop the trainer as SageMaker does.
            .process_group(0)
            .kill_on_drop(true);
        Ok(command)
    }
}

impl<'a> Backend for Machine<'a> {
    type Attempt = Process<'a>;

    async fn create(&self) -> Result<Process<'a>> {
        let folder = self.lay_out().map_err(|error| {
            Error::new(format!("cannot make the job's private folder: {error}")).help(
                "set TMPDIR to a folder that is there, that has space, and that you may write",
            )
        })?;
        let mut child = self.command(folder.path())?.spawn().map_err(|error| {
            let shown = self.binary.to_string_lossy();
            let shown = diagnostics::sanitize(&shown);
            Error::new(format!("cannot start `{shown}`: {error}"))
                .help("pass a program for this machine as `--trainer-binary FILE`")
        })?;
        let pid = child
            .id()
            .and_then(|id| Pid::from_raw(id.cast_signed()))
            .ok_or_else(|| {
                Error::new("the trainer has no process id").help("start the job again")
            })?;
        let log = [
            tokio::spawn(show(child.stdout.take(), self.setup.log.clone())),
            tokio::spawn(show(child.stderr.take(), self.setup.log.clone())),
        ];
        Ok(Process {
            setup: self.setup,
            folder,
            child,
            pid,
            log,
        })
    }
}

impl Process<'_> {
    /// Whatever the trainer has started ends with it, as in a container.
    fn kill_group(&self) {
        // Nobody left is the usual case.
        let _ = kill_process_group(self.pid, Signal::KILL);
    }
}

impl Attempt for Process<'_> {
    async fn prepare(&mut self) -> Result<()> {
        Ok(())
    }

    async fn start(&mut self) -> Result<()> {
        // It runs since it was made: nothing of that takes time.
        Ok(())
    }

    async fn ended(&mut self) -> Result<Ended> {
        let status = self.child.wait().await.map_err(|error| {
            Error::new(format!("cannot wait for the trainer: {error}")).help("start the job again")
        })?;
        self.kill_group();
        for log in &mut self.log {
            if !log.is_finished() {
                let _ = timeout(LAST_LINES, log).await;
            }
        }
        let signal = status.signal().map(|signal| 128 + signal);
        Ok(Ended {
            code: status.code().or(signal).unwrap_or(-1),
            out_of_memory: false,
        })
    }

    async fn terminate(&mut self) -> Result<()> {
        // Once it was waited for, its number may be somebody else's.
        if self.child.id().is_some() {
            let _ = kill_process(self.pid, Signal::TERM);
        }
        Ok(())
    }

    async fn kill(&mut self) -> Result<()> {
        if self.child.id().is_some() {
            self.kill_group();
        }
        Ok(())
    }

    async fn keep_checkpoints(&mut self) -> Result<()> {
        // They were written where they are kept.
        Ok(())
    }

    async fn failure(&mut self) -> Result<Option<Words>> {
        let path = sagemaker::Paths::at(self.folder.path()).failure();
        let Ok(file) = fs::File::open(path) else {
            return Ok(None);
        };
        let mut bytes = Vec::new();
        // Four bytes are the longest character.
        let most = 4 * limits::MAX_FAILURE_REASON as u64;
        let _ = std::io::Read::read_to_end(&mut std::io::Read::take(file, most), &mut bytes);
        Ok(Some(self.setup.words(
            &String::from_utf8_lossy(&bytes),
            self.folder.path(),
        )))
    }

    async fn pack(&mut self, folder: &str, target: &Path) -> Result<bool> {
        let source = self.folder.path().join(folder);
        let target = target.to_owned();
        let (_guard, ticket) = giving_up::guard();
        tokio::task::spawn_blocking(move || {
            archive::write(&target, ticket, |packer| packer.add_folder(&source))
        })
        .await
        .map_err(|error| Error::new(format!("cannot pack the results: {error}")))?
    }

    async fn remove(mut self) {
        if self.child.id().is_some() {
            self.kill_group();
            let _ = self.child.wait().await;
        }
        for log in &self.log {
            log.abort();
        }
    }

    async fn leave(mut self) -> String {
        let folder = quoted(&self.folder.keep().to_string_lossy());
        self.remove().await;
        format!(
            "all that the trainer has left is kept in `{folder}`: remove it when you have the model"
        )
    }
}

async fn show(stream: Option<impl AsyncRead + Unpin>, tail: Tail) {
    let Some(mut stream) = stream else { return };
    let mut lines = Lines::to_stderr(tail);
    let mut buffer = vec![0; 1 << 16];
    while let Ok(count @ 1..) = stream.read(&mut buffer).await {
        lines.push(buffer.get(..count).unwrap_or_default());
    }
    lines.finish();
}

/// For `--dry-run`.
pub(super) fn shown_command(binary: &OsStr) -> Vec<String> {
    vec![binary.to_string_lossy().into_owned(), "train".to_owned()]
}
