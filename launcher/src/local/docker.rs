//! Runs a job in the local Docker engine. The container runs as root, as on SageMaker, so folders
//! of the user are not mounted writable: files are copied in and out as tar streams, and on this
//! side they belong to the user.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::pin::Pin;

use bollard::Docker;
use bollard::container::AttachContainerResults;
use bollard::errors::Error as DockerError;
use bollard::models::{ContainerCreateBody, ContainerWaitResponse};
use bollard::query_parameters::{
    AttachContainerOptionsBuilder, CreateContainerOptionsBuilder, KillContainerOptionsBuilder,
    RemoveContainerOptionsBuilder, WaitContainerOptions,
};
use futures_util::{Stream, StreamExt as _};
use tokio::task::JoinHandle;
use tokio::time::{Duration, timeout};

use super::backend::{Attempt, Backend, ExitState, LOG_TIMEOUT};
use super::copy;
use super::docker_error;
use super::failure_reason::FailureReason;
use super::launcher_id;
use super::layout::BASE;
use super::log::{LineWriter, LogTail};
use super::orphans;
use super::request;
use super::setup::Setup;
use crate::build::{self, BuildOptions};
use crate::engine::{self, reason};
use crate::job::Job;
use diagnostics::{Error, Result, eprint_line};

/// Length of `sha256:` and the digits that `docker images` shows.
const SHORT_ID: usize = 19;

/// The engine with an image and the container's configuration.
pub(super) struct DockerBackend<'a> {
    docker: Docker,
    setup: &'a Setup,
    request: ContainerCreateBody,
}

/// A container. It exists until [`Attempt::remove`].
pub(super) struct DockerAttempt<'a> {
    docker: Docker,
    setup: &'a Setup,
    id: String,
    wait: Wait,
    log: Option<JoinHandle<()>>,
    /// Checkpoints that were copied in.
    sent: BTreeSet<PathBuf>,
}

type Wait = Pin<Box<dyn Stream<Item = Result<ContainerWaitResponse, DockerError>> + Send>>;

impl<'a> DockerBackend<'a> {
    /// Connects to the engine and finds the image.
    pub(super) async fn connect(
        job: &Job,
        setup: &'a Setup,
        image: String,
        gpu: bool,
    ) -> Result<Self> {
        let docker = engine::connect().await?;
        match docker.inspect_image(&image).await {
            Ok(found) => eprint_line(image_line(&image, found.id.as_deref())),
            Err(error) if docker_error::status(&error) == Some(404) => {
                let shown = diagnostics::sanitize(&image).into_owned();
                return Err(
                    Error::usage(format!("the Docker engine has no image `{shown}`"))
                        .help(format!(
                            "`trainyard build {} --load` builds the trainer's own",
                            job.trainer.name
                        ))
                        .help(format!("`docker pull {shown}` gets one from its registry")),
                );
            }
            Err(error) => return Err(docker_error::explain("look for the image", &error)),
        }
        orphans::report_containers(&docker).await;
        let request =
            request::container(job, setup, &image, gpu, launcher_id::current().as_deref());
        Ok(Self {
            docker,
            setup,
            request,
        })
    }
}

impl<'a> Backend for DockerBackend<'a> {
    type Attempt = DockerAttempt<'a>;

    async fn create(&self) -> Result<DockerAttempt<'a>> {
        let options = CreateContainerOptionsBuilder::default()
            .name(&self.setup.job)
            .build();
        let created = self
            .docker
            .create_container(Some(options), self.request.clone())
            .await
            .map_err(|error| docker_error::explain("create the container", &error))?;
        for warning in created.warnings {
            eprint_line(format!("warning: {}", diagnostics::sanitize(&warning)));
        }
        Ok(DockerAttempt {
            docker: self.docker.clone(),
            setup: self.setup,
            id: created.id,
            wait: Box::pin(futures_util::stream::empty()),
            log: None,
            sent: BTreeSet::new(),
        })
    }
}

