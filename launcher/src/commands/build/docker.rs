//! `trainyard build --docker`: builds docker/Dockerfile with the local Docker engine.

use std::io;
use std::path::Path;
use std::process::Stdio;
use std::time::Instant;

use bollard::Docker;
use serde::Serialize;
use tokio::process::Command;

use super::BuildArgs;
use crate::context::Context;
use crate::engine;

use crate::plan::Plan;
use crate::trainer::TrainerPackage;
use crate::util::megabytes;
use diagnostics::{Error, Exit, Result, eprint_line};

/// Result of the command. The engine has no digest of an image that it has not pushed.
#[derive(Debug, Serialize)]
struct DockerBuildResult {
    trainer: String,
    reference: String,
    id: String,
    size: i64,
    seconds: f64,
}

pub(super) async fn run(
    trainer: &TrainerPackage,
    args: &BuildArgs,
    context: &Context,
) -> Result<Exit> {
    let source = trainer.source()?;
    // Read once: the revision may change during the build.
    let names = image::names(&trainer.source()?.package).await;
    let arguments = arguments(trainer, args, &names).await?;
    if args.dry_run {
        let mut plan = Plan::default();
        plan.step(format!("run `docker {}`", arguments.join(" ")));
        return plan.print(context.format);
    }
    let engine = engine::connect().await?;
    let start = Instant::now();
    docker(&arguments, &source.package.workspace).await?;
    let [reference, _] = names;
    let seconds = start.elapsed().as_secs_f64();
    let result = inspect(&engine, trainer, reference, seconds).await?;
    context.format.print(&result, |result| {
        let size = megabytes(u64::try_from(result.size).unwrap_or_default());
        format!(
            "{}\n  id            {}\n  unpacked      {size}\n  built in {:.2} s",
            result.reference, result.id, result.seconds
        )
    })
}

async fn arguments(
    trainer: &TrainerPackage,
    args: &BuildArgs,
    names: &[String; 2],
) -> Result<Vec<String>> {
    let mut arguments = vec!["build".to_owned()];
    let mut add = |flag: &str, value: String| arguments.extend([flag.to_owned(), value]);
    add("--file", "docker/Dockerfile".to_owned());
    add("--build-arg", format!("TRAINER={}", trainer.name));
    let features = &trainer.source()?.image_features;
    add("--build-arg", format!("FEATURES={}", features.join(",")));
    if let Some(base) = &args.docker_base {
        add("--build-arg", format!("BASE={base}"));
    }
    for (name, value) in image::image_labels(&trainer.source()?.package).await {
        add("--label", format!("{name}={value}"));
    }
    for name in names {
        add("--tag", name.clone());
    }
    arguments.push(".".to_owned());
    Ok(arguments)
}

/// Runs `docker` in the workspace and shows its output on stderr.
async fn docker(arguments: &[String], workspace: &Path) -> Result<()> {
    let line = format!("docker {}", arguments.join(" "));
    eprint_line(&line);
    let mut command = Command::new("docker");
    // Standard output has only the result.
    let stderr = io::stderr();
    let log = std::os::fd::AsFd::as_fd(&stderr)
        .try_clone_to_owned()
        .map_err(|error| Error::new(format!("cannot write to stderr: {error}")))?;
    let status = command
        .args(arguments)
        .current_dir(workspace)
        .stdin(Stdio::null())
        .stdout(log)
        .status()
        .await
        .map_err(|error| {
            Error::new(format!("cannot start `docker`: {error}"))
                .help("install Docker's command line, or build without `--docker`")
        })?;
    if status.success() {
        return Ok(());
    }
    Err(Error::new(format!("`{line}` failed: {status}"))
        .help("see its messages above; `trainyard build` without `--docker` needs no engine"))
}

async fn inspect(
    engine: &Docker,
    trainer: &TrainerPackage,
    reference: String,
    seconds: f64,
) -> Result<DockerBuildResult> {
    let found = engine.inspect_image(&reference).await.map_err(|error| {
        Error::new(format!(
            "the engine built `{reference}` but cannot find it: {}",
            diagnostics::sanitize(&engine::reason(&error))
        ))
        .help("`docker` and trainyard may use different engines: compare `docker context ls` and DOCKER_HOST")
    })?;
    Ok(DockerBuildResult {
        trainer: trainer.name.clone(),
        reference,
        id: found.id.unwrap_or_default(),
        size: found.size.unwrap_or_default(),
        seconds,
    })
}
