//! Local jobs, for commands about SageMaker's jobs: a name may belong to the local Docker engine.

use std::path::Path;
use std::time::Duration;

use super::orphans::{JobContainer, containers};
use super::records;
use crate::engine;
use crate::output::{Format, quoted};
use diagnostics::{Error, ErrorKind, Exit, Result, eprint_line, sanitize};

/// A working engine answers in milliseconds.
const ENGINE_TIMEOUT: Duration = Duration::from_secs(1);

/// Returns the command's result, or another error if the job is local.
pub(crate) async fn or_local_job(
    job: &str,
    command: impl Future<Output = Result<Exit>>,
) -> Result<Exit> {
    if let Some(results) = records::read(job) {
        return Err(match find(Some(job)).await.pop() {
            Some(container) => local_job_error(&container, ErrorKind::Failed),
            None => recorded_job_error(job, &results),
        });
    }
    let error = match command.await {
        Err(error) if error.exit() != Exit::Interrupted => error,
        other => return other,
    };
    match find(Some(job)).await.pop() {
        Some(container) => Err(local_job_error(&container, error.kind())),
        None => Err(error),
    }
}

/// Lists SageMaker's jobs, and prints, for people, the local jobs that run.
pub(crate) async fn with_local_jobs(
    format: Format,
    listed: impl Future<Output = Result<Exit>>,
) -> Result<Exit> {
    if format == Format::Json {
        return listed.await;
    }
    let (listed, mut local) = tokio::join!(listed, find(None));
    local.retain(|container| container.running);
    for container in local {
        let job = &container.job;
        eprint_line(format!(
            "job `{job}` runs in the local Docker engine: `docker logs --follow {job}`"
        ));
    }
    listed
}

async fn find(job: Option<&str>) -> Vec<JobContainer> {
    let query = async { containers(&engine::connect().await?, job).await };
    match tokio::time::timeout(ENGINE_TIMEOUT, query).await {
        Ok(Ok(found)) => found,
        _ => Vec::new(),
    }
}

/// Error for a job that ran, or runs, on this machine.
fn recorded_job_error(job: &str, results: &str) -> Error {
    let results = sanitize(results);
    let error = Error::new(format!(
        "job `{job}` is a local job, which SageMaker does not know; its results are in `{results}`"
    ));
    let archive = format!("{results}/model.tar.gz");
    if results.starts_with("s3://") {
        let download = format!("trainyard download {} model.tar.gz", quoted(&archive));
        return error.help(format!("`{download}` downloads its model"));
    }
    if !Path::new(&archive).is_file() {
        return error.help("it has no model there: it still runs, has failed, or was moved");
    }
    error.help(format!(
        "`mkdir model && tar -xzf {} -C model` unpacks its model",
        quoted(&archive)
    ))
}

fn local_job_error(container: &JobContainer, kind: ErrorKind) -> Error {
    let job = &container.job;
    let (state, follow) = match container.running {
        true => ("runs", " --follow"),
        false => ("has ended", ""),
    };
    let error = Error::with_kind(
        kind,
        format!(
            "job `{job}` is in the local Docker engine, where it {state}, and not in SageMaker"
        ),
    )
    .help(format!("`docker logs{follow} {job}` shows its log"));
    if container.is_orphan() {
        error.help(format!(
            "its launcher has ended: {}",
            container.orphan_help()
        ))
    } else if container.running {
        error.help(format!(
            "Ctrl-C where it was started, or `docker stop --time 120 {job}`, ends it and packs its model"
        ))
    } else {
        error
    }
}
