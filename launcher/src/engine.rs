//! The local Docker engine.

mod load;

use std::path::{Path, PathBuf};
use std::time::Duration;

use bollard::errors::Error as DockerError;
use bollard::{API_DEFAULT_VERSION, Docker};
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

/// Address of an engine.
#[derive(Debug, PartialEq, Eq)]
struct Endpoint {
    host: String,
    /// Folder with `ca.pem`, `cert.pem` and `key.pem`, for TLS.
    certificates: Option<PathBuf>,
}

/// Connects to the engine that `docker` uses, and pings it.
pub(crate) async fn connect() -> Result<Docker> {
    let endpoint = endpoint(|name| std::env::var(name).ok())?;
    // Hides the password of `tcp://user:password@host`.
    let shown = match endpoint.host.rsplit_once('@') {
        Some((_, rest)) => rest.to_owned(),
        None => endpoint.host.clone(),
    };
    let engine = open(&endpoint).map_err(|error| no_engine(&shown, &error))?;
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

fn open(endpoint: &Endpoint) -> Result<Docker, DockerError> {
    let (host, timeout) = (&endpoint.host, PING_TIMEOUT.as_secs());
    let Some(folder) = &endpoint.certificates else {
        return match host.strip_prefix("tcp://").or(host.strip_prefix("http://")) {
            // Not `connect_with_host`, which reads DOCKER_TLS_VERIFY even if it is empty.
            Some(_) => Docker::connect_with_http(host, timeout, API_DEFAULT_VERSION),
            None => Docker::connect_with_host(host),
        };
    };
    // An error means that a provider is installed.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let [key, cert, ca] = ["key.pem", "cert.pem", "ca.pem"].map(|name| folder.join(name));
    Docker::connect_with_ssl(host, &key, &cert, &ca, timeout, API_DEFAULT_VERSION)
}

/// Returns DOCKER_HOST, else the current context's endpoint, else the default socket. `variable`
/// reads the environment.
fn endpoint(variable: impl Fn(&str) -> Option<String>) -> Result<Endpoint> {
    let set = |name: &str| variable(name).filter(|value| !value.is_empty());
    let folder = set("DOCKER_CONFIG").map(PathBuf::from);
    let folder = folder.or_else(|| Some(Path::new(&set("HOME")?).join(".docker")));
    if let Some(host) = set("DOCKER_HOST") {
        let tls = set("DOCKER_TLS_VERIFY").is_some() || host.starts_with("https://");
        if !tls && set("DOCKER_TLS").is_some() {
            return Err(Error::usage(
                "DOCKER_TLS is set without DOCKER_TLS_VERIFY: the engine would not be verified",
            )
            .help("set DOCKER_TLS_VERIFY=1, and DOCKER_CERT_PATH to the folder with ca.pem, cert.pem and key.pem"));
        }
        let own = set("DOCKER_CERT_PATH").map(PathBuf::from).or(folder);
        return checked(host, tls.then(|| own.unwrap_or_default()));
    }
    if let Some(folder) = folder
        && let Some(name) = set("DOCKER_CONTEXT").or_else(|| current_context(&folder))
        && name != "default"
    {
        return context_endpoint(&folder, &name);
    }
    let socket = socket(Path::new(SYSTEM_SOCKET), set("XDG_RUNTIME_DIR"))?;
    checked(format!("unix://{}", socket.display()), None)
}

/// Adds Docker's port to a TCP address without one. Refuses other protocols, and missing
/// certificates.
fn checked(host: String, certificates: Option<PathBuf>) -> Result<Endpoint> {
    let certificates = certificates.filter(|_| !host.starts_with("unix://"));
    if let Some(address) = host.strip_prefix("ssh://") {
        let address = diagnostics::sanitize(address.trim_end_matches('/')).into_owned();
        return Err(Error::usage(format!(
            "the Docker engine is at `ssh://{address}`, and connections through ssh are not supported"
        ))
        .help(format!(
            "forward its socket: `ssh -nNT -L /tmp/docker.sock:{SYSTEM_SOCKET} {address} &`, then set DOCKER_HOST=unix:///tmp/docker.sock"
        )));
    }
    if let Some(folder) = &certificates
        && !folder.join("ca.pem").is_file()
    {
        return Err(Error::usage(format!(
            "the Docker engine at `{}` uses TLS, and there is no file `{}`",
            diagnostics::sanitize(&host),
            diagnostics::sanitize(&folder.join("ca.pem").to_string_lossy())
        ))
        .help("set DOCKER_CERT_PATH to the folder with ca.pem, cert.pem and key.pem"));
    }
    let port = certificates.as_ref().map_or(2375, |_| 2376);
    let host = match host
        .strip_prefix("tcp://")
        .map(|rest| rest.trim_end_matches('/'))
    {
        Some(rest) if rest.ends_with(']') || !rest.contains(':') => format!("tcp://{rest}:{port}"),
        Some(rest) => format!("tcp://{rest}"),
        None => host,
    };
    Ok(Endpoint { host, certificates })
}

/// Returns the current context of `docker`. A file that cannot be parsed is ignored.
fn current_context(folder: &Path) -> Option<String> {
    let text = std::fs::read(folder.join("config.json")).ok()?;
    let config: Value = serde_json::from_slice(&text).ok()?;
    let name = config.get("currentContext")?.as_str()?;
    (!name.is_empty()).then(|| name.to_owned())
}

/// Returns the endpoint of a context. The folders of a context are named by the digest of its name.
fn context_endpoint(folder: &Path, name: &str) -> Result<Endpoint> {
    let digest = diagnostics::sha256(name.as_bytes());
    let file = folder.join("contexts/meta").join(&digest).join("meta.json");
    let wrong = |found: String| {
        Error::new(format!("Docker's context `{}`: {found}", diagnostics::sanitize(name)))
            .help("`docker context ls` lists the contexts, `docker context use default` selects the default")
    };
    let text = std::fs::read(&file)
        .map_err(|error| wrong(format!("cannot read `{}`: {error}", file.display())))?;
    let meta: Value = serde_json::from_slice(&text)
        .map_err(|error| wrong(format!("`{}`: {error}", file.display())))?;
    let docker = meta.pointer("/Endpoints/docker");
    let host = docker.and_then(|docker| docker.get("Host")?.as_str());
    let host = host.filter(|host| !host.is_empty());
    let host = host.ok_or_else(|| wrong(format!("`{}` has no Docker host", file.display())))?;
    let certificates = folder.join("contexts/tls").join(digest).join("docker");
    let tls = certificates.is_dir() || host.starts_with("https://");
    let unverified = docker.and_then(|docker| docker.get("SkipTLSVerify")?.as_bool());
    if tls && unverified == Some(true) {
        return Err(wrong("it skips the verification of the engine".to_owned())
            .help("create it again without `skip-tls-verify`"));
    }
    checked(host.to_owned(), Some(certificates).filter(|_| tls))
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
            return Error::usage(format!("DOCKER_HOST or Docker's context has `{host}`")).help(
                "expected `unix:///path/to/docker.sock`, `tcp://host:port` or `https://host:port`",
            );
        }
        DockerError::SocketNotFoundError(path) => format!("there is no socket at `{path}`"),
        other => chain(other),
    };
    let denied = reason.to_lowercase().contains("permission denied");
    Error::new(format!(
        "cannot talk to the Docker engine at `{host}`: {reason}"
    ))
    .help(match host.starts_with("unix://") {
        _ if denied => "add yourself to its group (`sudo usermod -aG docker $USER`) and log in again",
        true => START_HELP,
        false => "check host and port; if the engine uses TLS, set DOCKER_TLS_VERIFY=1 and DOCKER_CERT_PATH",
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
            endpoint(|name| {
                let home = [("HOME", home.as_str())];
                let mut all = variables.iter().chain(&home);
                all.find(|(key, _)| *key == name)
                    .map(|(_, value)| (*value).to_owned())
            })
        };
        let host = |variables: &[(&str, &str)]| find(variables).map(|found| found.host);
        assert_eq!(host(&[]).expect("one"), "unix:///c/docker.sock");
        let set = [("DOCKER_HOST", "tcp://host:1"), ("DOCKER_CONTEXT", "no")];
        assert_eq!(host(&set).expect("set"), "tcp://host:1");
        let unknown = find(&[("DOCKER_CONTEXT", "no")]).expect_err("there is none");
        assert!(
            unknown.to_string().contains("context `no`: cannot read"),
            "{unknown}"
        );
        let usual = host(&[("DOCKER_CONTEXT", "default")]);
        assert_ne!(usual.ok().as_deref(), Some("unix:///c/docker.sock"));
        write(docker.join("config.json"), "{}");
        assert_eq!(
            host(&[("DOCKER_CONTEXT", "colima")]).expect("one"),
            "unix:///c/docker.sock"
        );
        write(meta.join("meta.json"), "{}");
        assert!(find(&[("DOCKER_CONTEXT", "colima")]).is_err());
    }

    #[test]
    fn tls_follows_docker() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().to_str().expect("UTF-8").to_owned();
        let find = |variables: &[(&str, &str)]| {
            endpoint(|name| {
                let found = variables.iter().find(|(key, _)| *key == name);
                found.map(|(_, value)| (*value).to_owned())
            })
        };
        let host = ("DOCKER_HOST", "tcp://host");
        let verify = ("DOCKER_TLS_VERIFY", "1");
        let certificates = ("DOCKER_CERT_PATH", path.as_str());
        let plain = find(&[host, certificates, ("DOCKER_TLS_VERIFY", "")]).expect("valid");
        assert_eq!(
            (plain.host.as_str(), plain.certificates),
            ("tcp://host:2375", None)
        );
        let missing = find(&[host, verify, certificates]).expect_err("no certificates");
        assert!(missing.to_string().contains("ca.pem"), "{missing}");
        std::fs::write(folder.path().join("ca.pem"), "").expect("it can be written");
        let secure = find(&[host, verify, certificates]).expect("valid");
        let expected = Endpoint {
            host: "tcp://host:2376".to_owned(),
            certificates: Some(folder.path().to_owned()),
        };
        assert_eq!(secure, expected);
        assert!(find(&[host, ("DOCKER_TLS", "1")]).is_err());
        let ssh = find(&[("DOCKER_HOST", "ssh://me@host")]).expect_err("not supported");
        assert!(ssh.to_string().contains("ssh -nNT -L"), "{ssh}");
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
