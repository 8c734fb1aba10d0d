//! Explains errors of registries. URLs are omitted: an upload's URL works like a password.

use oci_client::errors::{OciDistributionError as RegistryError, OciErrorCode};
use serde_json::Value;

use super::{Credentials, RegistryRef};
use diagnostics::{Error, chain};
use transport::retry;

/// Long enough for a sentence, short enough for an HTML page.
const MAX_MESSAGE_CHARS: usize = 300;

/// Returns the HTTP status of an error.
pub(crate) fn status(error: &RegistryError) -> Option<u16> {
    match error {
        RegistryError::ServerError { code, .. } => Some(*code),
        RegistryError::UnauthorizedError { .. } | RegistryError::AuthenticationFailure(_) => {
            Some(401)
        }
        RegistryError::RequestError(error) => error.status().map(|status| status.as_u16()),
        RegistryError::RegistryError { envelope, .. } => {
            envelope.errors.first().map(|error| match error.code {
                OciErrorCode::Unauthorized => 401,
                OciErrorCode::Denied => 403,
                OciErrorCode::Toomanyrequests => 429,
                OciErrorCode::NameUnknown | OciErrorCode::NotFound => 404,
                _ => 400,
            })
        }
        _ => None,
    }
}

/// True if a retry may succeed.
pub(crate) fn is_transient(error: &RegistryError) -> bool {
    match (error, status(error)) {
        (_, Some(status)) => retry::is_transient_status(status),
        (RegistryError::RequestError(error), None) => !error.is_builder(),
        (RegistryError::IoError(_), None) => true,
        _ => false,
    }
}

/// Returns the reason, without URLs.
pub(crate) fn reason(error: RegistryError) -> String {
    let text = match error {
        RegistryError::ServerError { code, message, .. } => match registry_message(&message) {
            Some(text) => format!("{text} (HTTP {code})"),
            None => format!("HTTP {code}"),
        },
        RegistryError::RegistryError { envelope, .. } => envelope.to_string(),
        RegistryError::UnauthorizedError { .. } => "HTTP 401".to_owned(),
        RegistryError::RequestError(error) => match error.status() {
            Some(status) => format!("HTTP {}", status.as_u16()),
            None => chain(&error.without_url()),
        },
        other => chain(&other),
    };
    let short: String = text.chars().take(MAX_MESSAGE_CHARS).collect();
    diagnostics::sanitize(&short).into_owned()
}

/// Returns the first message of `{"errors": [{"code", "message"}]}`.
fn registry_message(body: &str) -> Option<String> {
    let body: Value = serde_json::from_str(body).ok()?;
    let error = body.get("errors")?.get(0)?;
    let text = |key: &str| error.get(key).and_then(Value::as_str).unwrap_or_default();
    Some(
        format!("{} {}", text("code"), text("message"))
            .trim()
            .to_owned(),
    )
}

/// Converts an error of a push. `what` goes after "cannot".
pub(crate) fn explain(
    what: &str,
    registry_ref: &RegistryRef,
    credentials: &Credentials,
    error: RegistryError,
) -> Error {
    let status = status(&error);
    let transient = is_transient(&error);
    let is_unreachable = matches!(&error, RegistryError::RequestError(error) if error.is_connect());
    let reason = reason(error);
    let (host, name) = (&registry_ref.host, registry_ref.name());
    if reason.contains("immutable") {
        return Error::new(format!(
            "`{name}`: cannot {what}: it refers to another image, and tags are immutable there"
        ))
        .help("commit your changes: the tag has the commit in it")
        .help("`--no-latest` leaves the tag `latest` alone");
    }
    let ecr_host = registry_ref.ecr_host();
    match status {
        Some(401) if credentials.is_anonymous() => {
            Error::new(format!("`{host}` requires credentials, and none are set")).help(format!(
                "set TRAINYARD_REGISTRY_USER and TRAINYARD_REGISTRY_PASSWORD, or `docker login {host}` without a credential store"
            ))
        }
        Some(401) => Error::new(format!("`{host}` refuses the credentials from {}", credentials.from))
            .help(if registry_ref.is_own_ecr || ecr_host.is_some() {
                "they are made for this push: check the clock of this machine, then `trainyard doctor`"
            } else {
                "check user and password"
            }),
        Some(403) => Error::new(format!("`{name}`: cannot {what}: {reason}"))
            .help("the credentials are valid, but may not push there"),
        Some(404) if registry_ref.is_own_ecr || ecr_host.is_some() => {
            let help = match ecr_host.filter(|_| !registry_ref.is_own_ecr) {
                Some(ecr) => format!(
                    "the account {} has to create it, in its ECR console of region `{}`: `{}`",
                    ecr.account, ecr.region, registry_ref.repository
                ),
                None => "`--create-repository` creates it".to_owned(),
            };
            Error::new(format!("`{name}`: cannot {what}: there is no such repository")).help(help)
        }
        // No response: wrong host or port, or the registry is down.
        None if transient && is_unreachable => {
            Error::new(format!("`{host}` cannot be reached: {reason}, after four tries")).help(format!(
                "is a registry running there, and is its name right? `curl -i {}://{host}/v2/` shows the response",
                registry_ref.scheme()
            ))
        }
        _ if transient => Error::new(format!("`{name}`: cannot {what}: {reason}, after four tries"))
            .help("push again: what was uploaded is not uploaded twice"),
        _ => Error::new(format!("`{name}`: cannot {what}: {reason}"))
            .help(format!("`curl -i {}://{host}/v2/` shows whether a registry answers", registry_ref.scheme())),
    }
}

