use std::ffi::OsString;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use oci_client::secrets::RegistryAuth;
use serde_json::Value;

use diagnostics::{Error, Result};

/// User and password, in memory only. `Debug` is not implemented.
pub struct Credentials {
    pub(crate) auth: RegistryAuth,
    /// Their source, for messages.
    pub(crate) from: String,
}

const USER: &str = "TRAINYARD_REGISTRY_USER";
const PASSWORD: &str = "TRAINYARD_REGISTRY_PASSWORD";

impl Credentials {
    /// Creates credentials of a user; `from` is their source.
    pub fn new(user: &str, password: &str, from: String) -> Self {
        Self {
            auth: RegistryAuth::Basic(user.to_owned(), password.to_owned()),
            from,
        }
    }

    /// Finds credentials: the two variables, else what `docker login` stored, else none. `variable`
    /// reads the environment.
    pub fn find(host: &str, variable: impl Fn(&str) -> Option<OsString>) -> Result<Self> {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        let text = |name: &str| set(name).map(|value| value.to_string_lossy().into_owned());
        match (text(USER), text(PASSWORD)) {
            (Some(user), Some(password)) => {
                return Ok(Self::new(
                    &user,
                    &password,
                    format!("{USER} and {PASSWORD}"),
                ));
            }
            (None, None) => {}
            (user, _) => {
                let (there, missing) = match user {
                    Some(_) => (USER, PASSWORD),
                    None => (PASSWORD, USER),
                };
                return Err(
                    Error::usage(format!("{there} is set, {missing} is not")).help("set both")
                );
            }
        }
        let folder = set("DOCKER_CONFIG").map(PathBuf::from);
        let folder = folder.or_else(|| set("HOME").map(|home| Path::new(&home).join(".docker")));
        let file = folder.map(|folder| folder.join("config.json"));
        let Some(file) = file.filter(|file| file.is_file()) else {
            return Ok(Self::none());
        };
        let text = std::fs::read_to_string(&file).map_err(|error| {
            Error::new(format!("cannot read `{}`: {error}", file.display()))
                .help("make it readable, or set DOCKER_CONFIG to another folder")
        })?;
        // serde's message would quote the file, which has passwords.
        let config: Value = serde_json::from_str(&text).map_err(|_| {
            Error::usage(format!("`{}` is not valid JSON", file.display()))
                .help("remove it and run `docker login`, or set DOCKER_CONFIG to another folder")
        })?;
        Ok(from_docker(&config, host, &file).unwrap_or_else(Self::none))
    }

    fn none() -> Self {
        Self {
            auth: RegistryAuth::Anonymous,
            from: "none".to_owned(),
        }
    }

    /// True if the user set them for this command.
    pub fn are_explicit(&self) -> bool {
        self.from.starts_with(USER)
    }

    /// True if there are no credentials.
    pub fn is_anonymous(&self) -> bool {
        self.auth == RegistryAuth::Anonymous
    }
}

/// Reads `auths`, whose keys are hosts, some as URLs.
fn from_docker(config: &Value, host: &str, file: &Path) -> Option<Credentials> {
    let auths = config.get("auths")?.as_object()?;
    let (_, entry) = auths.iter().find(|(key, _)| {
        let key = key.split_once("://").map_or(key.as_str(), |(_, rest)| rest);
        key.split('/').next() == Some(host)
    })?;
    let encoded = entry.get("auth")?.as_str()?;
    let decoded = BASE64_STANDARD.decode(encoded).ok()?;
    let pair = String::from_utf8(decoded).ok()?;
    let (user, password) = pair.split_once(':')?;
    Some(Credentials::new(
        user,
        password,
        format!("`{}`", file.display()),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn basic(user: &str, password: &str) -> RegistryAuth {
        RegistryAuth::Basic(user.to_owned(), password.to_owned())
    }

    fn find(host: &str, variables: &[(&str, &str)]) -> Result<Credentials> {
        Credentials::find(host, |name| {
            let found = variables.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| value.into())
        })
    }

    #[test]
    fn variables_override_docker_login() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let text = r#"{"auths": {"a.example:5000": {"auth": "bWU6YTpi"}, "https://b.example/v2/": {"auth": "eDp5"}, "c.example": {}}}"#;
        std::fs::write(folder.path().join("config.json"), text).expect("it can be written");
        let docker = ("DOCKER_CONFIG", folder.path().to_str().expect("UTF-8"));
        let found = |host, more: &[(&str, &str)]| {
            let variables = [&[docker], more].concat();
            find(host, &variables).expect("valid").auth
        };
        // A password may have a colon.
        assert_eq!(found("a.example:5000", &[]), basic("me", "a:b"));
        assert_eq!(found("b.example", &[]), basic("x", "y"));
        for other in ["a.example", "c.example", "example"] {
            assert_eq!(found(other, &[]), RegistryAuth::Anonymous, "{other}");
        }
        let own = [(USER, "u"), (PASSWORD, "p")];
        assert_eq!(found("a.example:5000", &own), basic("u", "p"));
    }

    #[test]
    fn user_without_password_is_refused() {
        assert!(find("x", &[(USER, "u")]).is_err());
        assert!(find("x", &[(PASSWORD, "p")]).is_err());
        assert!(find("x", &[(USER, ""), (PASSWORD, "")]).is_ok());
    }

    #[test]
    fn broken_config_is_not_printed() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        std::fs::write(folder.path().join("config.json"), "secret").expect("it can be written");
        let error = match find(
            "x",
            &[("DOCKER_CONFIG", folder.path().to_str().expect("UTF-8"))],
        ) {
            Err(error) => error.to_string(),
            Ok(_) => panic!("it is not JSON"),
        };
        assert!(!error.contains("secret"), "{error}");
    }
}
