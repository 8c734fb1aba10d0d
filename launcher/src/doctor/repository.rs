//! Check of the ECR repository.

use aws_sdk_ecr::types::{ImageDetail, ImageIdentifier};
use jiff::{SignedDuration, Timestamp};

use super::aws_setup::AwsSetup;
use super::check::{Check, code, with_timeout};
use crate::aws::Aws;
use crate::util::megabytes;

const NAME: &str = "repository";

/// Checks the ECR repository of the trainer and its image `latest`.
pub(super) async fn check(setup: &AwsSetup, trainer: Option<&str>) -> Check {
    let Some(trainer) = trainer else {
        return Check::skipped(NAME, "no trainer given").help("`trainyard doctor svm`");
    };
    let aws = match setup.regional(NAME) {
        Ok(aws) => aws,
        Err(skipped) => return skipped,
    };
    with_timeout(NAME, "ECR", latest(aws, trainer)).await
}

async fn latest(aws: &Aws, trainer: &str) -> Check {
    let repository = image::repository(trainer);
    let shown = diagnostics::sanitize(&repository).into_owned();
    let tag = ImageIdentifier::builder().image_tag("latest").build();
    let request = aws
        .ecr()
        .describe_images()
        .repository_name(&repository)
        .image_ids(tag);
    match request.send().await {
        Ok(response) => match response.image_details().first() {
            Some(image) => Check::ok(NAME, format!("`{shown}:latest`{}", age_and_size(image))),
            None => empty(aws, &shown, trainer),
        },
        Err(error) => match code(&error) {
            Some("RepositoryNotFoundException") => Check::warning(
                NAME,
                format!("there is no repository `{shown}` in `{}`", aws.region()),
            )
            .help(aws.suggest(&format!("push {trainer} --create-repository"))),
            Some("ImageNotFoundException") => empty(aws, &shown, trainer),
            Some("AccessDeniedException") => Check::warning(
                NAME,
                format!("no permission to read `{shown}` (ecr:DescribeImages)"),
            )
            .help("`trainyard infra policies` prints the policy that you need"),
            _ => Check::refused(NAME, &format!("read the repository `{shown}`"), error),
        },
    }
}

fn empty(aws: &Aws, repository: &str, trainer: &str) -> Check {
    Check::warning(NAME, format!("`{repository}` has no image `latest`")).help(format!(
        "`trainyard build {trainer}`, then {}",
        aws.suggest(&format!("push {trainer}"))
    ))
}

/// Formats `, 12.3 MB, pushed 3 days ago`, as far as known.
fn age_and_size(image: &ImageDetail) -> String {
    let mut text = String::new();
    if let Some(bytes) = image.image_size_in_bytes() {
        let bytes = u64::try_from(bytes).unwrap_or_default();
        text.push_str(&format!(", {}", megabytes(bytes)));
    }
    let pushed = image
        .image_pushed_at()
        .and_then(|time| Timestamp::from_second(time.secs()).ok());
    if let Some(pushed) = pushed {
        text.push_str(&format!(
            ", pushed {} ago",
            age(Timestamp::now().duration_since(pushed))
        ));
    }
    text
}

fn age(age: SignedDuration) -> String {
    match (age.as_hours() / 24, age.as_hours(), age.as_mins()) {
        (days @ 2.., _, _) => format!("{days} days"),
        (_, hours @ 2.., _) => format!("{hours} hours"),
        (_, _, minutes) => format!("{} minutes", minutes.max(0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_ages() {
        for (seconds, text) in [
            (-5, "0 minutes"),
            (60, "1 minutes"),
            (7100, "118 minutes"),
            (7200, "2 hours"),
            (172_799, "47 hours"),
            (172_800, "2 days"),
        ] {
            assert_eq!(age(SignedDuration::from_secs(seconds)), text);
        }
    }
}
