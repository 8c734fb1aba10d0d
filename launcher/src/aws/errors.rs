//! AWS's errors in words, with the way out.

use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};

use crate::failure::{Failure, chain};

/// What went wrong when `what` was tried, such as "cannot list `s3://bucket/`".
pub(crate) fn explain<E, R>(what: &str, error: SdkError<E, R>) -> Failure
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
    R: std::fmt::Debug + 'static,
{
    let Some(service) = error.as_service_error() else {
        return Failure::new(format!("{what}: {}", chain(&error)))
            .help("check the network, `--endpoint-url` and `--profile`, then try again");
    };
    let code = service.code().unwrap_or("unknown error");
    let message = service.message().unwrap_or("no message");
    let failure = Failure::new(format!("{what}: {code}: {}", contract::shown(message)));
    match code {
        "ExpiredToken" | "ExpiredTokenException" | "RequestExpired" => {
            failure.help("renew the credentials, such as with `aws sso login`, then try again")
        }
        "AccessDenied" | "AccessDeniedException" | "Forbidden" => failure.help(
            "the credentials lack a permission; `trainyard infra` prints the policy that is needed",
        ),
        "InvalidAccessKeyId" | "SignatureDoesNotMatch" | "InvalidClientTokenId" => {
            failure.help("check the credentials: `aws sts get-caller-identity`")
        }
        "NoSuchBucket" => failure.help("list the buckets: `aws s3 ls`"),
        _ => failure,
    }
}
