//! Local jobs, for the commands that ask SageMaker: a name that it does not know may be one of the local engine's.

use std::time::Duration;

use super::leftover::{Container, containers};
use crate::engine;
use crate::output::Format;
use diagnostics::{Error, ErrorKind, Exit, Result, eprint_line};

/// An engine that is well answers in milliseconds; one that does not is none.
const PATIENCE: Duration = Duration::from_secs(1);

/// The command's own end; if it failed, and the job is one of the local engine, word of that.
pub(crate) async fn or_here(job: &str, asked: impl Future<Output = Result<Exit>>) -> Result<Exit> {
    let failure = match asked.await {
        Err(failure) if failure.exit() != Exit::Interrupted => failure,
        other => return other,
    };
    match find(Some(job)).await.pop() {
        Some(container) => Err(word(&container, failure.kind())),
        None => Err(failure),
    }
}

/// The list of SageMaker's jobs, and, for people, word of those that run here.
pub(crate) async fn and_here(
    format: Format,
    listed: impl Future<Output = Result<Exit>>,
) -> Result<Exit> {
    if format == Format::Json {
        return listed.await;
    }
    let (listed, mut here) = tokio::join!(listed, find(None));
    here.retain(|container| container.running);
    for container in here {
        let job = &container.job;
        eprint_line(format!(
            "job `{job}` runs in the local Docker engine: `docker logs --follow {job}`"
        ));
    }
    listed
}

async fn find(job: Option<&str>) -> Vec<Container> {
    let asked = async { containers(&engine::connect().await?, job).await };
    match tokio::time::timeout(PATIENCE, asked).await {
        Ok(Ok(found)) => found,
        _ => Vec::new(),
    }
}

fn word(container: &Container, kind: ErrorKind) -> Error {
    let job = &container.job;
    let (state, log) = match container.running {
        true => (
            "runs",
            format!("`docker logs --follow {job}` shows its log"),
        ),
        false => ("has ended", format!("`docker logs {job}` shows its log")),
    };
    let failure = Error::with_kind(
        kind,
        format!(
            "job `{job}` is in the local Docker engine, where it {state}, and not in SageMaker"
        ),
    )
    .help(log);
    if container.is_orphan() {
        failure.help(format!(
            "its launcher has ended: {}",
            container.orphan_help()
        ))
    } else if container.running {
        failure.help(format!(
            "Ctrl-C where it was started, or `docker stop --time 120 {job}`, ends it; its model is packed then"
        ))
    } else {
        failure
    }
}
