//! Errors of the Docker engine with help. Its own file, since `docker`, `copy` and `orphans` use it.

use bollard::errors::Error as DockerError;

use crate::engine::reason;
use diagnostics::{Error, sanitize};

/// Returns the HTTP status, if the engine answered.
pub(super) fn status(error: &DockerError) -> Option<u16> {
    match error {
        DockerError::DockerResponseServerError { status_code, .. } => Some(*status_code),
        _ => None,
    }
}

/// Returns `cannot <action>: <reason>` with help for the usual causes.
pub(super) fn explain(action: &str, error: &DockerError) -> Error {
    let reason = reason(error);
    let error = Error::new(format!("cannot {action}: {}", sanitize(&reason)));
    error.help(if reason.contains("capabilities: [[gpu]]") {
        "the engine has no GPU runtime: install the NVIDIA container toolkit, \
         or use `--instance-type local`"
    } else if reason.contains("bind source path does not exist") {
        "the engine does not see this machine's folders (is it on another machine?): \
         use data in S3, or `local-process`"
    } else if reason.contains("executable file not found")
        || reason.contains("no command specified")
    {
        "the image has no program that takes `train`: \
         expected an ENTRYPOINT as `trainyard build` makes it"
    } else if reason.contains("no space left") {
        "free space on the engine's disk: `docker system df` shows what uses it"
    } else {
        "`docker info` and `docker system df` show the state of the engine"
    })
}
