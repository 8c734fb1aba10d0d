//! The local Docker engine: where it listens, and what to do when it does not.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bollard::Docker;
use bollard::errors::Error;

use crate::failure::{Failure, Result, chain};

/// An engine that has not answered by then hangs: a ping takes it a millisecond.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where Docker's own packages put the socket.
const SYSTEM: &str = "/var/run/docker.sock";

const START: &str =
    "start it (`sudo systemctl start docker`), or set DOCKER_HOST if it listens elsewhere";

/// The engine of DOCKER_HOST, else the one behind the usual socket; it has answered a ping.
pub(crate) async fn connect() -> Result<Docker> {
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let host = match set("DOCKER_HOST") {
        Some(host) => host,
        None => format!(
            "unix://{}",
            socket(Path::new(SYSTEM), set("XDG_RUNTIME_DIR"))?.display()
        ),
    };
    // The password of `tcp://user:password@host` is nobody's business.
    let shown = match host.rsplit_once('@') {
        Some((_, rest)) => rest.to_owned(),
        None => host.clone(),
    };
    let engine = Docker::connect_with_host(&host).map_err(|error| no_engine(&shown, &error))?;
    match tokio::time::timeout(PATIENCE, engine.ping()).await {
        Err(_) => Err(Failure::new(format!(
            "the Docker engine at `{shown}` does not answer, {} s after the question",
            PATIENCE.as_secs()
        ))
        .help("`docker info` should answer; restart the engine if it does not")),
        Ok(Err(error)) => Err(no_engine(&shown, &error)),
        // An older engine than this client is asked in its own version of the API.
        Ok(Ok(_)) => engine
            .negotiate_version()
            .await
            .map_err(|error| no_engine(&shown, &error)),
    }
}

/// The system's socket, else the user's own of a rootless engine.
fn socket(system: &Path, runtime_dir: Option<String>) -> Result<PathBuf> {
    let rootless = runtime_dir.map(|folder| Path::new(&folder).join("docker.sock"));
    let found = [Some(system.to_owned()), rootless.clone()]
        .into_iter()
        .flatten()
        .find(|path| path.exists());
    found.ok_or_else(|| {
        let also = rootless.map_or_else(String::new, |path| {
            format!(", and none at `{}`", path.display())
        });
        Failure::new(format!(
            "no Docker engine: there is no socket at `{}`{also}",
            system.display()
        ))
        .help(START)
    })
}

fn no_engine(host: &str, error: &Error) -> Failure {
    let reason = match error {
        Error::UnsupportedURISchemeError { .. } => {
            return Failure::usage(format!("DOCKER_HOST is `{host}`"))
                .help("expected `unix:///path/to/docker.sock` or `tcp://host:port`");
        }
        Error::SocketNotFoundError(path) => format!("there is no socket at `{path}`"),
        other => chain(other),
    };
    let denied = reason.to_lowercase().contains("permission denied");
    Failure::new(format!(
        "cannot talk to the Docker engine at `{host}`: {reason}"
    ))
    .help(if denied {
        "add yourself to its group (`sudo usermod -aG docker $USER`) and log in again"
    } else {
        START
    })
}

/// What an engine's refusal says, for a failure's message.
pub(crate) fn reason(error: &Error) -> String {
    match error {
        Error::DockerResponseServerError { message, .. } => message.trim().to_owned(),
        other => chain(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rootless_socket_is_found_where_there_is_no_other() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let runtime_dir = folder.path().to_str().map(str::to_owned);
        let system = folder.path().join("system.sock");
        let none = socket(&system, runtime_dir.clone()).expect_err("there is no socket");
        assert!(none.to_string().contains("and none at"), "{none}");
        let rootless = folder.path().join("docker.sock");
        std::fs::write(&rootless, "").expect("it can be written");
        assert_eq!(socket(&system, runtime_dir.clone()).expect("one"), rootless);
        std::fs::write(&system, "").expect("it can be written");
        assert_eq!(socket(&system, runtime_dir).expect("two"), system);
    }
}
