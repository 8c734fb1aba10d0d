//! What a launcher leaves that was killed: a container, a temporary folder. Nothing of it is removed here, for it may
//! hold hours of work; it is named, with the command to type. What a launcher that lives has is never named.

use std::collections::HashMap;
use std::path::Path;

use bollard::Docker;
use bollard::models::{ContainerSummary, ContainerSummaryStateEnum};
use bollard::query_parameters::ListContainersOptionsBuilder;
use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};

use super::folder::PREFIX;
use super::request::BASE;
use super::trouble::warn;
use crate::output::quoted;
use diagnostics::{Error, Result};

/// A container's label: the job's name.
pub(super) const JOB: &str = "trainyard.job";
/// A container's label: the process that looks after it.
pub(super) const LAUNCHER: &str = "trainyard.launcher";

/// A container of ours.
#[derive(Debug, Clone)]
pub(crate) struct Container {
    pub(crate) job: String,
    pub(crate) running: bool,
    /// `None` where its launcher cannot be looked for: on another machine, or on one without /proc.
    orphan: Option<bool>,
}

impl Container {
    fn new(found: ContainerSummary) -> Option<Self> {
        let mut labels = found.labels?;
        let launcher = labels.remove(LAUNCHER);
        Some(Self {
            job: labels.remove(JOB)?,
            running: found.state == Some(ContainerSummaryStateEnum::RUNNING),
            orphan: launcher.as_deref().and_then(is_gone),
        })
    }

    /// Whether nobody looks after it any more.
    pub(crate) fn is_orphan(&self) -> bool {
        self.orphan == Some(true)
    }

    /// What to type, for one that nobody looks after.
    pub(crate) fn orphan_help(&self) -> String {
        let job = &self.job;
        format!(
            "`docker cp {job}:{BASE} {job}` copies what the trainer has left, \
             `docker rm --force --volumes {job}` removes it"
        )
    }
}

/// All containers of local jobs in the engine, or the one of this job.
pub(crate) async fn containers(docker: &Docker, job: Option<&str>) -> Result<Vec<Container>> {
    let label = job.map_or_else(|| JOB.to_owned(), |job| format!("{JOB}={job}"));
    let options = ListContainersOptionsBuilder::default()
        .all(true)
        .filters(&HashMap::from([("label", vec![label])]))
        .build();
    let found = docker
        .list_containers(Some(options))
        .await
        .map_err(|error| super::docker::refused("list the containers", &error))?;
    Ok(found.into_iter().filter_map(Container::new).collect())
}

/// Names the containers that nobody looks after.
pub(super) async fn name_containers(docker: &Docker) {
    // It is about other jobs: this one must not fail of it.
    for container in containers(docker, None).await.unwrap_or_default() {
        if container.is_orphan() {
            warn(
                Error::new(format!(
                    "the container of job `{}` is still there, and its launcher has ended",
                    container.job
                ))
                .help(container.orphan_help()),
            );
        }
    }
}

/// Names the temporary folders that nobody uses.
pub(super) fn name_folders() {
    let folders = folders();
    if let Some((message, help)) = folders_found(&folders) {
        warn(Error::new(message).help(help));
    }
}

/// The message and the help for such folders.
pub(crate) fn folders_found(folders: &[String]) -> Option<(String, String)> {
    let message = match folders {
        [] => return None,
        [_] => "a killed launcher has left a temporary folder".to_owned(),
        many => format!(
            "killed launchers have left {} temporary folders",
            many.len()
        ),
    };
    let words: Vec<_> = folders.iter().map(|folder| quoted(folder)).collect();
    Some((
        message,
        format!("`rm -r {}` removes what is in it", words.join(" ")),
    ))
}

/// In a temporary folder: the process that looks after it.
const SIGNATURE: &str = ".trainyard-launcher";

