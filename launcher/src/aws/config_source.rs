//! Sources of region and credentials, for messages.

use std::time::{Duration, SystemTime};

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_s3::config::ProvideCredentials as _;

use super::{Aws, AwsArgs};
use crate::output::quoted;
use crate::util::first_set;
use diagnostics::chain;

/// Source of the credentials in use, without the credentials.
#[derive(Debug, Clone)]
pub(crate) struct CredentialSource {
    /// Description of the source.
    pub(crate) name: String,
    /// Time at which they expire, if any.
    pub(crate) expiry: Option<SystemTime>,
}

impl AwsArgs {
    /// Returns the same options with a region, for checks that need any region.
    pub(crate) fn with_region(&self, region: &str) -> Self {
        Self {
            region: Some(region.to_owned()),
            ..self.clone()
        }
    }

    /// Returns the region of option or environment, without profile and instance metadata.
    pub(crate) fn region_given(&self) -> Option<String> {
        let set = || first_set(&["AWS_REGION", "AWS_DEFAULT_REGION"]).map(|(_, value)| value);
        self.region.clone().or_else(set)
    }

    /// Describes the source of the region, in the order of [`Aws::load`].
    pub(crate) fn region_source(&self) -> String {
        if self.region.is_some() {
            return "`--region`".to_owned();
        }
        match first_set(&["AWS_REGION", "AWS_DEFAULT_REGION"]) {
            Some((name, _)) => name.to_owned(),
            None => format!(
                "profile `{}`, or the machine's metadata",
                self.profile_name()
            ),
        }
    }

    /// Describes the source of the endpoint.
    pub(crate) fn endpoint_source(&self) -> String {
        if self.endpoint_url.is_some() {
            return "`--endpoint-url`".to_owned();
        }
        match first_set(&["AWS_ENDPOINT_URL"]) {
            Some((name, _)) => name.to_owned(),
            None => format!("profile `{}`", self.profile_name()),
        }
    }

    /// Returns the profile in use.
    pub(crate) fn profile_name(&self) -> String {
        self.profile_given().unwrap_or_else(|| "default".to_owned())
    }

    /// Returns the profile of option or environment, in the order of botocore; the SDK supports
    /// only AWS_PROFILE.
    pub(super) fn profile_given(&self) -> Option<String> {
        let set = || first_set(&["AWS_DEFAULT_PROFILE", "AWS_PROFILE"]).map(|(_, value)| value);
        self.profile.clone().or_else(set)
    }

    /// Returns the AWS options of the command line, for suggested commands: ` --region eu-west-1`.
    pub(crate) fn given_options(&self) -> String {
        let all = [
            ("--profile", &self.profile),
            ("--region", &self.region),
            ("--endpoint-url", &self.endpoint_url),
        ];
        let given = all
            .iter()
            .filter_map(|(flag, value)| Some(format!(" {flag} {}", quoted(value.as_deref()?))));
        given.collect()
    }
}

impl Aws {
    /// Returns clients that fail early: 2 attempts, 3 s to connect, 10 s for a response.
    pub(crate) fn with_short_timeouts(&self) -> Self {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(Duration::from_secs(3))
            .operation_attempt_timeout(Duration::from_secs(10))
            .build();
        let config = self
            .config
            .to_builder()
            .retry_config(
                RetryConfig::standard().with_max_attempts(self.attempts.map_or(2, |n| n.min(2))),
            )
            .timeout_config(timeouts)
            .build();
        Self {
            config,
            ..self.clone()
        }
    }

    /// Finds credentials. May send requests to the instance metadata service or a login server.
    pub(crate) async fn credential_source(&self) -> Result<CredentialSource, String> {
        let provider = self
            .config
            .credentials_provider()
            .ok_or("none are set up")?;
        let found = provider
            .provide_credentials()
            .await
            .map_err(|error| credential_error(&chain(&error)))?;
        Ok(CredentialSource {
            // The name of the provider has no accessor; Debug prints it and hides the secret.
            name: source_name(&format!("{found:?}")),
            expiry: found.expiry(),
        })
    }
}

/// Describes the lack of credentials. The metadata service is the last source: its error means
/// that no source has credentials.
fn credential_error(error: &str) -> String {
    let lower = error.to_lowercase();
    let no_source = [
        "imds",
        "not loaded",
        "no providers in chain",
        "did not load",
    ];
    if no_source.iter().any(|phrase| lower.contains(phrase)) {
        return "none in the environment, the profile or the machine's metadata".to_owned();
    }
    error.to_owned()
}

/// Describes `Credentials { provider_name: "EnvironmentVariable", .. }`; an unknown name unchanged.
fn source_name(debug: &str) -> String {
    let name = debug
        .split_once("provider_name: \"")
        .and_then(|(_, rest)| rest.split_once('"'))
        .map_or("unknown", |(name, _)| name);
    let known = match name {
        "EnvironmentVariable" => "the environment (AWS_ACCESS_KEY_ID)",
        "ProfileFile" => "the profile's keys",
        "CredentialProcess" => "the profile's credential_process",
        "SSO" => "the profile's SSO login",
        "WebIdentityToken" => "a web identity token",
        "AssumeRoleProvider" => "a role that the profile assumes",
        "Login" => "the profile's login",
        "EcsContainer" => "the container's metadata",
        "IMDSv2" => "the machine's metadata",
        other => other,
    };
    diagnostics::sanitize(known).into_owned()
}

#[cfg(test)]
mod tests {
    use aws_config::{BehaviorVersion, SdkConfig};

    use super::super::connector::RESPONSE_TIMEOUT;
    use super::super::settings::S3Urls;
    use super::*;

    #[test]
    fn short_timeouts_apply_to_every_client() {
        let aws = Aws {
            config: SdkConfig::builder()
                .behavior_version(BehaviorVersion::latest())
                .build(),
            iam_url: None,
            s3_urls: S3Urls::default(),
            ca_bundle: None,
            attempts: None,
            given_options: String::new(),
        };
        let limit = |config: &SdkConfig| config.timeout_config()?.operation_attempt_timeout();
        let s3_limit = |s3: aws_sdk_s3::Client| {
            let timeouts = s3.config().timeout_config()?;
            timeouts.operation_attempt_timeout()
        };
        assert_eq!(limit(&aws.with_response_timeout()), Some(RESPONSE_TIMEOUT));
        assert_eq!(s3_limit(aws.s3()), Some(RESPONSE_TIMEOUT));
        assert_eq!(s3_limit(aws.s3_for_transfers()), None);
        let aws = aws.with_short_timeouts();
        let short = Some(Duration::from_secs(10));
        // Transfers use the plain configuration, IAM its timeout.
        assert_eq!(limit(&aws.config), short);
        assert_eq!(limit(&aws.with_response_timeout()), short);
        assert_eq!(Some(aws.response_timeout()), short);
        assert_eq!(s3_limit(aws.s3()), short);
    }

    #[test]
    fn quotes_given_options_for_a_shell() {
        let args = AwsArgs {
            profile: Some("a b".to_owned()),
            region: Some("eu-west-1".to_owned()),
            endpoint_url: None,
        };
        assert_eq!(args.given_options(), " --profile 'a b' --region eu-west-1");
    }
}
