//! Error messages for AWS error codes, each with the next command to run.

use std::error::Error as StdError;

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use diagnostics::{Error, chain, sanitize};

use super::connector::is_network;
use crate::output::quoted;
use transport::retry::is_throttling;

const DOCTOR: &str = "`trainyard doctor` checks credentials, region and permissions";

/// Converts the error of a request; `what` is the start of the message, such as
/// ``cannot describe the job `svm-1` ``.
pub(crate) fn explain<E>(what: &str, error: SdkError<E, HttpResponse>) -> Error
where
    E: ProvideErrorMetadata + StdError + 'static,
{
    match &error {
        SdkError::ServiceError(context) => {
            let status = context.raw().status().as_u16();
            service_error(what, context.err(), status)
        }
        SdkError::TimeoutError(_) => Error::new(format!("{what}: no response in time"))
            .help("check the network and `--endpoint-url`, then try again"),
        SdkError::ResponseError(context) => {
            let status = context.raw().status().as_u16();
            let text = chain(&error);
            invalid_response(what, status, &text)
        }
        SdkError::DispatchFailure(failure) => {
            // Leaves out the text `dispatch failure: other` of the SDK.
            let connector = failure.as_connector_error();
            let cause = connector.and_then(StdError::source);
            let text = cause.map_or_else(|| chain(&error), chain);
            if connector.is_some_and(is_network) {
                return unreachable(what, &text);
            }
            unsent(what, &text)
        }
        _ => unsent(what, &chain(&error)),
    }
}

/// Error for an error response of AWS.
fn service_error<E: ProvideErrorMetadata>(what: &str, error: &E, status: u16) -> Error {
    let code = error.code().unwrap_or_default();
    let message = sanitize(error.message().unwrap_or_default()).to_string();
    let message = message.as_str();
    let skewed = message.starts_with("Signature expired") || message.contains("not yet current");
    match code {
        "ExpiredToken" | "ExpiredTokenException" | "RequestExpired" | "TokenRefreshRequired" => {
            Error::new(format!("{what}: the credentials have expired"))
                .help("renew them: `aws sso login`, or new keys in AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, then try again")
                .help(DOCTOR)
        }
        "UnrecognizedClientException" | "InvalidClientTokenId" | "InvalidAccessKeyId" => {
            Error::new(format!("{what}: the access key is not valid in AWS"))
                .help("check `--profile`, AWS_PROFILE and AWS_ACCESS_KEY_ID")
                .help(DOCTOR)
        }
        "RequestTimeTooSkewed" => clock(what, message),
        "InvalidSignatureException" | "SignatureDoesNotMatch" if skewed => clock(what, message),
        "InvalidSignatureException" | "SignatureDoesNotMatch" | "IncompleteSignature" => {
            Error::new(format!("{what}: the secret key does not match the access key"))
                .help("check AWS_SECRET_ACCESS_KEY, or the profile in ~/.aws/credentials")
                .help(DOCTOR)
        }
        "AccessDenied" | "AccessDeniedException" | "UnauthorizedOperation" => denied(what, message),
        code if is_throttling(code) => {
            Error::new(format!("{what}: AWS throttles requests ({code})"))
                .help("wait a minute and try again")
        }
        "ResourceLimitExceeded" => Error::new(format!("{what}: {message}"))
            .help("pass another `--instance-type`, or request an increase in the AWS console under Service Quotas"),
        "ValidationException" | "ValidationError" | "InvalidParameterException" => {
            Error::new(format!("{what}: AWS rejects the request: {message}"))
                .help("`--dry-run` shows the exact request, in commands that have it")
        }
        "InvalidObjectState" => archived(what),
        "NoSuchBucket" => Error::new(format!("{what}: the bucket does not exist"))
            .help("check its name; `trainyard infra terraform --bucket BUCKET --account ACCOUNT --output DIR` writes Terraform that creates it"),
        "PermanentRedirect" | "AuthorizationHeaderMalformed" | "IllegalLocationConstraintException" => {
            Error::new(format!("{what}: the bucket is in another region: {message}"))
                .help("pass its region with `--region`")
        }
        _ => other(what, code, message, status),
    }
}

