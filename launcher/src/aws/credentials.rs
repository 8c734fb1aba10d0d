//! Credentials that botocore finds and the SDK's chain does not, or finds in another order.

use std::fs::File;
use std::io::{IsTerminal as _, Write as _};
use std::path::Path;
use std::time::{Duration, SystemTime};

use aws_config::SdkConfig;
use aws_config::ecs::EcsCredentialsProvider;
use aws_config::environment::EnvironmentVariableCredentialsProvider;
use aws_config::imds;
use aws_config::imds::credentials::ImdsCredentialsProvider;
use aws_config::meta::credentials::CredentialsProviderChain;
use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::profile::credentials::Builder as ProfileBuilder;
use aws_config::provider_config::ProviderConfig;
use aws_config::web_identity_token::WebIdentityTokenCredentialsProvider;
use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider, future};
use aws_sdk_sts::Client;
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use tokio::sync::Mutex;

use super::AwsArgs;
use super::profiles::sdk_name;
use super::settings::Settings;
use crate::util::env_var;
use diagnostics::{Error, Result, sanitize};

/// Time for typing an MFA code.
pub(super) const MFA_TIMEOUT: Duration = Duration::from_secs(300);

/// Credentials are requested again this long before they expire.
const EXPIRY_MARGIN: Duration = Duration::from_secs(60);

/// Returns a provider if the SDK's chain would not do as botocore. `config` has region and HTTP
/// client.
///
/// # Errors
/// If the profile needs a terminal, a login that is not supported, or a file that does not exist.
pub(super) fn provider(
    args: &AwsArgs,
    settings: &Settings,
    config: &SdkConfig,
    http: SharedHttpClient,
) -> Result<Option<SharedCredentialsProvider>> {
    // Keys in the environment take precedence over all but `--profile`.
    if args.profile.is_none() && env_var("AWS_ACCESS_KEY_ID").is_some() {
        return match env_var("AWS_SECRET_ACCESS_KEY") {
            Some(_) => Ok(None),
            None => Err(
                Error::usage("AWS_ACCESS_KEY_ID is set without AWS_SECRET_ACCESS_KEY")
                    .help("set both, or `unset AWS_ACCESS_KEY_ID` to use the profile"),
            ),
        };
    }
    let mut sources = ProviderConfig::without_region()
        .with_region(config.region().cloned())
        .with_use_fips(config.use_fips())
        .with_use_dual_stack(config.use_dual_stack())
        .with_http_client(http);
    if let Some(retries) = config.retry_config() {
        sources = sources.with_retry_config(retries.clone());
    }
    let roles = settings.roles();
    refuse_login(settings, &roles)?;
    if let Some(roles) = MfaRoles::new(settings, &roles, config, &sources)? {
        return Ok(Some(SharedCredentialsProvider::new(roles)));
    }
    if roles.is_empty() && web_identity(args, settings)? {
        let token = WebIdentityTokenCredentialsProvider::builder().configure(&sources);
        return Ok(Some(SharedCredentialsProvider::new(token.build())));
    }
    let client = metadata_client(settings, &sources)?;
    if args.profile.is_none() && client.is_none() {
        return Ok(None);
    }
    let machine = || match &client {
        Some(client) => ImdsCredentialsProvider::builder().imds_client(client.clone()),
        None => ImdsCredentialsProvider::builder(),
    };
    let machine = || machine().configure(&sources).build();
    let container = EcsCredentialsProvider::builder().configure(&sources);
    let profile = of_profile(settings, &settings.profile, &sources)
        .with_custom_provider("Ec2InstanceMetadata", machine());
    let chain = CredentialsProviderChain::first_try("Profile", profile.build())
        .or_else("EcsContainer", container.build())
        .or_else("Ec2InstanceMetadata", machine());
    Ok(Some(SharedCredentialsProvider::new(chain)))
}

fn of_profile(settings: &Settings, profile: &str, sources: &ProviderConfig) -> ProfileBuilder {
    ProfileFileCredentialsProvider::builder()
        .configure(sources)
        .profile_files(settings.sdk_files())
        .profile_name(sdk_name(profile))
}

