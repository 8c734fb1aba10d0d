//! Amazon ECR: passwords and repositories.

use aws_sdk_ecr::error::ProvideErrorMetadata as _;
use aws_sdk_ecr::operation::get_authorization_token::builders::GetAuthorizationTokenFluentBuilder;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;

use crate::aws::{Aws, explain};
use diagnostics::{Error, Result, eprint_line};
use image::push::{Credentials, EcrHost, RegistryRef};

/// Requests a password, which stays in memory, and the registry's address. `registry` overrides the
/// address: an emulator of AWS returns the real one.
pub(crate) async fn log_in(
    aws: &Aws,
    repository: &str,
    registry: Option<&str>,
) -> Result<(RegistryRef, Credentials)> {
    let (credentials, address) = token(aws, None).await?;
    let address = match registry {
        Some(registry) => registry,
        None => address
            .as_deref()
            .ok_or_else(|| broken("has no registry address"))?,
    };
    Ok((
        RegistryRef::parse(address, repository)?.into_own_ecr(),
        credentials,
    ))
}

/// Requests a password for the registry of another account or region.
pub(crate) async fn log_in_to(aws: &Aws, host: &EcrHost) -> Result<Credentials> {
    let (credentials, _) = token(&aws.in_region(&host.region), Some(&host.account)).await?;
    Ok(credentials)
}

/// Returns credentials and the registry's address.
async fn token(aws: &Aws, account: Option<&str>) -> Result<(Credentials, Option<String>)> {
    let response = request(aws, account)
        .send()
        .await
        .map_err(|error| explain("cannot log in to ECR", error))?;
    let data = response.authorization_data().first();
    let data = data.ok_or_else(|| broken("is missing in the response"))?;
    let pair = data
        .authorization_token()
        .and_then(|token| BASE64_STANDARD.decode(token).ok())
        .and_then(|bytes| String::from_utf8(bytes).ok());
    let pair = pair.ok_or_else(|| broken("is not base64"))?;
    let (user, password) = pair
        .split_once(':')
        .ok_or_else(|| broken("has no user and password"))?;
    let from = "ECR's GetAuthorizationToken".to_owned();
    let address = data.proxy_endpoint().map(str::to_owned);
    Ok((Credentials::new(user, password, from), address))
}

/// Builds the request. The password is valid for all registries that the keys may push to; the
/// registry ID is for policies that check it.
fn request(aws: &Aws, account: Option<&str>) -> GetAuthorizationTokenFluentBuilder {
    #[expect(
        deprecated,
        reason = "it still names the registry in the request and its log"
    )]
    aws.ecr()
        .get_authorization_token()
        .set_registry_ids(account.map(|account| vec![account.to_owned()]))
}

fn broken(what: &str) -> Error {
    Error::new(format!("ECR's authorization token {what}"))
        .help("check the endpoint: `--endpoint-url`, AWS_ENDPOINT_URL_ECR; `trainyard doctor` checks it too")
}

/// Creates the repository; true if it did not exist.
pub(crate) async fn create(aws: &Aws, repository: &str) -> Result<bool> {
    let made = aws
        .ecr()
        .create_repository()
        .repository_name(repository)
        .send()
        .await;
    match made {
        Ok(_) => {
            eprint_line(format!(
                "created the repository `{repository}` in `{}`",
                aws.region()
            ));
            Ok(true)
        }
        Err(error) if error.code() == Some("RepositoryAlreadyExistsException") => Ok(false),
        Err(error) => Err(explain(
            &format!("cannot create the repository `{repository}`"),
            error,
        )),
    }
}

/// Returns the requests of [`create`] and [`log_in`] without sending them.
pub(crate) async fn dry_run_create(
    aws: &Aws,
    repository: &str,
    create: bool,
) -> Vec<(String, Value)> {
    let (aws, recorder) = aws.dry_run();
    let ecr = aws.ecr();
    let mut requests = Vec::new();
    if create {
        // Recorded and refused by the recorder.
        let _ = ecr
            .create_repository()
            .repository_name(repository)
            .send()
            .await;
        let what = format!("create the repository `{repository}`, unless it exists");
        requests.extend(recorder.take().map(|request| (what, request)));
    }
    let _ = request(&aws, None).send().await;
    requests.extend(recorder.take().map(log_in_step));
    requests
}

/// Returns the request of [`log_in_to`] without sending it.
pub(crate) async fn dry_run_log_in_to(aws: &Aws, host: &EcrHost) -> Option<(String, Value)> {
    let (aws, recorder) = aws.dry_run();
    let _ = request(&aws.in_region(&host.region), Some(&host.account))
        .send()
        .await;
    recorder.take().map(log_in_step)
}

fn log_in_step(request: Value) -> (String, Value) {
    ("log in to ECR".to_owned(), request)
}
