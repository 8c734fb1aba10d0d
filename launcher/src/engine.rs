//! The local Docker engine.

mod load;

use std::path::{Path, PathBuf};
use std::time::Duration;

use bollard::Docker;
use bollard::errors::Error as DockerError;
use serde_json::Value;

use diagnostics::{Error, Result, chain};

pub(crate) use load::load;

/// Timeout of a ping, which usually takes a millisecond.
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// Socket of Docker's packages.
const SYSTEM_SOCKET: &str = "/var/run/docker.sock";

/// Timeout of a request. The client's default of two minutes is too short for an image of
/// gigabytes.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(3600);

const START_HELP: &str =
    "start it (`sudo systemctl start docker`), or set DOCKER_HOST if it listens elsewhere";

/// Connects to the engine that `docker` uses, and pings it.
pub(crate) async fn connect() -> Result<Docker> {
    let host = host(|name| std::env::var(name).ok())?;
    // Hides the password of `tcp://user:password@host`.
    let shown = match host.rsplit_once('@') {
        Some((_, rest)) => rest.to_owned(),
        None => host.clone(),
    };
    let engine = Docker::connect_with_host(&host).map_err(|error| no_engine(&shown, &error))?;
    let mut engine = match tokio::time::timeout(PING_TIMEOUT, engine.ping()).await {
        Err(_) => {
            return Err(Error::new(format!(
                "the Docker engine at `{shown}` did not respond within {} s",
                PING_TIMEOUT.as_secs()
            ))
            .help("run `docker info`; restart the engine if it fails"));
        }
        Ok(Err(error)) => return Err(no_engine(&shown, &error)),
        // Use the API version of an older engine.
        Ok(Ok(_)) => engine
            .negotiate_version()
            .await
            .map_err(|error| no_engine(&shown, &error))?,
    };
    engine.set_timeout(REQUEST_TIMEOUT);
    Ok(engine)
}

/// Returns DOCKER_HOST, else the current context's endpoint, else the default socket. `variable`
/// reads the environment.
fn host(variable: impl Fn(&str) -> Option<String>) -> Result<String> {
    let set = |name: &str| variable(name).filter(|value| !value.is_empty());
    if let Some(host) = set("DOCKER_HOST") {
        return Ok(host);
    }
    let folder = set("DOCKER_CONFIG").map(PathBuf::from);
    let folder = folder.or_else(|| Some(Path::new(&set("HOME")?).join(".docker")));
    if let Some(folder) = folder
        && let Some(name) = set("DOCKER_CONTEXT").or_else(|| current_context(&folder))
        && name != "default"
    {
        return endpoint(&folder, &name);
    }
    let socket = socket(Path::new(SYSTEM_SOCKET), set("XDG_RUNTIME_DIR"))?;
    Ok(format!("unix://{}", socket.display()))
}

/// Returns the current context of `docker`. A file that cannot be parsed is ignored.
fn current_context(folder: &Path) -> Option<String> {
    let text = std::fs::read(folder.join("config.json")).ok()?;
    let config: Value = serde_json::from_slice(&text).ok()?;
    let name = config.get("currentContext")?.as_str()?;
    (!name.is_empty()).then(|| name.to_owned())
}

/// Returns the endpoint of a context. The folder of a context is named by the digest of its name.
fn endpoint(folder: &Path, name: &str) -> Result<String> {
    let digest = diagnostics::sha256(name.as_bytes());
    let file = folder.join("contexts/meta").join(digest).join("meta.json");
    let wrong = |found: String| {
        Error::new(format!("Docker's context `{}`: {found}", diagnostics::sanitize(name)))
            .help("`docker context ls` lists the contexts, `docker context use default` selects the default")
    };
    let text = std::fs::read(&file)
        .map_err(|error| wrong(format!("cannot read `{}`: {error}", file.display())))?;
    let meta: Value = serde_json::from_slice(&text)
        .map_err(|error| wrong(format!("`{}`: {error}", file.display())))?;
    let host = meta
        .pointer("/Endpoints/docker/Host")
        .and_then(Value::as_str);
    host.filter(|host| !host.is_empty())
        .map(str::to_owned)
        .ok_or_else(|| wrong(format!("`{}` has no Docker host", file.display())))
}

/// Returns the system's socket, else that of a rootless engine.
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
        Error::new(format!(
            "no Docker engine: there is no socket at `{}`{also}",
            system.display()
        ))
        .help(START_HELP)
    })
}

fn no_engine(host: &str, error: &DockerError) -> Error {
    let reason = match error {
        DockerError::UnsupportedURISchemeError { .. } => {
            return Error::usage(format!("DOCKER_HOST or Docker's context has `{host}`"))
                .help("expected `unix:///path/to/docker.sock` or `tcp://host:port`");
        }
        DockerError::SocketNotFoundError(path) => format!("there is no socket at `{path}`"),
        other => chain(other),
    };
    let denied = reason.to_lowercase().contains("permission denied");
    Error::new(format!(
        "cannot talk to the Docker engine at `{host}`: {reason}"
    ))
    .help(if denied {
        "add yourself to its group (`sudo usermod -aG docker $USER`) and log in again"
    } else {
        START_HELP
    })
}

/// Returns the message of an engine's error.
pub(crate) fn reason(error: &DockerError) -> String {
    match error {
        DockerError::DockerResponseServerError { message, .. } => message.trim().to_owned(),
        other => chain(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn engine_selection_follows_docker() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let home = folder.path().to_str().expect("UTF-8").to_owned();
        let docker = folder.path().join(".docker");
        // `printf colima | sha256sum`
        let meta = docker
            .join("contexts/meta/f24fd3749c1368328e2b149bec149cb6795619f244c5b584e844961215dadd16");
        std::fs::create_dir_all(&meta).expect("a folder");
        let write =
            |path: PathBuf, text: &str| std::fs::write(path, text).expect("it can be written");
        write(
            meta.join("meta.json"),
            r#"{"Name": "colima", "Metadata": {}, "Endpoints": {"docker": {"Host": "unix:///c/docker.sock", "SkipTLSVerify": false}}}"#,
        );
        write(
            docker.join("config.json"),
            r#"{"currentContext": "colima"}"#,
        );
        let find = |variables: &[(&str, &str)]| {
            host(|name| {
                let home = [("HOME", home.as_str())];
                let mut all = variables.iter().chain(&home);
                all.find(|(key, _)| *key == name)
                    .map(|(_, value)| (*value).to_owned())
            })
        };
        assert_eq!(find(&[]).expect("one"), "unix:///c/docker.sock");
        let set = [("DOCKER_HOST", "tcp://host:1"), ("DOCKER_CONTEXT", "no")];
        assert_eq!(find(&set).expect("set"), "tcp://host:1");
        let unknown = find(&[("DOCKER_CONTEXT", "no")]).expect_err("there is none");
        assert!(
            unknown.to_string().contains("context `no`: cannot read"),
            "{unknown}"
        );
        let usual = find(&[("DOCKER_CONTEXT", "default")]);
        assert_ne!(usual.ok().as_deref(), Some("unix:///c/docker.sock"));
        write(docker.join("config.json"), "{}");
        assert_eq!(
            find(&[("DOCKER_CONTEXT", "colima")]).expect("one"),
            "unix:///c/docker.sock"
        );
        write(meta.join("meta.json"), "{}");
        assert!(find(&[("DOCKER_CONTEXT", "colima")]).is_err());
    }

    #[test]
    fn falls_back_to_rootless_socket() {
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
