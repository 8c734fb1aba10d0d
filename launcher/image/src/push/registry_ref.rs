use oci_client::client::ClientProtocol;

use diagnostics::{Error, Result};

/// A repository in a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistryRef {
    /// Host, with port if given.
    pub host: String,
    /// Name of the repository.
    pub repository: String,
    plain_http: bool,
    /// True if ECR returned this registry: the account's own.
    pub(crate) is_own_ecr: bool,
}

/// Account and region of an ECR host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EcrHost {
    /// Account ID.
    pub account: String,
    /// AWS region.
    pub region: String,
}

impl EcrHost {
    /// Parses `ACCOUNT.dkr.ecr.REGION.amazonaws.com`, with `-fips` and China's `.cn`, or
    /// `ACCOUNT.dkr-ecr.REGION.on.aws`.
    fn parse(host: &str) -> Option<Self> {
        let (account, rest) = host.split_once('.')?;
        let rest = ["dkr.ecr.", "dkr.ecr-fips.", "dkr-ecr.", "dkr-ecr-fips."]
            .iter()
            .find_map(|start| rest.strip_prefix(start))?;
        let (region, domain) = rest.split_once('.')?;
        let domains = [
            "amazonaws.com",
            "amazonaws.com.cn",
            "on.aws",
            "on.amazonwebservices.com.cn",
        ];
        let is_valid = account.len() == 12
            && account.bytes().all(|byte| byte.is_ascii_digit())
            && !region.is_empty()
            && domains.contains(&domain);
        is_valid.then(|| Self {
            account: account.to_owned(),
            region: region.to_owned(),
        })
    }
}

impl RegistryRef {
    /// Parses `[https://]host[:port][/repository]`; without a repository, `default`. The default
    /// protocol is HTTP for a registry on this machine, else HTTPS.
    pub fn parse(text: &str, default: &str) -> Result<Self> {
        let expected = "expected `host[:port]/repository`, as in `registry.example.com/team/svm`";
        if text.contains('@') {
            // Not printed: it may have a password.
            return Err(Error::usage("the registry has an `@`").help(
                "credentials go into TRAINYARD_REGISTRY_USER and TRAINYARD_REGISTRY_PASSWORD",
            ));
        }
        let wrong = |found: &str| {
            Error::usage(format!(
                "registry `{}`: {found}",
                diagnostics::sanitize(text)
            ))
            .help(expected)
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
            return Err(wrong("the host is not valid"));
        }
        if !is_repository(repository) {
            return Err(wrong(
                "a repository has lower-case letters, digits and single `._-/`",
            ));
        }
        Ok(Self {
            host: host.to_owned(),
            repository: repository.to_owned(),
            plain_http: scheme.map_or_else(|| is_loopback(host), |scheme| scheme == "http"),
            is_own_ecr: false,
        })
    }

    /// Marks the registry as the account's own ECR.
    pub fn into_own_ecr(mut self) -> Self {
        self.is_own_ecr = true;
        self
    }

    /// Returns account and region of an ECR host.
    pub fn ecr_host(&self) -> Option<EcrHost> {
        EcrHost::parse(&self.host)
    }

    /// Returns `host/repository`.
    pub fn name(&self) -> String {
        format!("{}/{}", self.host, self.repository)
    }

    pub(crate) fn scheme(&self) -> &'static str {
        if self.plain_http { "http" } else { "https" }
    }

    pub(crate) fn protocol(&self) -> ClientProtocol {
        if self.plain_http {
            ClientProtocol::Http
        } else {
            ClientProtocol::Https
        }
    }
}

/// True for names that Docker accepts: components of `a-z0-9` with separators inside.
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

/// True if the host is this machine, so that HTTP is safe.
fn is_loopback(host: &str) -> bool {
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
    fn parses_registry_refs() {
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
            let registry_ref = RegistryRef::parse(text, "trainyard/svm").expect(text);
            let found = (
                registry_ref.host.as_str(),
                registry_ref.repository.as_str(),
                registry_ref.plain_http,
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
            assert!(RegistryRef::parse(bad, "trainyard/svm").is_err(), "{bad}");
        }
    }

    #[test]
    fn parses_ecr_hosts() {
        for (host, region) in [
            ("210987654321.dkr.ecr.eu-west-1.amazonaws.com", "eu-west-1"),
            (
                "210987654321.dkr.ecr-fips.us-gov-west-1.amazonaws.com",
                "us-gov-west-1",
            ),
            (
                "210987654321.dkr.ecr.cn-north-1.amazonaws.com.cn",
                "cn-north-1",
            ),
            ("210987654321.dkr-ecr.eu-west-1.on.aws", "eu-west-1"),
        ] {
            let found = RegistryRef::parse(host, "x").expect(host).ecr_host();
            let found = found.expect(host);
            assert_eq!(
                (found.account.as_str(), found.region.as_str()),
                ("210987654321", region)
            );
        }
        for host in [
            "210987654321.dkr.ecr.eu-west-1.amazonaws.com.example.org",
            "210987654321.dkr.ecr.eu-west-1.amazonaws.com:5000",
            "1.dkr.ecr.eu-west-1.amazonaws.com",
            "ghcr.io",
        ] {
            assert_eq!(
                RegistryRef::parse(host, "x").expect(host).ecr_host(),
                None,
                "{host}"
            );
        }
    }

    #[test]
    fn password_is_not_printed() {
        let error = RegistryRef::parse("https://me:secret@host/x", "y").expect_err("an @");
        assert!(!error.to_string().contains("secret"), "{error}");
    }
}
