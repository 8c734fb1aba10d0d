//! `TRAINER serve` on this machine: as a process, or in the Docker engine as SageMaker starts it.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use bollard::models::{ContainerCreateBody, HostConfig, PortBinding};
use bollard::query_parameters::CreateContainerOptions;
use rustix::process::{Pid, Signal, kill_process};

use super::container::Container;
use super::docker_error::explain;
use super::log::LogTail;
use super::scratch::Scratch;
use super::signals::Signals;
use super::{copy, process, reexec};
use crate::build::{self, BuildOptions};
use crate::engine;
use crate::trainer::TrainerPackage;
use diagnostics::{Error, Exit, Result, eprint_line};

/// SageMaker's port of a container.
const PORT: &str = "8080/tcp";

/// A server to start.
pub(crate) struct Serving {
    pub(crate) trainer: TrainerPackage,
    /// Archive or folder.
    pub(crate) model: PathBuf,
    pub(crate) port: u16,
    /// True for the Docker engine.
    pub(crate) in_engine: bool,
    pub(crate) image: Option<String>,
    pub(crate) binary: Option<PathBuf>,
    pub(crate) options: Vec<String>,
}

/// Serves until the server ends or a signal stops it.
pub(crate) async fn serve(serving: Serving) -> Result<Exit> {
    let mut signals = Signals::install()?;
    let unpacked = unpacked(&serving.model)?;
    let model = unpacked.as_ref().map_or(&*serving.model, Scratch::path);
    let model = model_folder(model);
    if unpacked.is_some() && !model.join("config.json").exists() {
        let shown = serving.model.to_string_lossy();
        let shown = diagnostics::sanitize(&shown);
        let message = format!("expected a model in `{shown}`, found no config.json");
        return Err(Error::new(message).help(other_archive(&serving.model)));
    }
    let code = match serving.in_engine {
        true => in_engine(&serving, &model, &mut signals).await?,
        false => in_process(&serving, &model, &mut signals).await?,
    };
    match code {
        0 => Ok(Exit::Ok),
        code => Err(
            Error::new(format!("the server ended with exit code {code}"))
                .help("see its messages above"),
        ),
    }
}

/// Unpacks an archive; `None` for a folder.
fn unpacked(model: &Path) -> Result<Option<Scratch>> {
    if model.is_dir() {
        return Ok(None);
    }
    let scratch = Scratch::new()?;
    let folder = scratch.path().join("model");
    std::fs::create_dir(&folder).map_err(Error::io("write", &folder))?;
    s3::unpack_model(model, &folder).map_err(|error| {
        let kind = error.kind();
        let (message, mut help) = error.into_parts();
        // The options are those of `download`.
        help.retain(|help| !help.contains("`--"));
        if help.is_empty() {
            help.push(other_archive(model));
        }
        help.into_iter()
            .fold(Error::with_kind(kind, message), Error::help)
    })?;
    Ok(Some(scratch))
}

fn other_archive(archive: &Path) -> String {
    let shown = archive.to_string_lossy();
    let shown = diagnostics::sanitize(&shown);
    format!("pass the model.tar.gz of a job; this shows the files: tar -tzf {shown}")
}

async fn in_process(serving: &Serving, model: &Path, signals: &mut Signals) -> Result<i32> {
    let binary = match &serving.binary {
        Some(binary) => binary.clone(),
        None => {
            signals
                .run_or_cancel(serving.trainer.serving_binary())
                .await?
        }
    };
    let binary = process::executable(&binary)?;
    let mut command = reexec::command(binary.as_os_str(), "serve")?;
    command
        .arg("--model-dir")
        .arg(model)
        .args(["--port", &serving.port.to_string()])
        .args(&serving.options)
        .stdin(Stdio::null())
        // Ctrl-C goes to the launcher alone, which sends SIGTERM.
        .process_group(0)
        .kill_on_drop(true);
    let cannot = |error: io::Error| {
        let shown = binary.to_string_lossy();
        let shown = diagnostics::sanitize(&shown);
        Error::new(format!("cannot start `{shown}`: {error}"))
            .help("pass a program for this machine as `--trainer-binary FILE`")
    };
    let mut child = command.spawn().map_err(cannot)?;
    let pid = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
    let status = loop {
        tokio::select! {
            status = child.wait() => break status,
            // The second one is passed on too: it ends the server at once.
            _ = signals.next() => if let Some(pid) = pid {
                // It has not been waited for, so the id is still its own.
                let _ = kill_process(pid, Signal::TERM);
            },
        }
    };
    let status = status.map_err(|error| {
        Error::new(format!("cannot wait for the server: {error}")).help("start it again")
    })?;
    Ok(status.code().unwrap_or(-1))
}

/// Returns the folder with the model: it may be in `model`, or in the only folder that there is.
fn model_folder(model: &Path) -> PathBuf {
    let mut folder = model.to_owned();
    while !folder.join("config.json").exists() {
        match inner(&folder) {
            Some(inner) => folder = inner,
            None => return model.to_owned(),
        }
    }
    folder
}

fn inner(folder: &Path) -> Option<PathBuf> {
    let named = folder.join("model");
    if named.is_dir() {
        return Some(named);
    }
    let mut entries = std::fs::read_dir(folder).ok()?;
    let only = entries.next()?.ok()?.path();
    (entries.next().is_none() && only.is_dir()).then_some(only)
}

async fn in_engine(serving: &Serving, model: &Path, signals: &mut Signals) -> Result<i32> {
    let docker = engine::connect().await?;
    let image = match &serving.image {
        Some(image) => image.clone(),
        None => {
            let build = async {
                let built = build::build(&serving.trainer, &BuildOptions::default()).await?;
                engine::load(&built, &docker).await
            };
            signals.run_or_cancel(build).await?
        }
    };
    let options: Option<CreateContainerOptions> = None;
    let created = docker
        .create_container(options, request(serving, &image))
        .await
        .map_err(|error| explain("create the container", &error))?;
    let port = serving.port;
    eprint_line(format!(
        "port {PORT} of the container is http://127.0.0.1:{port}"
    ));
    let name = created.id.clone();
    let mut container = Container::new(docker, created.id);
    let code = run(&mut container, model, signals).await;
    container.remove(&name).await;
    code
}

/// Returns the body of the engine's create request. Only this machine reaches the port.
fn request(serving: &Serving, image: &str) -> ContainerCreateBody {
    let binding = PortBinding {
        host_ip: Some("127.0.0.1".to_owned()),
        host_port: Some(serving.port.to_string()),
    };
    let command = std::iter::once("serve".to_owned()).chain(serving.options.iter().cloned());
    ContainerCreateBody {
        image: Some(image.to_owned()),
        cmd: Some(command.collect()),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        exposed_ports: Some(vec![PORT.to_owned()]),
        host_config: Some(HostConfig {
            port_bindings: Some(HashMap::from([(PORT.to_owned(), Some(vec![binding]))])),
            ..HostConfig::default()
        }),
        ..ContainerCreateBody::default()
    }
}

/// Copies the model into the container, and runs it to its end. Returns its exit code.
async fn run(container: &mut Container, model: &Path, signals: &mut Signals) -> Result<i32> {
    copy::put_model(&container.docker, &container.id, model).await?;
    container.start(LogTail::default()).await?;
    loop {
        tokio::select! {
            ended = container.wait() => return Ok(ended?.code),
            _ = signals.next() => {}
        }
        container.kill("SIGTERM").await?;
    }
}