/// Error for a tag that is not set although the registry did not refuse it.
pub(crate) fn not_set(what: &str, registry_ref: &RegistryRef) -> Error {
    let (host, name) = (&registry_ref.host, registry_ref.name());
    Error::new(format!(
        "`{name}`: cannot {what}: the registry does not have it afterwards"
    ))
    .help(format!(
        "a redirect may lead to another server: `curl -i {}://{host}/v2/` shows it; pass the registry's own address",
        registry_ref.scheme()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(code: u16, message: &str) -> RegistryError {
        let url = "https://host/v2/x/blobs/uploads/?_state=secret".to_owned();
        let message = message.to_owned();
        RegistryError::ServerError { code, url, message }
    }

    fn words(error: RegistryError) -> String {
        let registry_ref = RegistryRef::parse("1.dkr.ecr.eu-west-1.amazonaws.com", "trainyard/svm")
            .expect("valid")
            .into_own_ecr();
        let credentials = Credentials::new("AWS", "canary", "GetAuthorizationToken".to_owned());
        explain("upload", &registry_ref, &credentials, error).to_string()
    }

    #[test]
    fn errors_have_help() {
        let immutable = r#"{"errors":[{"code":"TAG_INVALID","message":"The image tag 'latest' already exists in the 'trainyard/svm' repository and cannot be overwritten because the repository is immutable."}]}"#;
        let unknown = r#"{"errors":[{"code":"NAME_UNKNOWN","message":"The repository with name 'trainyard/svm' does not exist"}]}"#;
        let all = [
            server(400, immutable),
            server(404, unknown),
            server(401, ""),
            server(
                403,
                r#"{"errors":[{"code":"DENIED","message":"User: me is not authorized"}]}"#,
            ),
            server(503, "<html>\u{1b}[31m busy</html>"),
            server(
                418,
                r#"{"errors":[{"code":"ODD","message":"a \u001b[31m line\n"}]}"#,
            ),
        ];
        let texts: Vec<String> = all.into_iter().map(words).collect();
        let text = texts.join("\n\n");
        assert!(
            !text.contains("secret") && !text.contains("canary"),
            "{text}"
        );
        insta::assert_snapshot!(text);
    }

    /// `--create-repository` conflicts with `--registry`.
    #[test]
    fn other_account_gets_no_create_repository_help() {
        let host = "210987654321.dkr.ecr.eu-west-1.amazonaws.com/team/svm";
        let registry_ref = RegistryRef::parse(host, "trainyard/svm").expect("valid");
        let credentials = Credentials::new("AWS", "canary", "GetAuthorizationToken".to_owned());
        let text = explain("upload", &registry_ref, &credentials, server(404, "")).to_string();
        assert!(!text.contains("--create-repository`"), "{text}");
        assert!(
            text.contains("account 210987654321 has to create it, in its ECR console of region `eu-west-1`: `team/svm`"),
            "{text}"
        );
    }

    #[test]
    fn transient_statuses() {
        for (code, expected) in [
            (500, true),
            (503, true),
            (429, true),
            (404, false),
            (401, false),
            (400, false),
        ] {
            assert_eq!(is_transient(&server(code, "")), expected, "{code}");
        }
    }
}
