//! Checks of this machine: Docker engine, its disk, binary of the trainer.

use std::path::Path;
use std::process::Stdio;

use bollard::Docker;
use bollard::models::SystemInfo;
use tokio::process::Command;

use super::check::{Check, with_timeout};
use crate::engine;
use crate::local;
use crate::trainer::TrainerPackage;

/// Images of GPU trainers take gigabytes; with less free space a build or pull is likely to fail.
const MIN_FREE_DISK_GB: u64 = 5;

/// Checks the engine and its disk. Only local jobs and `build --docker` need Docker, so a missing
/// engine is a warning.
pub(super) async fn docker() -> Vec<Check> {
    let mut info = None;
    let mut orphans = None;
    let check = with_timeout("docker", "the Docker engine", async {
        let engine = match engine::connect().await {
            Ok(engine) => engine,
            Err(error) => {
                let (message, help) = error.into_parts();
                let check = Check::warning("docker", format!("{message}; only local jobs need it"));
                return check.helps(&help);
            }
        };
        match (engine.version().await, engine.info().await) {
            (Ok(version), Ok(response)) => {
                let check = platform(&version.version.unwrap_or_default(), &response);
                info = Some(response);
                orphans = orphan_containers(&engine).await;
                check
            }
            (Err(error), _) | (_, Err(error)) => Check::warning(
                "docker",
                format!(
                    "cannot read the version of the Docker engine: {}",
                    engine::reason(&error)
                ),
            )
            .help("run `docker info`; restart the engine if it fails"),
        }
    })
    .await;
    let disk = info.as_ref().and_then(disk);
    std::iter::once(check).chain(disk).chain(orphans).collect()
}

fn platform(version: &str, info: &SystemInfo) -> Check {
    let system = info.os_type.as_deref().unwrap_or("unknown");
    let machine = info.architecture.as_deref().unwrap_or("unknown");
    let found = format!(
        "engine {} on {}/{}",
        diagnostics::sanitize(version),
        diagnostics::sanitize(system),
        diagnostics::sanitize(machine)
    );
    match (system, machine) {
        ("linux", "x86_64" | "amd64") => Check::ok("docker", found),
        _ => Check::warning("docker", format!("{found}; images are for linux/amd64"))
            .help("images run here only with emulation; `--instance-type local-process` runs without Docker"),
    }
}

/// Checks for containers of local jobs whose launcher has ended.
async fn orphan_containers(engine: &Docker) -> Option<Check> {
    let mut orphans = local::containers(engine, None).await.ok()?;
    orphans.retain(local::JobContainer::is_orphan);
    let names: Vec<_> = orphans
        .iter()
        .map(|found| format!("`{}`", found.job))
        .collect();
    let helps: Vec<_> = orphans
        .iter()
        .map(local::JobContainer::orphan_help)
        .collect();
    let found = format!(
        "orphaned container of job {}: its launcher has ended",
        names.join(", ")
    );
    (!names.is_empty()).then(|| Check::warning("containers", found).help(helps.join("; ")))
}

/// Checks for temporary folders of local jobs whose launcher was killed.
pub(super) fn folders() -> Option<Check> {
    let (found, help) = local::describe_folders(&local::orphan_folders())?;
    Some(Check::warning("folders", found).help(help))
}

/// Checks the disk of the engine, if it is on this machine.
fn disk(info: &SystemInfo) -> Option<Check> {
    let folder = info.docker_root_dir.as_deref()?;
    let stat = rustix::fs::statvfs(Path::new(folder)).ok()?;
    let free = stat.f_bavail.saturating_mul(stat.f_frsize) / 1_000_000_000;
    let found = format!("{free} GB free at `{}`", diagnostics::sanitize(folder));
    Some(match free < MIN_FREE_DISK_GB {
        true => Check::warning("disk", format!("{found}, expected {MIN_FREE_DISK_GB}"))
            .help("`docker system prune` removes unused images and containers"),
        false => Check::ok("disk", found),
    })
}

/// Checks that the binary of the trainer starts; it validates hyperparameters before submission.
pub(super) async fn trainer(trainer: Option<&str>) -> Check {
    let name = "trainer";
    let Some(trainer) = trainer else {
        return Check::skipped(name, "no trainer given").help("`trainyard doctor svm`");
    };
    let mut found = None;
    let checked = with_timeout(name, "cargo", async {
        match TrainerPackage::find_cancellable(trainer).await {
            Ok(Some(trainer)) => {
                found = Some(trainer);
                Check::ok(name, "found")
            }
            Ok(None) => Check::skipped(name, "`cargo` does not start, see `toolchain`"),
            Err(error) => Check::from_error(name, error),
        }
    })
    .await;
    match found {
        Some(trainer) => starts(name, &trainer).await,
        None => checked,
    }
}

async fn starts(name: &'static str, trainer: &TrainerPackage) -> Check {
    let Some(binary) = trainer.existing_binary() else {
        let own = diagnostics::sanitize(&trainer.name);
        return match trainer.source {
            // Commands compile it when needed.
            Some(_) => Check::warning(name, format!("`{own}` is not compiled yet"))
                .help(format!("`cargo build --release -p {own}`")),
            None => Check::warning(
                name,
                format!("no binary `{own}` next to trainyard or on the PATH"),
            )
            .help("put it on the PATH, or run this in Trainyard's repository"),
        };
    };
    let path = diagnostics::sanitize(&binary.display().to_string()).into_owned();
    with_timeout(name, &format!("`{path}`"), async {
        let output = Command::new(&binary)
            .arg("--version")
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await;
        match output {
            Ok(output) if output.status.success() => {
                let version = String::from_utf8_lossy(&output.stdout);
                Check::ok(
                    name,
                    format!("{} at `{path}`", diagnostics::sanitize(version.trim())),
                )
            }
            Ok(output) => Check::problem(
                name,
                format!("`{path} --version` ended with {}", output.status),
            )
            .help(format!("run `{path} --version`")),
            Err(error) => {
                Check::problem(name, format!("cannot start `{path}`: {error}")).help(format!(
                    "`cargo build --release -p {}`",
                    diagnostics::sanitize(&trainer.name)
                ))
            }
        }
    })
    .await
}