/// Returns a client of the machine's metadata with settings that the SDK does not read.
fn metadata_client(settings: &Settings, sources: &ProviderConfig) -> Result<Option<imds::Client>> {
    let attempts = settings.number(
        "AWS_METADATA_SERVICE_NUM_ATTEMPTS",
        "metadata_service_num_attempts",
    )?;
    let seconds = settings.number("AWS_METADATA_SERVICE_TIMEOUT", "metadata_service_timeout")?;
    let endpoint = settings.value(
        "AWS_EC2_METADATA_SERVICE_ENDPOINT",
        "ec2_metadata_service_endpoint",
    );
    if attempts.is_none() && seconds.is_none() && endpoint.is_none() {
        return Ok(None);
    }
    let mut client = imds::Client::builder().configure(sources);
    if let Some((url, source)) = endpoint {
        let url = url.to_string_lossy();
        client = client.endpoint(&url).map_err(|_| {
            Error::usage(format!("{source} is `{}`, expected a URL", sanitize(&url)))
                .help("expected a URL such as `http://169.254.169.254`")
        })?;
    }
    if let Some(attempts) = attempts {
        client = client.max_attempts(attempts);
    }
    if let Some(seconds) = seconds {
        let limit = Duration::from_secs(seconds.into());
        let of_attempt = limit.saturating_mul(2);
        client = client
            .connect_timeout(limit)
            .read_timeout(limit)
            .operation_attempt_timeout(of_attempt)
            .operation_timeout(of_attempt.saturating_mul(attempts.unwrap_or(4)));
    }
    Ok(Some(client.build()))
}

impl Settings {
    /// Returns the profiles with a role to assume: the selected one, then its source, and so on.
    fn roles(&self) -> Vec<&str> {
        let mut roles: Vec<&str> = Vec::new();
        let mut at = self.profile.as_str();
        let has = |profile, key| self.files.get(profile, key).is_some();
        while has(at, "role_arn")
            && !has(at, "web_identity_token_file")
            && !roles.contains(&at)
            && (roles.is_empty() || !has(at, "aws_access_key_id"))
        {
            roles.push(at);
            at = self.files.get(at, "source_profile").unwrap_or(at);
        }
        roles
    }

    /// Returns the profile with the credentials that the first role is assumed with.
    fn source<'a>(&'a self, roles: &[&'a str]) -> &'a str {
        let last = roles.last().copied().unwrap_or(&self.profile);
        let source = self.files.get(last, "source_profile");
        source.filter(|_| !roles.is_empty()).unwrap_or(last)
    }
}

/// Refuses credentials of `aws login`: the SDK's support needs many more dependencies.
fn refuse_login(settings: &Settings, roles: &[&str]) -> Result<()> {
    let source = settings.source(roles);
    let has = |key| settings.files.get(source, key).is_some();
    if !has("login_session") || has("web_identity_token_file") || has("sso_session") {
        return Ok(());
    }
    let shown = sanitize(source);
    Err(Error::usage(format!(
        "the profile `{shown}` has the credentials of `aws login`, which trainyard does not read"
    ))
    .help(format!(
        "add `[profile {shown}-keys]` with `credential_process = aws configure export-credentials --profile {shown}` to ~/.aws/config, and pass `--profile {shown}-keys`"
    )))
}

/// True if the credentials come from the web identity token of the environment. Fails if the token
/// file in use, which may be the profile's, cannot be read.
fn web_identity(args: &AwsArgs, settings: &Settings) -> Result<bool> {
    let variable = "AWS_WEB_IDENTITY_TOKEN_FILE";
    let in_environment =
        env_var(variable).filter(|_| args.profile.is_none() && env_var("AWS_ROLE_ARN").is_some());
    let (file, source) = match (&in_environment, settings.key("web_identity_token_file")) {
        (Some(file), _) => (Path::new(file), variable.to_owned()),
        (None, Some(file)) => (
            Path::new(file),
            format!(
                "web_identity_token_file of the profile `{}`",
                settings.profile
            ),
        ),
        (None, None) => return Ok(false),
    };
    if let Err(error) = File::open(file) {
        let shown = file.to_string_lossy();
        return Err(Error::usage(format!(
            "{}: cannot read `{}`: {error}",
            sanitize(&source),
            sanitize(&shown)
        ))
        .help("expected the file with the token of the identity provider, such as a pod's service account")
        .help("or remove the setting to use other credentials"));
    }
    Ok(in_environment.is_some())
}

/// Roles of which at least one needs an MFA code, which the SDK ignores.
#[derive(Debug)]
struct MfaRoles {
    /// Credentials with which the first role is assumed.
    source: SharedCredentialsProvider,
    /// From the first to the last.
    roles: Vec<Role>,
    config: SdkConfig,
    /// Shared by all clients, so that a code is typed once.
    assumed: Mutex<Option<Credentials>>,
}

#[derive(Debug)]
struct Role {
    arn: String,
    mfa_serial: Option<String>,
    external_id: Option<String>,
    session_name: Option<String>,
    seconds: Option<i32>,
}

impl MfaRoles {
    /// Returns none if no role needs a code.
    fn new(
        settings: &Settings,
        roles: &[&str],
        config: &SdkConfig,
        sources: &ProviderConfig,
    ) -> Result<Option<Self>> {
        let text = |profile: &str, key| settings.files.get(profile, key).map(str::to_owned);
        let Some(profile) = roles.iter().find(|role| text(role, "mfa_serial").is_some()) else {
            return Ok(None);
        };
        if !std::io::stdin().is_terminal() {
            return Err(Error::usage(format!(
                "the profile `{}` needs an MFA code, and standard input is not a terminal",
                sanitize(profile)
            ))
            .help("run it on a terminal, which asks for the code")
            .help(format!(
                "or run `eval \"$(aws configure export-credentials --profile {} --format env)\"` before, and leave out `--profile`",
                sanitize(&settings.profile)
            )));
        }
        let of = settings.source(roles);
        let source = match (
            text(of, "aws_access_key_id"),
            text(of, "aws_secret_access_key"),
        ) {
            (Some(id), Some(secret)) => {
                let token = text(of, "aws_session_token");
                SharedCredentialsProvider::new(Credentials::new(
                    id,
                    secret,
                    token,
                    None,
                    "ProfileFile",
                ))
            }
            _ if roles.contains(&of) => {
                SharedCredentialsProvider::new(EnvironmentVariableCredentialsProvider::new())
            }
            _ => SharedCredentialsProvider::new(of_profile(settings, of, sources).build()),
        };
        let role = |profile: &&str| Role {
            arn: text(profile, "role_arn").unwrap_or_default(),
            mfa_serial: text(profile, "mfa_serial"),
            external_id: text(profile, "external_id"),
            session_name: text(profile, "role_session_name"),
            seconds: text(profile, "duration_seconds").and_then(|text| text.parse().ok()),
        };
        Ok(Some(Self {
            source,
            roles: roles.iter().rev().map(role).collect(),
            config: config.clone(),
            assumed: Mutex::new(None),
        }))
    }

