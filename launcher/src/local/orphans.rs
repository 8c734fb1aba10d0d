//! Containers and temporary folders of launchers that were killed. They may hold hours of work, so
//! orphans are reported, never deleted.

use std::collections::HashMap;

use bollard::Docker;
use bollard::models::{ContainerSummary, ContainerSummaryStateEnum};
use bollard::query_parameters::ListContainersOptionsBuilder;

use super::docker_error;
use super::first_error::warn;
use super::launcher_id;
use super::layout::{BASE, JOB_LABEL, LAUNCHER_LABEL};
use super::scratch::orphan_folders;
use crate::output::quoted;
use diagnostics::{Error, Result};

/// A container of a local job.
#[derive(Debug, Clone)]
pub(crate) struct JobContainer {
    pub(crate) job: String,
    pub(crate) running: bool,
    /// `None` if its launcher cannot be looked up: on another machine, or on one without /proc.
    orphan: Option<bool>,
}

impl JobContainer {
    fn new(found: ContainerSummary) -> Option<Self> {
        let mut labels = found.labels?;
        let launcher = labels.remove(LAUNCHER_LABEL);
        Some(Self {
            job: labels.remove(JOB_LABEL)?,
            running: found.state == Some(ContainerSummaryStateEnum::RUNNING),
            orphan: launcher.as_deref().and_then(launcher_id::has_ended),
        })
    }

    /// True if its launcher has ended.
    pub(crate) fn is_orphan(&self) -> bool {
        self.orphan == Some(true)
    }

    /// Commands for an orphan.
    pub(crate) fn orphan_help(&self) -> String {
        let job = &self.job;
        format!(
            "`docker cp {job}:{BASE} {job}` copies the trainer's files, \
             `docker rm --force --volumes {job}` removes it"
        )
    }
}

/// Returns the containers of all local jobs in the engine, or of one job.
pub(crate) async fn containers(docker: &Docker, job: Option<&str>) -> Result<Vec<JobContainer>> {
    let label = job.map_or_else(|| JOB_LABEL.to_owned(), |job| format!("{JOB_LABEL}={job}"));
    let options = ListContainersOptionsBuilder::default()
        .all(true)
        .filters(&HashMap::from([("label", vec![label])]))
        .build();
    let found = docker
        .list_containers(Some(options))
        .await
        .map_err(|error| docker_error::explain("list the containers", &error))?;
    Ok(found.into_iter().filter_map(JobContainer::new).collect())
}

/// Warns of orphaned containers.
pub(super) async fn report_containers(docker: &Docker) {
    // They belong to other jobs, so an error here must not fail this job.
    for container in containers(docker, None).await.unwrap_or_default() {
        if container.is_orphan() {
            let message = format!(
                "the container of job `{}` still exists, but its launcher has ended",
                container.job
            );
            warn(Error::new(message).help(container.orphan_help()));
        }
    }
}

/// Warns of orphaned temporary folders.
pub(super) fn report_folders() {
    if let Some((message, help)) = describe_folders(&orphan_folders()) {
        warn(Error::new(message).help(help));
    }
}

/// Returns a message and a help line about orphaned folders.
pub(crate) fn describe_folders(folders: &[String]) -> Option<(String, String)> {
    let message = match folders {
        [] => return None,
        [_] => "a killed launcher left a temporary folder".to_owned(),
        many => format!("killed launchers left {} temporary folders", many.len()),
    };
    let paths: Vec<_> = folders.iter().map(|folder| quoted(folder)).collect();
    Some((message, format!("`rm -r {}` removes them", paths.join(" "))))
}
