//! Into the local engine, without a registry.

use bollard::Docker;
use bollard::body_full;
use bollard::query_parameters::{ImportImageOptionsBuilder, TagImageOptionsBuilder};
use futures_util::TryStreamExt as _;

use super::Image;
use crate::engine::reason;
use crate::failure::{Failure, Result};
use crate::say::say;

/// Loads the image unless the engine has it, and gives the name to run it by.
pub(crate) async fn load(image: &Image, engine: &Docker) -> Result<String> {
    let [reference, latest] = image.names();
    let failed = |error: &bollard::errors::Error| {
        Failure::new(format!(
            "the Docker engine did not take `{reference}`: {}",
            contract::shown(&reason(error))
        ))
        .help("`docker info` and `docker system df` tell how the engine is")
    };
    let there = engine.inspect_image(&reference).await;
    let known = there.is_ok_and(|found| found.id.as_deref() == Some(image.id().as_str()));
    if known {
        let options = TagImageOptionsBuilder::default()
            .repo(latest.trim_end_matches(":latest"))
            .tag("latest")
            .build();
        engine
            .tag_image(&reference, Some(options))
            .await
            .map_err(|error| failed(&error))?;
        say(format!("the Docker engine has `{reference}` already"));
        return Ok(reference);
    }
    let archive = image.archive().map_err(|error| super::unwritten(&error))?;
    let options = ImportImageOptionsBuilder::default().quiet(true).build();
    engine
        .import_image(options, body_full(archive.into()), None)
        .try_collect::<Vec<_>>()
        .await
        .map_err(|error| failed(&error))?;
    say(format!("loaded `{reference}` into the Docker engine"));
    Ok(reference)
}
