//! Region, endpoint and credentials, which all AWS checks need.

use std::time::{SystemTime, UNIX_EPOCH};

use jiff::{SignedDuration, Timestamp};
use tokio::time::timeout;

use super::check::{CHECK_TIMEOUT, Check, with_timeout};
use crate::aws::{Aws, AwsArgs, CredentialSource};

/// AWS configuration and clients, as far as found.
#[derive(Debug)]
pub(crate) struct AwsSetup {
    /// Checks `region` and `endpoint`.
    pub(super) checks: Vec<Check>,
    /// Clients; without a configured region only for STS and IAM.
    aws: Option<Aws>,
    region_is_known: bool,
    credentials: Result<CredentialSource, String>,
}

const NO_CREDENTIALS: &str = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or put `aws_access_key_id` and \
    `aws_secret_access_key` into ~/.aws/credentials; for single sign-on `aws sso login` with `--profile NAME`";

impl AwsSetup {
    /// Reads the configuration. Instance metadata may be slow, so there is a timeout.
    pub(crate) async fn find(args: &AwsArgs) -> Self {
        let given = timeout(CHECK_TIMEOUT, Aws::load(args)).await;
        let region_is_known = matches!(given, Ok(Ok(_)));
        let mut checks = vec![region(args, &given)];
        let aws = match given {
            Ok(Ok(aws)) => Some(aws),
            _ => Aws::load(&args.with_region("us-east-1")).await.ok(),
        };
        let aws = aws.map(|aws| aws.with_short_timeouts());
        if let Some(url) = aws.as_ref().and_then(Aws::endpoint_url) {
            let found = format!(
                "`{}` from {}, a custom endpoint",
                diagnostics::sanitize(without_password(url)),
                args.endpoint_source()
            );
            checks.push(Check::ok("endpoint", found));
        }
        let credentials = match &aws {
            None => Err("the AWS configuration cannot be read".to_owned()),
            Some(aws) => timeout(CHECK_TIMEOUT, aws.credential_source())
                .await
                .unwrap_or_else(|_| Err(format!("none within {} s", CHECK_TIMEOUT.as_secs()))),
        };
        Self {
            checks,
            aws,
            region_is_known,
            credentials,
        }
    }

    /// Returns the clients, or a skipped check without credentials.
    pub(super) fn clients(&self, name: &'static str) -> Result<&Aws, Check> {
        match (&self.aws, &self.credentials) {
            (Some(aws), Ok(_)) => Ok(aws),
            _ => Err(Check::skipped(name, "no credentials")),
        }
    }

    /// Same as [`Self::clients`] for regional services.
    pub(super) fn regional(&self, name: &'static str) -> Result<&Aws, Check> {
        let aws = self.clients(name)?;
        match self.region_is_known {
            true => Ok(aws),
            false => Err(Check::skipped(name, "no region")),
        }
    }

    /// Returns the clients, even without credentials.
    pub(super) fn aws(&self) -> Option<&Aws> {
        self.aws.as_ref()
    }
}

/// Removes `user:password@` from a URL.
pub(super) fn without_password(url: &str) -> &str {
    url.rsplit_once('@').map_or(url, |(_, host)| host)
}

fn region(
    args: &AwsArgs,
    loaded: &Result<diagnostics::Result<Aws>, tokio::time::error::Elapsed>,
) -> Check {
    let found = match loaded {
        Ok(Ok(aws)) => {
            let region = aws.region();
            let source = args.region_source();
            let found = format!("`{}` from {source}", diagnostics::sanitize(region));
            if looks_like_a_region(region) {
                return Check::ok("region", found);
            }
            format!("{found}, expected one such as `eu-west-1`")
        }
        Ok(Err(_)) => "no AWS region".to_owned(),
        Err(_) => format!("no AWS region within {} s", CHECK_TIMEOUT.as_secs()),
    };
    Check::problem("region", found)
        .help("pass `--region`, set AWS_REGION, or put `region = eu-west-1` into ~/.aws/config")
}

/// True for names such as `eu-west-1` and `us-gov-west-1`.
fn looks_like_a_region(region: &str) -> bool {
    let mut parts = region.split('-').rev();
    let number = parts.next().unwrap_or_default();
    let names: Vec<_> = parts.collect();
    names.len() >= 2
        && !number.is_empty()
        && number.bytes().all(|b| b.is_ascii_digit())
        && names
            .iter()
            .all(|name| !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase()))
}

/// Checks the credentials with STS.
pub(super) async fn identity(setup: &AwsSetup) -> Check {
    let name = "credentials";
    let (aws, source) = match (&setup.aws, &setup.credentials) {
        (Some(aws), Ok(source)) => (aws, source),
        (_, Err(error)) => {
            return Check::problem(
                name,
                format!("no AWS credentials: {}", diagnostics::sanitize(error)),
            )
            .help(NO_CREDENTIALS);
        }
        (None, Ok(_)) => return Check::skipped(name, "the AWS configuration cannot be read"),
    };
    with_timeout(name, "STS", async {
        match aws.sts().get_caller_identity().send().await {
            Ok(caller) => {
                let arn = caller.arn().unwrap_or("an unnamed user");
                let found = format!("`{}`, from {}", diagnostics::sanitize(arn), source.name);
                match time_left(source.expiry) {
                    Some(left) if left < SignedDuration::from_mins(15) => {
                        Check::warning(name, format!("{found}; they expire in {} min", left.as_mins()))
                            .help(
                                "log in again before a long command: `aws sso login`, or new keys in AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN",
                            )
                    }
                    Some(left) => Check::ok(name, format!("{found}, valid for {} min", left.as_mins())),
                    None => Check::ok(name, found),
                }
            }
            Err(error) => Check::refused(name, "look up the identity of the credentials", error),
        }
    })
    .await
}

/// Returns the time until the credentials expire.
fn time_left(expiry: Option<SystemTime>) -> Option<SignedDuration> {
    let seconds = expiry?.duration_since(UNIX_EPOCH).ok()?.as_secs();
    let expiry = Timestamp::from_second(i64::try_from(seconds).ok()?).ok()?;
    Some(expiry.duration_since(Timestamp::now()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recognizes_region_names() {
        for good in [
            "eu-west-1",
            "us-gov-west-1",
            "ap-southeast-12",
            "cn-north-1",
            "us-iso-east-1",
        ] {
            assert!(looks_like_a_region(good), "{good}");
        }
        for bad in [
            "",
            "eu",
            "eu-west",
            "eu-west-1a",
            "EU-WEST-1",
            "eu--1",
            "west-1",
            "eu-west-",
        ] {
            assert!(!looks_like_a_region(bad), "{bad}");
        }
    }
}
