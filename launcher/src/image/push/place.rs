use oci_client::client::ClientProtocol;

use crate::failure::{Failure, Result};

/// A repository in a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// With its port, if it has one.
    pub(crate) host: String,
    pub(crate) repository: String,
    plain_http: bool,
    /// ECR makes no repository by itself, and has a command for it.
    pub(crate) is_ecr: bool,
}

impl Place {
    /// `[https://]host[:port][/repository]`; without a repository, `default`. A registry on this machine speaks HTTP.
    pub(crate) fn parse(text: &str, default: &str) -> Result<Self> {
        let expected = "expected `host[:port]/repository`, as in `registry.example.com/team/svm`";
        if text.contains('@') {
            // Not shown: it may hold a password.
            return Err(Failure::usage("the registry has an `@`").help(
                "credentials go into TRAINYARD_REGISTRY_USER and TRAINYARD_REGISTRY_PASSWORD",
            ));
        }
        let wrong = |found: &str| {
            Failure::usage(format!("registry `{}`: {found}", contract::shown(text))).help(expected)
        };
        let (scheme, rest) = match text.split_once("://") {
            Some((scheme @ ("http" | "https"), rest)) => (Some(scheme), rest),
            Some(_) => return Err(wrong("only `https://` and `http://` are known")),
            None => (None, text),
        };
        let rest = rest.trim_end_matches('/');
        let (host, repository) = rest.split_once('/').unwrap_or((rest, default));
        let host_byte = |byte: u8| {
            byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b':' | b'[' | b']')
        };
        if host.is_empty() || !host.bytes().all(host_byte) {
            return Err(wrong("this is no host"));
        }
        if !is_repository(repository) {
            return Err(wrong(
                "a repository has lower-case letters, digits and single `._-/`",
            ));
        }
        Ok(Self {
            host: host.to_owned(),
            repository: repository.to_owned(),
            plain_http: scheme.map_or_else(|| is_here(host), |scheme| scheme == "http"),
            is_ecr: host.contains(".dkr.ecr.") && host.contains(".amazonaws.com"),
        })
    }

    /// The same place, known to be ECR's by whoever asks.
    pub(super) fn of_ecr(mut self) -> Self {
        self.is_ecr = true;
        self
    }

    /// `host/repository`
    pub(crate) fn name(&self) -> String {
        format!("{}/{}", self.host, self.repository)
    }

    pub(super) fn scheme(&self) -> &'static str {
        if self.plain_http { "http" } else { "https" }
    }

    pub(super) fn protocol(&self) -> ClientProtocol {
        if self.plain_http {
            ClientProtocol::Http
        } else {
            ClientProtocol::Https
        }
    }
}

/// Docker's rule for names: components of `a-z0-9` with separators inside.
fn is_repository(name: &str) -> bool {
    name.len() <= 255
        && name.split('/').all(|part| {
            let end = |byte: Option<u8>| {
                byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
            };
            let inside = |byte: u8| {
                byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte)
            };
            end(part.bytes().next()) && end(part.bytes().last()) && part.bytes().all(inside)
        })
}

/// Whether the host is this machine, where nobody listens in.
fn is_here(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    matches!(name, "localhost" | "127.0.0.1" | "[::1]")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places() {
        for (text, host, repository, plain_http) in [
            ("127.0.0.1:5000", "127.0.0.1:5000", "trainyard/svm", true),
            ("localhost/a", "localhost", "a", true),
            ("[::1]:5000/a/b", "[::1]:5000", "a/b", true),
            ("ghcr.io/team/svm", "ghcr.io", "team/svm", false),
            (
                "https://127.0.0.1:5000/",
                "127.0.0.1:5000",
                "trainyard/svm",
                false,
            ),
            ("http://registry:5000/x", "registry:5000", "x", true),
            (
                "localhost.example.com/x",
                "localhost.example.com",
                "x",
                false,
            ),
        ] {
            let place = Place::parse(text, "trainyard/svm").expect(text);
            let found = (
                place.host.as_str(),
                place.repository.as_str(),
                place.plain_http,
            );
            assert_eq!(found, (host, repository, plain_http), "{text}");
        }
        for bad in [
            "",
            "/a",
            "ftp://x/y",
            "x/UPPER",
            "x/a//b",
            "x/-a",
            "x y/a",
            "x/a:tag",
        ] {
            assert!(Place::parse(bad, "trainyard/svm").is_err(), "{bad}");
        }
    }

    #[test]
    fn a_password_is_not_shown() {
        let failure = Place::parse("https://me:secret@host/x", "y").expect_err("an @");
        assert!(!failure.to_string().contains("secret"), "{failure}");
    }
}
