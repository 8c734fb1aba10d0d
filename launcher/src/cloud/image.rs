//! Resolves the image of a trainer in ECR to its digest: a tag may move while the job is pending.

use aws_sdk_ecr::error::ProvideErrorMetadata as _;
use aws_sdk_ecr::types::ImageIdentifier;

use crate::aws::{Aws, Partition, explain};
use crate::job::Job;
use diagnostics::{Error, Result, eprint_line};
use image::repository;

const TAG: &str = "latest";

/// Returns the given image, or `trainyard/TRAINER` that `push` made.
pub(super) async fn resolve(aws: &Aws, job: &Job) -> Result<String> {
    if let Some(image) = &job.image {
        return Ok(image.clone());
    }
    let trainer = &job.trainer.name;
    let repository = repository(trainer);
    eprint_line(format!(
        "image `{repository}:{TAG}`: looking up its digest in ECR"
    ));
    let response = aws
        .ecr()
        .describe_images()
        .repository_name(&repository)
        .image_ids(ImageIdentifier::builder().image_tag(TAG).build())
        .send()
        .await;
    let missing = |what: &str| {
        Error::new(format!("{what} in region `{}`", aws.region()))
            .help(format!(
                "push it: {}",
                aws.suggest(&format!("push {trainer} --create-repository"))
            ))
            .help("or pass `--image URI`, or another `--region`")
    };
    let response = match response {
        Ok(response) => response,
        Err(error) => {
            let what = format!("cannot find the image `{repository}`");
            return Err(match error.code() {
                Some("RepositoryNotFoundException") => {
                    missing(&format!("no ECR repository `{repository}`"))
                }
                Some("ImageNotFoundException") => {
                    missing(&format!("no image `{repository}:{TAG}`"))
                }
                _ => explain(&what, error),
            });
        }
    };
    let details = response.image_details().first();
    let found = details.and_then(|image| Some((image.registry_id()?, image.image_digest()?)));
    let (account, digest) =
        found.ok_or_else(|| missing(&format!("no image `{repository}:{TAG}`")))?;
    let region = aws.region();
    let suffix = Partition::of(region).suffix;
    Ok(format!(
        "{account}.dkr.ecr.{region}.{suffix}/{repository}@{digest}"
    ))
}
