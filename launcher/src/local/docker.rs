//! Runs a job in the local Docker engine. The container runs as root, as on SageMaker, so folders
//! of the user are not mounted writable: files are copied in and out as tar streams, and on this
//! side they belong to the user.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use bollard::Docker;
use bollard::models::ContainerCreateBody;
use bollard::query_parameters::CreateContainerOptionsBuilder;

use super::backend::{Attempt, Backend, ExitState};
use super::container::Container;
use super::copy;
use super::docker_error;
use super::failure_reason::FailureReason;
use super::launcher_id;
use super::layout::BASE;
use super::orphans;
use super::request;
use super::setup::Setup;
use crate::build::{self, BuildOptions};
use crate::engine;
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

/// A container of a job. It exists until [`Attempt::remove`].
pub(super) struct DockerAttempt<'a> {
    container: Container,
    setup: &'a Setup,
    /// Checkpoints that were copied in.
    sent: BTreeSet<PathBuf>,
}

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
            container: Container::new(self.docker.clone(), created.id),
            setup: self.setup,
            sent: BTreeSet::new(),
        })
    }
}

impl Attempt for DockerAttempt<'_> {
    async fn prepare(&mut self) -> Result<()> {
        self.sent = copy::put(&self.container.docker, &self.container.id, self.setup).await?;
        Ok(())
    }

    async fn start(&mut self) -> Result<()> {
        self.container.start(self.setup.log.clone()).await
    }

    async fn wait(&mut self) -> Result<ExitState> {
        self.container.wait().await
    }

    async fn terminate(&mut self) -> Result<()> {
        self.container.kill("SIGTERM").await
    }

    async fn kill(&mut self) -> Result<()> {
        self.container.kill("SIGKILL").await
    }

    async fn save_checkpoints(&mut self) -> Result<()> {
        match &self.setup.checkpoints {
            Some(folder) => {
                copy::save_checkpoints(
                    &self.container.docker,
                    &self.container.id,
                    folder,
                    &self.sent,
                )
                .await
            }
            None => Ok(()),
        }
    }

    async fn failure(&mut self) -> Result<Option<FailureReason>> {
        let path = format!("{BASE}/output/failure");
        let text = copy::small_file(&self.container.docker, &self.container.id, &path).await?;
        Ok(text.map(|text| self.setup.failure_reason(&text, Path::new(BASE))))
    }

    async fn pack(&mut self, folder: &str, archive: &Path) -> Result<bool> {
        copy::pack(
            &self.container.docker,
            &self.container.id,
            &format!("{BASE}/{folder}"),
            archive,
        )
        .await
    }

    async fn remove(self) {
        self.container.remove(&self.setup.job).await;
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
