//! A job in the local Docker engine. The container runs as root, as on SageMaker, so no folder of the user is writable
//! in it: files go in and come out as tar streams, and on this side they are the user's.

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

use super::copy;
use super::folder::Setup;
use super::leftover;
use super::lines::Lines;
use super::request::{self, BASE};
use super::run::{Attempt, Backend, Ended};
use super::words::{Tail, Words};
use crate::build::{self, BuildOptions};
use crate::engine::{self, reason};
use crate::job::Job;
use diagnostics::{Error, Result, eprint_line};

/// `sha256:` and as many digits as `docker images` shows.
const SHORT_ID: usize = 19;

/// How long the last lines may take after the container's end.
const LAST_LINES: Duration = Duration::from_secs(10);

/// An engine with an image and a request, ready to start.
pub(super) struct Engine<'a> {
    docker: Docker,
    setup: &'a Setup,
    request: ContainerCreateBody,
}

/// A container. It exists until [`Attempt::remove`].
pub(super) struct Container<'a> {
    docker: Docker,
    setup: &'a Setup,
    id: String,
    wait: Wait,
    log: Option<JoinHandle<()>>,
    /// The checkpoints that it began with.
    sent: BTreeSet<PathBuf>,
}

type Wait = Pin<Box<dyn Stream<Item = Result<ContainerWaitResponse, DockerError>> + Send>>;

impl<'a> Engine<'a> {
    /// Finds the engine and looks whether it has the image.
    pub(super) async fn connect(
        job: &Job,
        setup: &'a Setup,
        image: String,
        gpu: bool,
    ) -> Result<Self> {
        let docker = engine::connect().await?;
        match docker.inspect_image(&image).await {
            Ok(found) => eprint_line(named(&image, found.id.as_deref())),
            Err(error) if status(&error) == Some(404) => {
                let shown = diagnostics::sanitize(&image).into_owned();
                return Err(
                    Error::usage(format!("the Docker engine has no image `{shown}`"))
                        .help(format!(
                            "`trainyard build {} --load` makes the trainer's own",
                            job.trainer.name
                        ))
                        .help(format!("`docker pull {shown}` gets one from its registry")),
                );
            }
            Err(error) => return Err(refused("look for the image", &error)),
        }
        leftover::name_containers(&docker).await;
        let request =
            request::container(job, setup, &image, gpu, leftover::own_launcher().as_deref());
        Ok(Self {
            docker,
            setup,
            request,
        })
    }
}

impl<'a> Backend for Engine<'a> {
    type Attempt = Container<'a>;

    async fn create(&self) -> Result<Container<'a>> {
        let options = CreateContainerOptionsBuilder::default()
            .name(&self.setup.job)
            .build();
        let created = self
            .docker
            .create_container(Some(options), self.request.clone())
            .await
            .map_err(|error| refused("create the container", &error))?;
        for warning in created.warnings {
            eprint_line(format!("warning: {}", diagnostics::sanitize(&warning)));
        }
        Ok(Container {
            docker: self.docker.clone(),
            setup: self.setup,
            id: created.id,
            wait: Box::pin(futures_util::stream::empty()),
            log: None,
            sent: BTreeSet::new(),
        })
    }
}

impl Container<'_> {
    fn wait_stream(&self) -> Wait {
        let options: Option<WaitContainerOptions> = None;
        Box::pin(self.docker.wait_container(&self.id, options))
    }

    async fn kill_with(&self, signal: &str) -> Result<()> {
        let options = KillContainerOptionsBuilder::default()
            .signal(signal)
            .build();
        match self.docker.kill_container(&self.id, Some(options)).await {
            // 409: it is not running any more; 404: it is not there any more.
            Err(error) if !matches!(status(&error), Some(404 | 409)) => {
                Err(refused("stop the container", &error))
            }
            _ => Ok(()),
        }
    }

    /// How it ended, once it has.
    async fn inspect(&self) -> Result<Option<Ended>> {
        let found = match self.docker.inspect_container(&self.id, None).await {
            Ok(found) => found,
            Err(error) if status(&error) == Some(404) => {
                return Err(
                    Error::new("somebody has removed the container while it ran")
                        .help("start the job again"),
                );
            }
            Err(error) => return Err(refused("ask for the container's state", &error)),
        };
        let state = found.state.unwrap_or_default();
        if state.running == Some(true) {
            return Ok(None);
        }
        Ok(Some(Ended {
            code: i32::try_from(state.exit_code.unwrap_or(-1)).unwrap_or(-1),
            out_of_memory: state.oom_killed == Some(true),
        }))
    }
}