    async fn credentials(&self) -> Result<Credentials, CredentialsError> {
        let mut assumed = self.assumed.lock().await;
        let soon = SystemTime::now() + EXPIRY_MARGIN;
        if let Some(known) = assumed.as_ref().filter(|known| known.expiry() > Some(soon)) {
            return Ok(known.clone());
        }
        let mut credentials = self.source.provide_credentials().await?;
        for role in &self.roles {
            let keys = SharedCredentialsProvider::new(credentials);
            let config = self.config.to_builder().credentials_provider(keys).build();
            credentials = role.assume(&Client::new(&config)).await?;
        }
        *assumed = Some(credentials.clone());
        Ok(credentials)
    }
}

impl ProvideCredentials for MfaRoles {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.credentials())
    }
}

impl Role {
    async fn assume(&self, sts: &Client) -> Result<Credentials, CredentialsError> {
        let code = match self.mfa_serial.clone() {
            None => None,
            Some(serial) => {
                let typed = tokio::task::spawn_blocking(move || ask(&serial)).await;
                let typed = typed.map_err(std::io::Error::other).flatten();
                Some(typed.map_err(CredentialsError::provider_error)?)
            }
        };
        let now = SystemTime::UNIX_EPOCH
            .elapsed()
            .unwrap_or_default()
            .as_secs();
        let name = self.session_name.clone();
        let response = sts
            .assume_role()
            .role_arn(&self.arn)
            .role_session_name(name.unwrap_or_else(|| format!("trainyard-{now}")))
            .set_external_id(self.external_id.clone())
            .set_duration_seconds(self.seconds)
            .set_serial_number(self.mfa_serial.clone())
            .set_token_code(code)
            .send()
            .await
            .map_err(CredentialsError::provider_error)?;
        let missing = || CredentialsError::unhandled("AssumeRole returned no credentials");
        let found = response.credentials.ok_or_else(missing)?;
        Ok(Credentials::new(
            found.access_key_id,
            found.secret_access_key,
            Some(found.session_token),
            SystemTime::try_from(found.expiration).ok(),
            "AssumeRoleProvider",
        ))
    }
}

/// Asks for an MFA code. It is valid once, so it may be shown.
fn ask(serial: &str) -> std::io::Result<String> {
    let mut terminal = std::io::stderr();
    write!(terminal, "Enter MFA code for {}: ", sanitize(serial))?;
    terminal.flush()?;
    let mut code = String::new();
    std::io::stdin().read_line(&mut code)?;
    Ok(code.trim().to_owned())
}
