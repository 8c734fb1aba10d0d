//! Configuration of the container, as SageMaker starts it.

use std::collections::HashMap;
use std::path::Path;

use bollard::models::{
    ContainerCreateBody, DeviceRequest, HostConfig, Mount, MountType, MountVolumeOptions,
};

use super::layout::{BASE, HOST, JOB_LABEL, LAUNCHER_LABEL};
use super::setup::Setup;
use crate::job::Job;

/// Seconds between SIGTERM and SIGKILL of `docker stop`, as on SageMaker.
const STOP_TIMEOUT: i64 = 120;

/// Returns the body of the engine's create request. The trainer writes to a volume of the container,
/// since the user could not delete root's files on this machine. `launcher` identifies the launcher.
pub(super) fn container(
    job: &Job,
    setup: &Setup,
    image: &str,
    gpu: bool,
    launcher: Option<&str>,
) -> ContainerCreateBody {
    let labels = labels(setup, launcher);
    let mut mounts = vec![Mount {
        target: Some(BASE.to_owned()),
        typ: Some(MountType::VOLUME),
        volume_options: Some(MountVolumeOptions {
            labels: Some(labels.clone()),
            ..MountVolumeOptions::default()
        }),
        ..Mount::default()
    }];
    mounts.extend(setup.channels.iter().map(|input| Mount {
        target: Some(text(&input.target(Path::new(BASE)))),
        source: Some(text(&input.path)),
        typ: Some(MountType::BIND),
        read_only: Some(true),
        ..Mount::default()
    }));
    let all_gpus = DeviceRequest {
        count: Some(-1),
        capabilities: Some(vec![vec!["gpu".to_owned()]]),
        ..DeviceRequest::default()
    };
    let environment = setup.environment.iter();
    ContainerCreateBody {
        image: Some(image.to_owned()),
        cmd: Some(vec!["train".to_owned()]),
        hostname: Some(HOST.to_owned()),
        env: Some(
            environment
                .map(|(name, value)| format!("{name}={value}"))
                .collect(),
        ),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        stop_timeout: Some(STOP_TIMEOUT),
        labels: Some(labels),
        host_config: Some(HostConfig {
            mounts: Some(mounts),
            network_mode: job.cloud.network_isolation.then(|| "none".to_owned()),
            device_requests: gpu.then(|| vec![all_gpus]),
            ..HostConfig::default()
        }),
        ..ContainerCreateBody::default()
    }
}

/// Labels find local jobs: `docker ps --all --filter label=trainyard.job`.
fn labels(setup: &Setup, launcher: Option<&str>) -> HashMap<String, String> {
    let launcher = launcher.map(|launcher| (LAUNCHER_LABEL.to_owned(), launcher.to_owned()));
    let job = (JOB_LABEL.to_owned(), setup.job.clone());
    std::iter::once(job).chain(launcher).collect()
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