/// Error for other codes, and for HEAD responses of S3, which have neither code nor message.
fn other(what: &str, code: &str, message: &str, status: u16) -> Error {
    let detail = match (code, message) {
        ("", "") => format!("HTTP status {status}"),
        (code, "") => code.to_owned(),
        ("", message) => message.to_owned(),
        (code, message) => format!("{message} ({code})"),
    };
    match status {
        403 => denied(what, message),
        301 => Error::new(format!("{what}: the bucket is in another region"))
            .help("pass its region with `--region`"),
        404 => {
            Error::new(format!("{what}: not found: {detail}")).help("check the name and `--region`")
        }
        500.. => Error::new(format!("{what}: internal error of AWS: {detail}"))
            .help("try again in a minute; https://health.aws.amazon.com has the status of AWS"),
        _ => Error::new(format!("{what}: {detail}")).help(DOCTOR),
    }
}

fn clock(what: &str, message: &str) -> Error {
    Error::new(format!("{what}: this machine's clock is wrong: {message}"))
        .help("set it: `timedatectl set-ntp true`, then try again")
}

/// Error for an object in an archive class, with the command that restores it.
fn archived(what: &str) -> Error {
    let url = what.split('`').find_map(|part| part.strip_prefix("s3://"));
    let (bucket, key) = url
        .and_then(|url| url.split_once('/'))
        .unwrap_or(("BUCKET", "KEY"));
    Error::new(format!(
        "{what}: the object is archived (S3 Glacier) and must be restored first"
    ))
    .help(restore_help(bucket, key))
}

/// Returns the help with the command that restores an archived object.
pub(crate) fn restore_help(bucket: &str, key: &str) -> String {
    format!(
        "restore it, which takes minutes to hours: `aws s3api restore-object --bucket {bucket} --key {} --restore-request Days=7`",
        quoted(key)
    )
}

fn denied(what: &str, message: &str) -> Error {
    let action = after(message, "to perform: ");
    let resource = after(message, "on resource: ");
    let explicit = message.split_once("with an explicit deny in ");
    let detail = match (action, resource) {
        (Some(action), Some(resource)) => {
            format!("access denied: `{action}` on `{resource}` is not allowed")
        }
        (Some(action), None) => format!("access denied: `{action}` is not allowed"),
        (None, _) if message.is_empty() => "access denied".to_owned(),
        (None, _) => format!("access denied: {message}"),
    };
    if let (Some((_, policy)), Some(_)) = (explicit, action) {
        let policy = policy.trim_end_matches('.');
        let error = Error::new(format!("{what}: {detail}: an explicit deny in {policy}"));
        let error = error.help("an explicit deny takes precedence over all permissions: ask the administrator of that policy");
        return match action {
            Some("s3:PutObject") if policy.starts_with("a resource-based policy") => error.help(
                "the bucket's policy may demand server-side encryption, which trainyard does not request: `aws s3 cp --sse aws:kms` does",
            ),
            _ => error,
        };
    }
    Error::new(format!("{what}: {detail}"))
        .help("`trainyard infra policies` prints the policy that allows it; ask an administrator to attach it")
        .help(DOCTOR)
}

/// Returns the word after `prefix` in a message of AWS.
fn after<'a>(message: &'a str, prefix: &str) -> Option<&'a str> {
    let (_, rest) = message.split_once(prefix)?;
    rest.split_whitespace()
        .next()
        .map(|word| word.trim_matches(['.', ',', '"']))
        .filter(|word| !word.is_empty())
}

/// Error for a response that is not from AWS.
fn invalid_response(what: &str, status: u16, text: &str) -> Error {
    Error::new(format!(
        "{what}: the response cannot be read (HTTP status {status}): {}",
        sanitize(text)
    ))
    .help("check `--endpoint-url` and AWS_ENDPOINT_URL: the server may not be AWS")
}

/// Error for a failed or broken connection.
fn unreachable(what: &str, text: &str) -> Error {
    Error::new(format!("{what}: {}", sanitize(text)))
        .help(
            "check the network, its proxy (HTTPS_PROXY, NO_PROXY), `--region` and `--endpoint-url`",
        )
        .help(DOCTOR)
}

