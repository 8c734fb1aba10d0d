//! The trainer's binary on this machine, run with a temporary `/opt/ml` to check a job.

use std::path::Path;
use std::process::Output;
use std::time::Duration;

use diagnostics::{Error, Result, sanitize};
use sagemaker::{ErrorReport, Paths, TrainerDescription, env_vars};
use serde_json::json;
use tempfile::TempDir;
use tokio::process::Command;

use super::Job;
use crate::trainer::host_command;
use crate::util::{TMPDIR_HELP, private_folder};

/// A description needs no file and no network.
const DESCRIBE_TIMEOUT: Duration = Duration::from_secs(10);

/// A trainer's binary, and a folder with the job's hyperparameters as its `/opt/ml`.
pub(super) struct HostTrainer<'a> {
    job: &'a Job,
    binary: &'a Path,
    base: TempDir,
    /// Absent for a program without `describe --json`, such as an older trainer.
    pub(super) description: Option<TrainerDescription>,
}

impl<'a> HostTrainer<'a> {
    /// Writes the hyperparameters as the container will see them, and reads the description.
    pub(super) async fn new(job: &'a Job, binary: &'a Path) -> Result<Self> {
        let base = private_folder("trainyard-check-")?;
        let paths = Paths::at(base.path());
        let hyperparameters = json!(job.hyperparameters).to_string();
        std::fs::create_dir_all(paths.config_dir())
            .and_then(|()| std::fs::write(paths.hyperparameters(), hyperparameters))
            .map_err(|error| {
                Error::new(format!("cannot write a temporary file: {error}")).help(TMPDIR_HELP)
            })?;
        let mut trainer = Self {
            job,
            binary,
            base,
            description: None,
        };
        trainer.description = trainer.describe().await?;
        Ok(trainer)
    }

    /// Name of the trainer.
    pub(super) fn name(&self) -> &'a str {
        &self.job.trainer.name
    }

    /// Folder that the trainer sees as `/opt/ml`.
    pub(super) fn paths(&self) -> Paths {
        Paths::at(self.base.path())
    }

    /// The trainer with `arguments`, and with errors as JSON if it has them.
    pub(super) fn command<S: AsRef<std::ffi::OsStr>>(&self, arguments: &[S]) -> Command {
        let mut command = host_command(self.binary);
        command
            .args(arguments)
            .envs(&self.job.environment)
            .env(env_vars::BASE_DIR.name, self.base.path())
            .env_remove(env_vars::JOB_NAME.name);
        if self.description.is_some() {
            command.args(["--error-format", "json"]);
        }
        command
    }

    /// Error for a binary that does not start.
    pub(super) fn cannot_start(&self, error: &std::io::Error) -> Error {
        Error::usage(format!("cannot start `{}`: {error}", self.binary.display()))
            .help("`--trainer-binary` names the trainer's binary for this machine")
    }

    /// Finds the error report in the output of a command that failed.
    pub(super) fn report(output: &Output) -> Option<ErrorReport> {
        let find = |bytes: &[u8]| ErrorReport::find(&String::from_utf8_lossy(bytes));
        find(&output.stderr).or_else(|| find(&output.stdout))
    }

    async fn describe(&self) -> Result<Option<TrainerDescription>> {
        let mut command = self.command(&["describe", "--json"]);
        let Ok(output) = tokio::time::timeout(DESCRIBE_TIMEOUT, command.output()).await else {
            return Ok(None);
        };
        let output = output.map_err(|error| self.cannot_start(&error))?;
        Ok(serde_json::from_slice(&output.stdout).ok())
    }
}

/// Sanitizes each line.
pub(super) fn sanitize_lines(text: &str) -> String {
    let lines: Vec<_> = text.lines().map(sanitize).collect();
    lines.join("\n")
}