impl Attempt for Container<'_> {
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
            .map_err(|error| refused("read the container's log", &error))?;
        self.log = Some(tokio::spawn(show(attached, self.setup.log.clone())));
        self.docker
            .start_container(&self.id, None)
            .await
            .map_err(|error| refused("start the container", &error))?;
        self.wait = self.wait_stream();
        Ok(())
    }

    async fn ended(&mut self) -> Result<Ended> {
        loop {
            let answer = self.wait.next().await;
            if let Some(ended) = self.inspect().await? {
                if let Some(log) = &mut self.log {
                    let _ = timeout(LAST_LINES, log).await;
                    self.log = None;
                }
                return Ok(ended);
            }
            // The request has timed out, which says nothing about the job: ask again.
            if let Some(Err(_)) | None = answer {
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

    async fn keep_checkpoints(&mut self) -> Result<()> {
        match &self.setup.checkpoints {
            Some(folder) => {
                copy::keep_checkpoints(&self.docker, &self.id, folder, &self.sent).await
            }
            None => Ok(()),
        }
    }

    async fn failure(&mut self) -> Result<Option<Words>> {
        let path = format!("{BASE}/output/failure");
        let text = copy::small_file(&self.docker, &self.id, &path).await?;
        Ok(text.map(|text| self.setup.words(&text, Path::new(BASE))))
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
            Err(error) if status(&error) != Some(404) => eprint_line(format!(
                "warning: the container is still there: {}\n  help: `docker rm --force --volumes {}`",
                diagnostics::sanitize(&reason(&error)),
                self.setup.job
            )),
            _ => {}
        }
    }

    async fn leave(self) -> String {
        let job = &self.setup.job;
        format!(
            "the container is kept: `docker cp {job}:{BASE} {job}` copies all that the trainer has left, \
             `docker rm --volumes {job}` removes it then"
        )
    }
}

/// The image that was named; else the trainer's own, built now where its source is, so that no run uses a stale one.
pub(super) async fn image(job: &Job) -> Result<String> {
    match &job.image {
        Some(image) => Ok(image.clone()),
        None if job.trainer.source.is_some() => {
            // An engine that does not answer is found out before minutes of compiling.
            let docker = engine::connect().await?;
            let built = build::build(&job.trainer, &BuildOptions::default()).await?;
            engine::load(&built, &docker).await
        }
        None => {
            let image = default_image(job);
            if let Some(reason) = job.trainer.no_cargo() {
                eprint_line(format!(
                    "warning: taking the image `{image}` as the engine has it, which may be older than the source: cannot start `cargo`: {}\n  \
                     help: install Rust from https://rustup.rs to have it built, or name an image: `--image {image}`",
                    diagnostics::sanitize(reason)
                ));
            }
            Ok(image)
        }
    }
}

/// Which image it is: a name may mean another one tomorrow.
fn named(image: &str, id: Option<&str>) -> String {
    let shown = diagnostics::sanitize(image);
    match id.and_then(|id| id.get(..SHORT_ID)) {
        Some(short) => format!("image `{shown}` ({short})"),
        None => format!("image `{shown}`"),
    }
}

/// As `trainyard build --load` names it.
pub(super) fn default_image(job: &Job) -> String {
    format!("{}:latest", image::repository(&job.trainer.name))
}

async fn show(attached: AttachContainerResults, tail: Tail) {
    use bollard::container::LogOutput;
    let mut output = attached.output;
    let (mut stdout, mut stderr) = (Lines::to_stderr(tail.clone()), Lines::to_stderr(tail));
    while let Some(Ok(piece)) = output.next().await {
        match piece {
            LogOutput::StdErr { message } => stderr.push(&message),
            other => stdout.push(&other.into_bytes()),
        }
    }
    stdout.finish();
    stderr.finish();
}

/// The engine's HTTP status, if it has answered.
pub(super) fn status(error: &DockerError) -> Option<u16> {
    match error {
        DockerError::DockerResponseServerError { status_code, .. } => Some(*status_code),
        _ => None,
    }
}

/// An engine's refusal, with what usually helps.
pub(super) fn refused(what: &str, error: &DockerError) -> Error {
    let reason = reason(error);
    let failure = Error::new(format!("cannot {what}: {}", diagnostics::sanitize(&reason)));
    if reason.contains("capabilities: [[gpu]]") {
        failure.help("the engine has no GPU runtime: install the NVIDIA container toolkit, or use `--instance-type local`")
    } else if reason.contains("bind source path does not exist") {
        failure.help("the engine sees other folders than we do (is it on another machine?): use data in S3, or `local-process`")
    } else if reason.contains("executable file not found")
        || reason.contains("no command specified")
    {
        failure.help("the image has no program that takes `train`: expected an ENTRYPOINT as `trainyard build` makes it")
    } else if reason.contains("no space left") {
        failure.help("make room on the engine's disk: `docker system df` shows what is on it")
    } else {
        failure.help("`docker info` and `docker system df` tell how the engine is")
    }
}
