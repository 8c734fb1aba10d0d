//! AWS region, credentials and clients, configured as for the AWS CLI.

mod account;
mod bucket;
mod config_source;
mod connector;
mod credentials;
mod dry_run;
pub(crate) mod errors;
pub(crate) mod iam;
mod partition;
mod profiles;
mod settings;
mod validate;

use std::sync::Arc;
use std::time::Duration;

use aws_config::identity::IdentityCache;
use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{AppName, BehaviorVersion, ConfigLoader, Region, SdkConfig};
use aws_sdk_s3::error::{ErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::http::SharedHttpConnector;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use clap::Args;

use diagnostics::{Error, Result};
use s3::Store;

pub(crate) use bucket::Bucket;
pub(crate) use config_source::CredentialSource;
pub(crate) use errors::explain;
pub(crate) use partition::Partition;

use settings::{CaBundle, S3Urls, Settings};

/// AWS options of all commands. Names and precedence are those of the AWS CLI: option, environment
/// variable, profile.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "AWS options")]
pub(crate) struct AwsArgs {
    /// AWS profile [env: AWS_DEFAULT_PROFILE, AWS_PROFILE]
    ///
    /// A section of ~/.aws/config or ~/.aws/credentials. Its keys `ca_bundle`, `max_attempts`,
    /// `retry_mode`, `endpoint_url`, `services` and `s3` are read as by the AWS CLI; the variables
    /// AWS_CA_BUNDLE, AWS_MAX_ATTEMPTS and AWS_RETRY_MODE take precedence.
    #[arg(long, global = true, value_name = "NAME")]
    profile: Option<String>,
    /// AWS region, such as eu-west-1 [env: AWS_REGION, AWS_DEFAULT_REGION]
    ///
    /// Can also be set in the profile.
    #[arg(long, global = true, value_name = "REGION")]
    region: Option<String>,
    /// URL for all AWS requests [env: AWS_ENDPOINT_URL]
    ///
    /// `AWS_ENDPOINT_URL_<SERVICE>` sets it for one service. Can also be set in the profile.
    #[arg(long, global = true, value_name = "URL")]
    endpoint_url: Option<String>,
}

/// Clients of one account and region.
#[derive(Debug, Clone)]
pub(crate) struct Aws {
    config: SdkConfig,
    /// Endpoint of IAM, if set separately.
    iam_url: Option<String>,
    s3_urls: S3Urls,
    ca_bundle: Option<CaBundle>,
    /// Attempts per request, if set.
    attempts: Option<u32>,
    /// AWS options of the command line, for suggested commands.
    given_options: String,
}

impl Aws {
    /// Reads environment and profile. Sends no requests, except those of the credential provider.
    pub(crate) async fn load(args: &AwsArgs) -> Result<Self> {
        validate::check(args)?;
        let settings = Settings::read(args)?;
        settings.files.check(&settings.profile)?;
        let ca_bundle = settings.ca_bundle();
        let http = connector::client(ca_bundle.as_ref())?;
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .http_client(http.clone())
            .retry_config(settings.retries()?)
            .identity_cache(
                IdentityCache::lazy()
                    .load_timeout(credentials::MFA_TIMEOUT)
                    .build(),
            )
            .timeout_config(
                TimeoutConfig::builder()
                    .connect_timeout(connector::CONNECT_TIMEOUT)
                    .build(),
            )
            // Breaks slow uploads: awslabs/aws-sdk-rust#1146. Transfers have their own check.
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
        if let Ok(name) = AppName::new("trainyard") {
            loader = loader.app_name(name);
        }
        loader = profile_files(loader, &settings);
        let region = match args.region_given() {
            Some(region) => Some(region),
            None => settings.region()?.map(str::to_owned),
        };
        if let Some(region) = region {
            loader = loader.region(Region::new(region));
        }
        if let Some(url) = &args.endpoint_url {
            loader = loader.endpoint_url(url);
        }
        let mut config = loader.load().await;
        if config
            .region()
            .is_none_or(|region| region.as_ref().is_empty())
        {
            return Err(Error::usage("no AWS region").help(
                "pass `--region`, set AWS_REGION, or put `region = eu-west-1` into ~/.aws/config",
            ));
        }
        if let Some(url) = config.endpoint_url() {
            validate::endpoint(&args.endpoint_source(), url)?;
            // For the endpoints of AWS only; the SDK refuses both together.
            let builder = config.to_builder().use_fips(false).use_dual_stack(false);
            config = builder.build();
        }
        let config = match credentials::provider(args, &settings, &config, http)? {
            Some(provider) => config.to_builder().credentials_provider(provider).build(),
            None => config,
        };
        let of_service = |name| match args.endpoint_url {
            Some(_) => Ok(None),
            None => settings.service_endpoint(name),
        };
        let custom = config.endpoint_url().is_some() || of_service("s3")?.is_some();
        Ok(Self {
            iam_url: of_service("iam")?,
            s3_urls: settings.s3_urls(custom),
            ca_bundle,
            attempts: settings.attempts()?,
            config,
            given_options: args.given_options(),
        })
    }

    /// Returns a command to suggest, in backticks, with the same AWS options.
    pub(crate) fn suggest(&self, command: &str) -> String {
        format!("`trainyard {command}{}`", self.given_options)
    }

    /// Returns the name of the region, such as `eu-west-1`.
    pub(crate) fn region(&self) -> &str {
        self.config.region().map_or("", Region::as_ref)
    }

    /// Returns the endpoint URL, if set.
    pub(crate) fn endpoint_url(&self) -> Option<&str> {
        self.config.endpoint_url()
    }

    /// Configuration with a timeout for requests with an immediate response.
    fn with_response_timeout(&self) -> SdkConfig {
        let set = self.config.timeout_config();
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(
                set.and_then(TimeoutConfig::connect_timeout)
                    .unwrap_or(connector::CONNECT_TIMEOUT),
            )
            .operation_attempt_timeout(self.response_timeout())
            .build();
        self.config.to_builder().timeout_config(timeouts).build()
    }

    fn response_timeout(&self) -> Duration {
        let set = self.config.timeout_config();
        set.and_then(TimeoutConfig::operation_attempt_timeout)
            .unwrap_or(connector::RESPONSE_TIMEOUT)
    }

    pub(crate) fn sagemaker(&self) -> aws_sdk_sagemaker::Client {
        aws_sdk_sagemaker::Client::new(&self.with_response_timeout())
    }

    pub(crate) fn logs(&self) -> aws_sdk_cloudwatchlogs::Client {
        aws_sdk_cloudwatchlogs::Client::new(&self.with_response_timeout())
    }

    pub(crate) fn ecr(&self) -> aws_sdk_ecr::Client {
        aws_sdk_ecr::Client::new(&self.with_response_timeout())
    }

    /// Returns the same account in another region.
    pub(crate) fn in_region(&self, region: &str) -> Self {
        let region = Region::new(region.to_owned());
        Self {
            config: self.config.to_builder().region(region).build(),
            ..self.clone()
        }
    }

    pub(crate) fn sts(&self) -> aws_sdk_sts::Client {
        aws_sdk_sts::Client::new(&self.with_response_timeout())
    }

    pub(crate) fn s3(&self) -> aws_sdk_s3::Client {
        self.s3_of(&self.with_response_timeout())
    }

    /// Returns a client without timeouts for data transfers, which have their own check.
    fn s3_for_transfers(&self) -> aws_sdk_s3::Client {
        self.s3_of(&self.config)
    }

    /// Returns the store that a transfer uses.
    pub(crate) fn store(&self, stall: Duration, progress: bool) -> Store {
        let settings = s3::Settings {
            stall,
            progress,
            attempts: self.attempts,
        };
        Store::new(&self.s3_for_transfers(), Arc::new(self.clone()), settings)
    }

    fn s3_of(&self, config: &SdkConfig) -> aws_sdk_s3::Client {
        let mut config = aws_sdk_s3::config::Builder::from(config)
            .force_path_style(self.s3_urls.path_style)
            .accelerate(self.s3_urls.accelerate);
        if self.s3_urls.dual_stack {
            config = config.use_dual_stack(true);
        }
        aws_sdk_s3::Client::from_conf(config.build())
    }

    /// Returns the number of attempts per request, if it is set.
    pub(crate) fn attempts(&self) -> Option<u32> {
        self.attempts
    }

    /// Returns a connector with the same settings, for requests outside of the SDK.
    pub(crate) fn http_connector(&self) -> Result<SharedHttpConnector> {
        connector::http_connector(self.ca_bundle.as_ref())
    }
}

impl AwsArgs {
    /// Returns the certificates of the CA bundle, each in DER; none without a bundle.
    pub(crate) fn ca_certificates(&self) -> Result<Vec<Vec<u8>>> {
        match Settings::read(self)?.ca_bundle() {
            Some(bundle) => Ok(bundle.read()?.1),
            None => Ok(Vec::new()),
        }
    }
}

impl s3::ErrorContext for Aws {
    fn explain(&self, action: &str, error: SdkError<ErrorMetadata, HttpResponse>) -> Error {
        explain(action, error)
    }

    fn suggest(&self, command: &str) -> String {
        self.suggest(command)
    }
}

/// Gives the loader the profile and the files as [`profiles::ConfigFiles`] reads them.
fn profile_files(loader: ConfigLoader, settings: &Settings) -> ConfigLoader {
    loader
        .profile_files(settings.sdk_files())
        .profile_name(profiles::sdk_name(&settings.profile))
}
