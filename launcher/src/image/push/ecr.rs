//! Amazon's registry: a password for some hours, and repositories that have to be made.

use aws_sdk_ecr::error::ProvideErrorMetadata as _;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;

use super::{Credentials, Place};
use crate::aws::{Aws, explain};
use crate::failure::{Failure, Result};
use crate::say::say;

/// Asks for a password, which stays in memory, and for the registry's address. `registry` stands in for the address:
/// an emulator of AWS gives the real one.
pub(crate) async fn log_in(
    aws: &Aws,
    repository: &str,
    registry: Option<&str>,
) -> Result<(Place, Credentials)> {
    let answer = aws
        .ecr()
        .get_authorization_token()
        .send()
        .await
        .map_err(|error| explain("log in to ECR", error))?;
    let broken = |what: &str| Failure::new(format!("ECR's authorization token {what}"));
    let data = answer.authorization_data().first();
    let data = data.ok_or_else(|| broken("is missing in its answer"))?;
    let pair = data
        .authorization_token()
        .and_then(|token| BASE64_STANDARD.decode(token).ok())
        .and_then(|bytes| String::from_utf8(bytes).ok());
    let pair = pair.ok_or_else(|| broken("is no base64"))?;
    let (user, password) = pair
        .split_once(':')
        .ok_or_else(|| broken("holds no user and password"))?;
    let address = match registry {
        Some(registry) => registry,
        None => data
            .proxy_endpoint()
            .ok_or_else(|| broken("comes without the registry's address"))?,
    };
    let place = Place::parse(address, repository)?.of_ecr();
    let from = "ECR's GetAuthorizationToken".to_owned();
    Ok((place, Credentials::new(user, password, from)))
}

/// Makes the repository; true if there was none.
pub(crate) async fn create(aws: &Aws, repository: &str) -> Result<bool> {
    let made = aws
        .ecr()
        .create_repository()
        .repository_name(repository)
        .send()
        .await;
    match made {
        Ok(_) => {
            say(format!(
                "created the repository `{repository}` in `{}`",
                aws.region()
            ));
            Ok(true)
        }
        Err(error) if error.code() == Some("RepositoryAlreadyExistsException") => Ok(false),
        Err(error) => Err(explain(
            &format!("create the repository `{repository}`"),
            error,
        )),
    }
}

/// The requests of [`create`] and [`log_in`], unsent.
pub(crate) async fn rehearse(aws: &Aws, repository: &str, create: bool) -> Vec<(String, Value)> {
    let (aws, recorder) = aws.rehearsal();
    let ecr = aws.ecr();
    let mut requests = Vec::new();
    if create {
        // Recorded, and refused by the recorder.
        let _ = ecr
            .create_repository()
            .repository_name(repository)
            .send()
            .await;
        let what = format!("create the repository `{repository}`, unless it exists");
        requests.extend(recorder.take().map(|request| (what, request)));
    }
    let _ = ecr.get_authorization_token().send().await;
    let what = "log in to ECR".to_owned();
    requests.extend(recorder.take().map(|request| (what, request)));
    requests
}