/// Error for a request that could not be built. The usual cause is missing credentials; their
/// errors have no public type.
fn unsent(what: &str, text: &str) -> Error {
    let lower = text.to_lowercase();
    let causes = ["credential", "identity", "no providers in chain", "profile"];
    // As a whole word: `associated` contains it too.
    let mut all = lower.split(|c: char| !c.is_alphanumeric());
    if causes.iter().any(|cause| lower.contains(cause)) || all.any(|word| word == "sso") {
        return no_credentials(what, text);
    }
    Error::new(format!("{what}: {}", sanitize(text)))
        .help("try again; if it persists, run `trainyard doctor`")
}

fn no_credentials(what: &str, text: &str) -> Error {
    // Leaves out the fields of a response of the metadata service.
    let text = text
        .split_once(". Response {")
        .map_or(text, |(error, _)| error);
    let expired = text.to_lowercase().contains("expired");
    if expired {
        return Error::new(format!("{what}: the login has expired: {}", sanitize(text)))
            .help("`aws sso login`, or keys in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, then try again");
    }
    // Leaves out the list of all sources without credentials.
    let none = [
        "not loaded",
        "no providers in chain",
        "did not load",
        "no credentials",
    ];
    let detail = if none
        .iter()
        .any(|phrase| text.to_lowercase().contains(phrase))
    {
        String::new()
    } else {
        format!(": {}", sanitize(text))
    };
    Error::new(format!("{what}: no AWS credentials{detail}"))
        .help("pass `--profile`, set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or put `aws_access_key_id` and `aws_secret_access_key` into ~/.aws/credentials; for single sign-on `aws sso login`")
        .help(DOCTOR)
}

#[cfg(test)]
mod tests {
    use aws_smithy_runtime_api::client::result::ConnectorError;

    use super::*;

    #[test]
    fn dns_error_is_not_reported_as_missing_credentials() {
        type Refused = SdkError<aws_smithy_types::error::ErrorMetadata, HttpResponse>;
        let connector = super::super::connector::tests::unresolved();
        let text = explain("cannot list", Refused::dispatch_failure(connector)).to_string();
        assert!(
            text.contains("No address associated with hostname")
                && text.contains("check the network")
                && !text.contains("credentials\n"),
            "{text}"
        );
        let none =
            "the credential provider was not enabled: no providers in chain provided credentials";
        let connector = ConnectorError::other(none.into(), None);
        let text = explain("cannot list", Refused::dispatch_failure(connector)).to_string();
        assert!(text.contains("no AWS credentials"), "{text}");
        let login = "the SSO session has expired";
        assert!(unsent("x", login).to_string().contains("login has expired"));
        let metadata = "an error occurred while loading credentials: error response from IMDS (code: 500). Response { status: StatusCode(500) }";
        let text = unsent("x", metadata).to_string();
        assert!(
            text.contains("IMDS (code: 500)") && !text.contains("StatusCode"),
            "{text}"
        );
    }

    #[test]
    fn access_denied_names_action_and_resource() {
        let message = "User: arn:aws:iam::1:user/ann is not authorized to perform: sagemaker:CreateTrainingJob on resource: arn:aws:sagemaker:eu-west-1:1:training-job/x because no identity-based policy allows it";
        let text = denied("cannot start", message).to_string();
        assert!(
            text.contains(
                "`sagemaker:CreateTrainingJob` on `arn:aws:sagemaker:eu-west-1:1:training-job/x`"
            ),
            "{text}"
        );
        assert!(text.contains("trainyard infra policies"), "{text}");
        let bucket = "User: arn:aws:iam::1:user/ann is not authorized to perform: s3:PutObject on resource: \"arn:aws:s3:::b/k\" with an explicit deny in a resource-based policy";
        let text = denied("cannot send", bucket).to_string();
        assert!(
            text.contains("`s3:PutObject` on `arn:aws:s3:::b/k` is not allowed: an explicit deny in a resource-based policy")
                && text.contains("--sse aws:kms")
                && !text.contains("infra policies"),
            "{text}"
        );
        assert!(
            denied("cannot read", "Forbidden")
                .to_string()
                .contains("access denied: Forbidden")
        );
    }
}