/// Says in a temporary folder of ours whose it is. Where that cannot be said, nobody will ever name the folder.
pub(super) fn sign(folder: &Path) {
    if let Some(own) = own_launcher() {
        // A disk that is full will be found by those who need it.
        let _ = std::fs::write(folder.join(SIGNATURE), own);
    }
}

/// The folder is the user's now.
pub(super) fn unsign(folder: &Path) {
    let _ = std::fs::remove_file(folder.join(SIGNATURE));
}

/// Our temporary folders whose launcher is gone: what only begins with the same name is not ours.
pub(crate) fn folders() -> Vec<String> {
    let entries = std::fs::read_dir(std::env::temp_dir())
        .into_iter()
        .flatten();
    let orphan = |path: &Path| {
        let launcher = std::fs::read_to_string(path.join(SIGNATURE)).ok()?;
        is_gone(&launcher)
    };
    let mut found: Vec<_> = entries
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(PREFIX))
        .map(|entry| entry.path())
        .filter(|path| orphan(path) == Some(true))
        .map(|path| path.to_string_lossy().into_owned())
        .collect();
    found.sort();
    found
}

/// This process, for those that come later: its number, its start, and where these mean something. Nothing on a machine
/// without /proc.
pub(super) fn own_launcher() -> Option<String> {
    let pid = std::process::id();
    Some(format!("{pid} {} {}", started(pid)?, place()?))
}

/// Whether the process has ended; nothing if that cannot be known here.
fn is_gone(launcher: &str) -> Option<bool> {
    let mut words = launcher.splitn(3, ' ');
    let pid = words.next()?.parse().ok()?;
    let start = words.next()?;
    if words.next()? != place()? {
        return None;
    }
    // A number may be another process's by now, but not with the same start.
    match started(pid) {
        Some(found) => Some(found != start),
        // /proc may hide the processes of others; the kernel does not deny that they are there.
        None => match Pid::from_raw(pid.try_into().ok()?).map(test_kill_process)? {
            Err(Errno::SRCH) => Some(true),
            Ok(()) if is_zombie(pid) => Some(true),
            _ => None,
        },
    }
}

/// Ended, but its parent has not looked.
fn is_zombie(pid: u32) -> bool {
    stat(pid).is_some_and(|words| words.trim_start().starts_with('Z'))
}

/// The process's state, and what follows it.
fn stat(pid: u32) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, which is in parentheses, may hold anything.
    stat.rsplit_once(')').map(|(_, rest)| rest.to_owned())
}

/// When a process was started, in ticks since the machine was.
fn started(pid: u32) -> Option<String> {
    let stat = stat(pid)?;
    let mut words = stat.split_whitespace();
    // A zombie has ended.
    if words.next() == Some("Z") {
        return None;
    }
    words.nth(18).map(str::to_owned)
}

/// This start of this machine, and the processes that are seen in it.
fn place() -> Option<String> {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let processes = std::fs::read_link("/proc/self/ns/pid").ok()?;
    Some(format!("{} {}", boot.trim(), processes.to_string_lossy()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_launcher_that_lives_is_not_gone() {
        let own = own_launcher().expect("Linux");
        assert_eq!(is_gone(&own), Some(false));
        let mut words: Vec<_> = own.split(' ').collect();
        words[1] = "1";
        assert_eq!(
            is_gone(&words.join(" ")),
            Some(true),
            "another process of that number"
        );
        let mut child = std::process::Command::new("true")
            .spawn()
            .expect("it starts");
        let pid = child.id();
        let later = own.replacen(&std::process::id().to_string(), &pid.to_string(), 1);
        child.wait().expect("it ends");
        assert_eq!(is_gone(&later), Some(true));
        let elsewhere = format!("{own}0");
        assert_eq!(is_gone(&elsewhere), None);
        assert_eq!(is_gone("nonsense"), None);
    }

    #[test]
    fn only_a_signed_folder_is_ours() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        sign(folder.path());
        let signature = std::fs::read_to_string(folder.path().join(SIGNATURE)).expect("signed");
        assert_eq!(is_gone(&signature), Some(false));
    }
}
