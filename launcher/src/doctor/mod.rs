//! `trainyard doctor`: everything that a first job needs, looked at side by side, nothing changed.

mod aws_setup;
mod bucket;
mod check;
mod clock;
mod machine;
mod repository;
mod role;
mod toolchain;
mod trust;

use std::path::PathBuf;

pub(crate) use aws_setup::AwsSetup;
pub(crate) use check::Report;

use crate::job::S3Url;

/// What to look at. What is not named is skipped, aloud.
#[derive(Debug)]
pub(crate) struct DoctorOptions {
    pub(crate) trainer: Option<String>,
    /// The workspace's folder, for its toolchain file.
    pub(crate) workspace: Option<PathBuf>,
    pub(crate) role: Option<String>,
    /// The bucket, and the folder in it that jobs write to.
    pub(crate) output: Option<S3Url>,
}

/// Runs all checks. Each has its own time limit, so this ends, whatever does not answer.
pub(crate) async fn examine(
    wanted: &DoctorOptions,
    setup: impl Future<Output = AwsSetup>,
) -> Report {
    let cloud = async {
        let mut setup = setup.await;
        let mut checks = std::mem::take(&mut setup.checks);
        let (identity, clock, role, bucket, repository) = tokio::join!(
            aws_setup::identity(&setup),
            clock::check(&setup),
            role::check(&setup, wanted.role.as_deref()),
            bucket::check(&setup, wanted.output.as_ref()),
            repository::check(&setup, wanted.trainer.as_deref()),
        );
        checks.extend([identity, clock, role, bucket, repository]);
        checks
    };
    let (mut checks, docker, toolchain, trainer) = tokio::join!(
        cloud,
        machine::docker(),
        toolchain::checks(wanted.workspace.as_deref()),
        machine::trainer(wanted.trainer.as_deref()),
    );
    checks.extend(docker);
    checks.extend(machine::folders());
    checks.extend(toolchain);
    checks.push(trainer);
    Report::new(checks)
}
