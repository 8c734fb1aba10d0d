//! A container in the local Docker engine, and its log.

use std::pin::Pin;

use bollard::Docker;
use bollard::container::{AttachContainerResults, LogOutput};
use bollard::errors::Error as DockerError;
use bollard::models::ContainerWaitResponse;
use bollard::query_parameters::{
    AttachContainerOptionsBuilder, KillContainerOptionsBuilder, RemoveContainerOptionsBuilder,
    WaitContainerOptions,
};
use futures_util::{Stream, StreamExt as _};
use tokio::task::JoinHandle;
use tokio::time::{Duration, timeout};

use super::backend::{ExitState, LOG_TIMEOUT};
use super::docker_error;
use super::log::{LineWriter, LogTail};
use crate::engine::reason;
use diagnostics::{Error, Result, eprint_line};

/// A container. It exists until [`Container::remove`].
pub(super) struct Container {
    pub(super) docker: Docker,
    pub(super) id: String,
    wait: Wait,
    log: Option<JoinHandle<()>>,
}

type Wait = Pin<Box<dyn Stream<Item = Result<ContainerWaitResponse, DockerError>> + Send>>;

impl Container {
    /// A container that was created.
    pub(super) fn new(docker: Docker, id: String) -> Self {
        Self {
            docker,
            id,
            wait: Box::pin(futures_util::stream::empty()),
            log: None,
        }
    }

    fn wait_stream(&self) -> Wait {
        let options: Option<WaitContainerOptions> = None;
        Box::pin(self.docker.wait_container(&self.id, options))
    }

    /// Sends a signal; nothing happens if it has ended.
    pub(super) async fn kill(&self, signal: &str) -> Result<()> {
        let options = KillContainerOptionsBuilder::default()
            .signal(signal)
            .build();
        match self.docker.kill_container(&self.id, Some(options)).await {
            // 409: it does not run any more; 404: it does not exist any more.
            Err(error) if !matches!(docker_error::status(&error), Some(404 | 409)) => {
                Err(docker_error::explain("stop the container", &error))
            }
            _ => Ok(()),
        }
    }

    /// Returns the exit, if it has ended.
    async fn inspect(&self) -> Result<Option<ExitState>> {
        let found = match self.docker.inspect_container(&self.id, None).await {
            Ok(found) => found,
            Err(error) if docker_error::status(&error) == Some(404) => {
                return Err(Error::new("the container was removed while it ran")
                    .help("start the job again"));
            }
            Err(error) => return Err(docker_error::explain("read the container's state", &error)),
        };
        let state = found.state.unwrap_or_default();
        if state.running == Some(true) {
            return Ok(None);
        }
        Ok(Some(ExitState {
            code: i32::try_from(state.exit_code.unwrap_or(-1)).unwrap_or(-1),
            out_of_memory: state.oom_killed == Some(true),
        }))
    }

    /// Starts it, and passes its log to standard error.
    pub(super) async fn start(&mut self, tail: LogTail) -> Result<()> {
        // Before the start, so that no line is missed.
        let attach = AttachContainerOptionsBuilder::default()
            .stdout(true)
            .stderr(true)
            .stream(true)
            .build();
        let attached = self
            .docker
            .attach_container(&self.id, Some(attach))
            .await
            .map_err(|error| docker_error::explain("read the container's log", &error))?;
        self.log = Some(tokio::spawn(copy_log(attached, tail)));
        self.docker
            .start_container(&self.id, None)
            .await
            .map_err(|error| docker_error::explain("start the container", &error))?;
        self.wait = self.wait_stream();
        Ok(())
    }

    /// Waits until it ends.
    pub(super) async fn wait(&mut self) -> Result<ExitState> {
        loop {
            let response = self.wait.next().await;
            if let Some(ended) = self.inspect().await? {
                if let Some(log) = &mut self.log {
                    let _ = timeout(LOG_TIMEOUT, log).await;
                    self.log = None;
                }
                return Ok(ended);
            }
            // The request timed out while the job runs: repeat it.
            if let Some(Err(_)) | None = response {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            self.wait = self.wait_stream();
        }
    }

    /// Removes it. `name`: its name or id, for the help.
    pub(super) async fn remove(self, name: &str) {
        if let Some(log) = &self.log {
            log.abort();
        }
        let options = RemoveContainerOptionsBuilder::default()
            .force(true)
            .v(true)
            .build();
        match self.docker.remove_container(&self.id, Some(options)).await {
            Err(error) if docker_error::status(&error) != Some(404) => eprint_line(format!(
                "warning: cannot remove the container: {}\n  help: `docker rm --force --volumes {name}`",
                diagnostics::sanitize(&reason(&error)),
            )),
            _ => {}
        }
    }
}

/// Writes the log in whole lines.
async fn copy_log(attached: AttachContainerResults, tail: LogTail) {
    let mut output = attached.output;
    let (mut stdout, mut stderr) = (
        LineWriter::to_stderr(tail.clone()),
        LineWriter::to_stderr(tail),
    );
    while let Some(Ok(piece)) = output.next().await {
        match piece {
            LogOutput::StdErr { message } => stderr.push(&message),
            other => stdout.push(&other.into_bytes()),
        }
    }
    stdout.finish();
    stderr.finish();
}
