//! Runs a job as a process: the trainer's binary with a private `/opt/ml` and the environment of a
//! container.

use std::ffi::OsString;
use std::fs;
use std::io::Stderr;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use sagemaker::limits;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::archive;
use super::backend::{Attempt, Backend, ExitState, LOG_TIMEOUT};
use super::cancel;
use super::failure_reason::FailureReason;
use super::layout::WRITABLE;
use super::log::LineWriter;
use super::reexec;
use super::scratch::Scratch;
use super::setup::Setup;
use crate::job::Job;
use crate::output::quoted;
use diagnostics::{Error, Result};

/// Variables of the launcher that the trainer inherits.
const INHERITED: [&str; 3] = ["PATH", "HOME", "TMPDIR"];

/// This machine, with the trainer's binary.
pub(super) struct ProcessBackend<'a> {
    setup: &'a Setup,
    binary: PathBuf,
}

/// A process of the trainer and its `/opt/ml`.
pub(super) struct ProcessAttempt<'a> {
    setup: &'a Setup,
    folder: Scratch,
    child: Child,
    /// Id of the process and of its group.
    pid: Pid,
    log: [JoinHandle<()>; 2],
}

/// Returns the given binary, else the trainer's own.
pub(super) async fn binary(job: &Job, given: Option<&Path>) -> Result<PathBuf> {
    let path = match given {
        Some(path) => path.to_owned(),
        None => job.trainer.host_binary().await?,
    };
    executable(&path)
}

/// Returns the whole path of a program.
pub(super) fn executable(path: &Path) -> Result<PathBuf> {
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

/// Returns the environment of the process.
pub(super) fn environment(setup: &Setup, base: &Path) -> Vec<(OsString, OsString)> {
    let inherited = INHERITED
        .iter()
        .filter_map(|name| Some(((*name).into(), std::env::var_os(name)?)));
    let own = (sagemaker::env_vars::BASE_DIR.name.into(), base.into());
    let job = setup.environment.iter();
    inherited
        .chain(job.map(|(name, value)| (name.into(), value.into())))
        .chain([own])
        .collect()
}

impl<'a> ProcessBackend<'a> {
    pub(super) fn new(setup: &'a Setup, binary: PathBuf) -> Self {
        Self { setup, binary }
    }

    /// Makes the private `/opt/ml`. Data and checkpoints are symbolic links.
    fn create_layout(&self) -> std::io::Result<Scratch> {
        let folder = Scratch::new().map_err(|error| std::io::Error::other(error.to_string()))?;
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
        let mut command = reexec::command(self.binary.as_os_str(), "train")?;
        command
            .env_clear()
            .envs(environment(self.setup, base))
            // Stray files are removed with the folder.
            .current_dir(base)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Ctrl-C goes to the launcher alone, which stops the trainer as SageMaker does.
            .process_group(0)
            .kill_on_drop(true);
        Ok(command)
    }
}

impl<'a> Backend for ProcessBackend<'a> {
    type Attempt = ProcessAttempt<'a>;

    async fn create(&self) -> Result<ProcessAttempt<'a>> {
        let folder = self.create_layout().map_err(|error| {
            Error::new(format!("cannot make the job's private folder: {error}"))
                .help("set TMPDIR to an existing, writable folder with space")
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
        // The report of the job has the paths of the archives instead.
        let left_out =
            ["model", "report"].map(|name| format!("{name}: {}/", folder.path().display()));
        let log = || LineWriter::to_stderr(self.setup.log.clone()).leave_out(left_out.to_vec());
        let log = [
            tokio::spawn(copy_log(child.stdout.take(), log())),
            tokio::spawn(copy_log(child.stderr.take(), log())),
        ];
        Ok(ProcessAttempt {
            setup: self.setup,
            folder,
            child,
            pid,
            log,
        })
    }
}

impl ProcessAttempt<'_> {
    /// Ends the trainer's children with it, as in a container.
    fn kill_group(&self) {
        // It fails if no process is left, which is the usual case.
        let _ = kill_process_group(self.pid, Signal::KILL);
    }
}

impl Attempt for ProcessAttempt<'_> {
    async fn prepare(&mut self) -> Result<()> {
        Ok(())
    }

    async fn start(&mut self) -> Result<()> {
        // `create` has started it.
        Ok(())
    }

    async fn wait(&mut self) -> Result<ExitState> {
        let status = self.child.wait().await.map_err(|error| {
            Error::new(format!("cannot wait for the trainer: {error}")).help("start the job again")
        })?;
        self.kill_group();
        for log in &mut self.log {
            if !log.is_finished() {
                let _ = timeout(LOG_TIMEOUT, log).await;
            }
        }
        let signal = status.signal().map(|signal| 128 + signal);
        Ok(ExitState {
            code: status.code().or(signal).unwrap_or(-1),
            out_of_memory: false,
        })
    }

    async fn terminate(&mut self) -> Result<()> {
        // After the wait, the id may belong to another process.
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

    async fn save_checkpoints(&mut self) -> Result<()> {
        // The trainer has written to their folder.
        Ok(())
    }

    async fn failure(&mut self) -> Result<Option<FailureReason>> {
        let path = sagemaker::Paths::at(self.folder.path()).failure();
        let Ok(file) = fs::File::open(path) else {
            return Ok(None);
        };
        let mut bytes = Vec::new();
        // A character has at most four bytes.
        let max_bytes = 4 * limits::MAX_FAILURE_REASON as u64;
        let _ = std::io::Read::read_to_end(&mut std::io::Read::take(file, max_bytes), &mut bytes);
        Ok(Some(self.setup.failure_reason(
            &String::from_utf8_lossy(&bytes),
            self.folder.path(),
        )))
    }

    async fn pack(&mut self, folder: &str, target: &Path) -> Result<bool> {
        let source = self.folder.path().join(folder);
        let target = target.to_owned();
        let (_guard, token) = cancel::guard();
        tokio::task::spawn_blocking(move || {
            archive::write(&target, token, |packer| packer.add_folder(&source))
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

    async fn keep(mut self) -> String {
        let folder = quoted(&self.folder.keep().to_string_lossy());
        self.remove().await;
        format!("the trainer's files are kept in `{folder}`: remove it when you have the model")
    }
}

async fn copy_log(stream: Option<impl AsyncRead + Unpin>, mut lines: LineWriter<Stderr>) {
    let Some(mut stream) = stream else { return };
    let mut buffer = vec![0; 1 << 16];
    while let Ok(count @ 1..) = stream.read(&mut buffer).await {
        lines.push(buffer.get(..count).unwrap_or_default());
    }
    lines.finish();
}
