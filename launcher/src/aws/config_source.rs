//! Where region and credentials come from, for the commands that tell the user.

use std::time::{Duration, SystemTime};

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_s3::config::ProvideCredentials as _;

use super::{Aws, AwsArgs};
use crate::output::quoted;
use crate::variable::first_set;
use diagnostics::chain;

/// Credentials were found; they are not shown.
#[derive(Debug, Clone)]
pub(crate) struct CredentialSource {
    /// In words.
    pub(crate) name: String,
    /// When they end, if they do.
    pub(crate) expiry: Option<SystemTime>,
}

impl AwsArgs {
    /// The same with a region, for what can be checked without the right one.
    pub(crate) fn with_region(&self, region: &str) -> Self {
        Self {
            region: Some(region.to_owned()),
            ..self.clone()
        }
    }

    /// The region of the flag or the environment, for what asks neither profile nor metadata.
    pub(crate) fn region_given(&self) -> Option<String> {
        let set = || first_set(&["AWS_REGION", "AWS_DEFAULT_REGION"]).map(|(_, value)| value);
        self.region.clone().or_else(set)
    }

    /// What the region was read from, in the order that [`Aws::load`] reads.
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

    /// What the endpoint was read from.
    pub(crate) fn endpoint_source(&self) -> String {
        if self.endpoint_url.is_some() {
            return "`--endpoint-url`".to_owned();
        }
        match first_set(&["AWS_ENDPOINT_URL"]) {
            Some((name, _)) => name.to_owned(),
            None => format!("profile `{}`", self.profile_name()),
        }
    }

    /// The profile in use.
    pub(crate) fn profile_name(&self) -> String {
        self.profile_given().unwrap_or_else(|| "default".to_owned())
    }

    /// The profile of the flag or the environment, in botocore's order; the SDK knows AWS_PROFILE alone.
    pub(super) fn profile_given(&self) -> Option<String> {
        let set = || first_set(&["AWS_DEFAULT_PROFILE", "AWS_PROFILE"]).map(|(_, value)| value);
        self.profile.clone().or_else(set)
    }

    /// The options as they were typed, for the next command: ` --region eu-west-1`.
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
    /// Clients that would rather fail than wait: two tries, three seconds to connect, ten for an answer.
    pub(crate) fn with_short_timeouts(&self) -> Self {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(Duration::from_secs(3))
            .operation_attempt_timeout(Duration::from_secs(10))
            .build();
        let config = self
            .config
            .to_builder()
            .retry_config(RetryConfig::standard().with_max_attempts(2))
            .timeout_config(timeouts)
            .build();
        Self {
            config,
            ..self.clone()
        }
    }

    /// Finds credentials; this may ask the machine's metadata service or a login server.
    pub(crate) async fn credential_source(&self) -> Result<CredentialSource, String> {
        let provider = self
            .config
            .credentials_provider()
            .ok_or("none are set up")?;
        let found = provider
            .provide_credentials()
            .await
            .map_err(|error| without(&chain(&error)))?;
        Ok(CredentialSource {
            // The provider's name has no accessor; Debug shows it and hides the secret.
            name: source_name(&format!("{found:?}")),
            expiry: found.expiry(),
        })
    }

    /// AWS_ENDPOINT_URL_IAM, unless `--endpoint-url` says otherwise: no client reads it for us.
    pub(super) fn iam_url(args: &AwsArgs) -> Option<String> {
        match args.endpoint_url {
            Some(_) => None,
            None => first_set(&["AWS_ENDPOINT_URL_IAM"]).map(|(_, url)| url),
        }
    }
}

/// Why there are no credentials. The metadata service is the last that is asked: what it says means that all other
/// sources had nothing, and not that this machine should have one.
fn without(error: &str) -> String {
    let lower = error.to_lowercase();
    let nowhere = [
        "imds",
        "not loaded",
        "no providers in chain",
        "did not load",
    ];
    if nowhere.iter().any(|words| lower.contains(words)) {
        return "none in the environment, the profile or the machine's metadata".to_owned();
    }
    error.to_owned()
}

/// `Credentials { provider_name: "EnvironmentVariable", .. }` in words; an unknown name as it is.
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

    use super::super::connector::ANSWER;
    use super::*;

    #[test]
    fn impatience_reaches_every_client() {
        let aws = Aws {
            config: SdkConfig::builder()
                .behavior_version(BehaviorVersion::latest())
                .build(),
            iam_url: None,
            typed: String::new(),
        };
        let limit = |config: &SdkConfig| config.timeout_config()?.operation_attempt_timeout();
        let s3_limit = |s3: aws_sdk_s3::Client| {
            let timeouts = s3.config().timeout_config()?;
            timeouts.operation_attempt_timeout()
        };
        assert_eq!(limit(&aws.with_answer_timeout()), Some(ANSWER));
        assert_eq!(s3_limit(aws.s3()), Some(ANSWER));
        assert_eq!(s3_limit(aws.s3_carrying()), None);
        let aws = aws.with_short_timeouts();
        let short = Some(Duration::from_secs(10));
        // Transfers take the bare configuration, IAM the limit.
        assert_eq!(limit(&aws.config), short);
        assert_eq!(limit(&aws.with_answer_timeout()), short);
        assert_eq!(Some(aws.answer_timeout()), short);
        assert_eq!(s3_limit(aws.s3()), short);
    }

    #[test]
    fn typed_options_for_a_shell() {
        let args = AwsArgs {
            profile: Some("a b".to_owned()),
            region: Some("eu-west-1".to_owned()),
            endpoint_url: None,
        };
        assert_eq!(args.given_options(), " --profile 'a b' --region eu-west-1");
    }
}
