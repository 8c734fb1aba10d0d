//! `trainyard build --docker`: docker/Dockerfile, by the local engine.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;
use std::process::Stdio;
use std::time::Instant;

use bollard::Docker;
use serde::Serialize;
use tokio::process::Command;

use super::Context;
use super::build::BuildArgs;
use crate::engine;
use crate::plan::Plan;
use crate::size::megabytes;
use crate::trainer::{Source, Trainer};
use diagnostics::{Error, Exit, Result, eprint_line};
use image::Piece;

/// Where the build finds what need not be compiled, by its place in the image; the Dockerfile knows it too.
const PREBUILT: &str = "prebuilt";

/// The answer. The engine gives no digest of what it has not pushed.
#[derive(Debug, Serialize)]
struct Answer {
    trainer: String,
    reference: String,
    id: String,
    size: i64,
    seconds: f64,
}

pub(super) async fn run(trainer: &Trainer, args: &BuildArgs, context: &Context) -> Result<Exit> {
    let source = trainer.source()?;
    // Once: somebody may commit while the engine compiles.
    let names = image::names(&trainer.package()?).await;
    let arguments = arguments(trainer, args, &names).await?;
    if args.dry_run {
        let mut plan = Plan::default();
        plan.step(format!("run `docker {}`", arguments.join(" ")));
        plan.print(context.format)?;
        return Ok(Exit::Ok);
    }
    // Checked before anything is started: a link or a dynamic program would be found out by the first job.
    let prebuilt = match &args.options.binary {
        Some(binary) => image::pieces(&trainer.package()?, binary)?,
        None => Vec::new(),
    };
    let engine = engine::connect().await?;
    let start = Instant::now();
    let folder = tempfile::tempdir().map_err(|error| unsent(&error))?;
    let archive = folder.path().join("context.tar");
    write_context(source, prebuilt, &archive).await?;
    docker(&arguments, &archive).await?;
    let [reference, _] = names;
    let seconds = start.elapsed().as_secs_f64();
    let answer = inspect(&engine, trainer, reference, seconds).await?;
    context.format.answer(&answer, |answer| {
        let size = megabytes(u64::try_from(answer.size).unwrap_or_default());
        format!(
            "{}\n  id            {}\n  unpacked      {size}\n  built in {:.2} s",
            answer.reference, answer.id, answer.seconds
        )
    })?;
    Ok(Exit::Ok)
}

async fn arguments(
    trainer: &Trainer,
    args: &BuildArgs,
    names: &[String; 2],
) -> Result<Vec<String>> {
    let mut arguments = vec!["build".to_owned()];
    let mut add = |flag: &str, value: String| arguments.extend([flag.to_owned(), value]);
    add("--file", "docker/Dockerfile".to_owned());
    add("--build-arg", format!("TRAINER={}", trainer.name));
    if let Some(base) = &args.docker_base {
        add("--build-arg", format!("BASE={base}"));
    }
    for (name, value) in image::image_labels(&trainer.package()?).await {
        add("--label", format!("{name}={value}"));
    }
    for name in names {
        add("--tag", name.clone());
    }
    arguments.push("-".to_owned());
    Ok(arguments)
}

/// What git knows of the workspace, not its target folder: megabytes instead of gigabytes.
async fn write_context(
    source: &Source,
    prebuilt: Vec<(String, Piece)>,
    archive: &Path,
) -> Result<()> {
    let output = Command::new("git")
        .args([
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ])
        .current_dir(&source.workspace)
        .stdin(Stdio::null())
        .output()
        .await
        .map_err(|error| {
            Error::new(format!("cannot start `git`: {error}")).help(
                "it tells which files are the source; install it, or build without `--docker`",
            )
        })?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(Error::new(format!(
            "`git ls-files` failed: {}",
            diagnostics::sanitize(text.trim())
        ))
        .help("`--docker` needs a git repository; build without it"));
    }
    let names = String::from_utf8_lossy(&output.stdout).into_owned();
    let (workspace, archive) = (source.workspace.clone(), archive.to_owned());
    let work = tokio::task::spawn_blocking(move || pack(&workspace, &names, &prebuilt, &archive));
    work.await
        .map_err(|error| unsent(&io::Error::other(error)))?
        .map_err(|error| unsent(&error))
}

fn pack(
    workspace: &Path,
    names: &str,
    prebuilt: &[(String, Piece)],
    archive: &Path,
) -> io::Result<()> {
    let mut builder = tar::Builder::new(File::create(archive)?);
    builder.follow_symlinks(false);
    for name in names.split('\0').filter(|name| !name.is_empty()) {
        let path = workspace.join(name);
        // A file that git knows may have been deleted.
        if path.symlink_metadata().is_ok_and(|found| !found.is_dir()) {
            builder.append_path_with_name(&path, name)?;
        }
    }
    for (place, piece) in prebuilt {
        let place = format!("{PREBUILT}/{place}");
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o755);
        match piece {
            Piece::File(path) => {
                let file = File::open(path)?;
                let size = file.metadata()?.len();
                header.set_size(size);
                builder.append_data(&mut header, place, file.take(size))?;
            }
            Piece::Link(file) => {
                header.set_entry_type(tar::EntryType::Symlink);
                header.set_size(0);
                builder.append_link(&mut header, place, file)?;
            }
        }
    }
    builder.into_inner().map(drop)
}

/// Runs the engine's own command: it shows the build as its users know it.
async fn docker(arguments: &[String], archive: &Path) -> Result<()> {
    let line = format!("docker {}", arguments.join(" "));
    eprint_line(&line);
    let archive = File::open(archive).map_err(|error| unsent(&error))?;
    let mut command = Command::new("docker");
    // What it prints is no answer of ours.
    let stderr = io::stderr();
    let log = std::os::fd::AsFd::as_fd(&stderr)
        .try_clone_to_owned()
        .map_err(|error| unsent(&error))?;
    let status = command
        .args(arguments)
        .stdin(archive)
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
        .help("its own messages are above; `trainyard build` without `--docker` needs no engine"))
}

async fn inspect(
    engine: &Docker,
    trainer: &Trainer,
    reference: String,
    seconds: f64,
) -> Result<Answer> {
    let found = engine.inspect_image(&reference).await.map_err(|error| {
        Error::new(format!(
            "the engine built `{reference}` and does not find it: {}",
            diagnostics::sanitize(&engine::reason(&error))
        ))
        .help("`docker` and trainyard may talk to different engines: compare `docker context ls` and DOCKER_HOST")
    })?;
    Ok(Answer {
        trainer: trainer.name.clone(),
        reference,
        id: found.id.unwrap_or_default(),
        size: found.size.unwrap_or_default(),
        seconds,
    })
}

fn unsent(error: &io::Error) -> Error {
    Error::new(format!("cannot send the source to the engine: {error}"))
        .help("set TMPDIR to a folder that is there and has space, such as `TMPDIR=/tmp`, then build again")
}