impl DockerAttempt<'_> {
    fn wait_stream(&self) -> Wait {
        let options: Option<WaitContainerOptions> = None;
        Box::pin(self.docker.wait_container(&self.id, options))
    }

    async fn kill_with(&self, signal: &str) -> Result<()> {
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
}

impl Attempt for DockerAttempt<'_> {
    async fn prepare(&mut self) -> Result<()> {
        self.sent = copy::put(&self.docker, &self.id, self.setup).await?;
        Ok(())
    }

    async fn start(&mut self) -> Result<()> {
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
        self.log = Some(tokio::spawn(copy_log(attached, self.setup.log.clone())));
        self.docker
            .start_container(&self.id, None)
            .await
            .map_err(|error| docker_error::explain("start the container", &error))?;
        self.wait = self.wait_stream();
        Ok(())
    }

    async fn wait(&mut self) -> Result<ExitState> {
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

    async fn terminate(&mut self) -> Result<()> {
        self.kill_with("SIGTERM").await
    }

    async fn kill(&mut self) -> Result<()> {
        self.kill_with("SIGKILL").await
    }

    async fn save_checkpoints(&mut self) -> Result<()> {
        match &self.setup.checkpoints {
            Some(folder) => {
                copy::save_checkpoints(&self.docker, &self.id, folder, &self.sent).await
            }
            None => Ok(()),
        }
    }

    async fn failure(&mut self) -> Result<Option<FailureReason>> {
        let path = format!("{BASE}/output/failure");
        let text = copy::small_file(&self.docker, &self.id, &path).await?;
        Ok(text.map(|text| self.setup.failure_reason(&text, Path::new(BASE))))
    }

    async fn pack(&mut self, folder: &str, archive: &Path) -> Result<bool> {
        copy::pack(&self.docker, &self.id, &format!("{BASE}/{folder}"), archive).await
    }

    async fn remove(self) {
        if let Some(log) = &self.log {
            log.abort();
        }
        let options = RemoveContainerOptionsBuilder::default()
            .force(true)
            .v(true)
            .build();
        match self.docker.remove_container(&self.id, Some(options)).await {
            Err(error) if docker_error::status(&error) != Some(404) => eprint_line(format!(
                "warning: cannot remove the container: {}\n  help: `docker rm --force --volumes {}`",
                diagnostics::sanitize(&reason(&error)),
                self.setup.job
            )),
            _ => {}
        }
    }

    async fn keep(self) -> String {
        let job = &self.setup.job;
        format!(
            "the container is kept: `docker cp {job}:{BASE} {job}` copies the trainer's files, \
             `docker rm --volumes {job}` removes it afterwards"
        )
    }
}

/// Returns the given image; else the trainer's own, built from its source so that it is not stale.
pub(super) async fn image(job: &Job) -> Result<String> {
    match &job.image {
        Some(image) => Ok(image.clone()),
        None if job.trainer.source.is_some() => {
            // Connects before compiling, which takes minutes.
            let docker = engine::connect().await?;
            let built = build::build(&job.trainer, &BuildOptions::default()).await?;
            engine::load(&built, &docker).await
        }
        None => {
            let image = default_image(job);
            if let Some(reason) = job.trainer.no_cargo() {
                eprint_line(format!(
                    "warning: taking the image `{image}` from the engine, which may be older than the source: cannot start `cargo`: {}\n  \
                     help: install Rust from https://rustup.rs to have it built, or name an image: `--image {image}`",
                    diagnostics::sanitize(reason)
                ));
            }
            Ok(image)
        }
    }
}

/// Describes the image with its id, since a name may refer to another image later.
fn image_line(image: &str, id: Option<&str>) -> String {
    let shown = diagnostics::sanitize(image);
    match id.and_then(|id| id.get(..SHORT_ID)) {
        Some(short) => format!("image `{shown}` ({short})"),
        None => format!("image `{shown}`"),
    }
}

/// Name that `trainyard build --load` gives.
pub(super) fn default_image(job: &Job) -> String {
    format!("{}:latest", image::repository(&job.trainer.name))
}

async fn copy_log(attached: AttachContainerResults, tail: LogTail) {
    use bollard::container::LogOutput;
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
