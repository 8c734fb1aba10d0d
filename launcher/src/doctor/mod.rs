//! `trainyard doctor`: checks everything that a first job needs, concurrently. Changes nothing.

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
pub(crate) use check::DoctorReport;

use crate::job::S3Url;

/// Subjects of the checks. Checks without a subject are reported as skipped.
#[derive(Debug)]
pub(crate) struct DoctorOptions {
    pub(crate) trainer: Option<String>,
    /// Folder of the workspace, for its toolchain file.
    pub(crate) workspace: Option<PathBuf>,
    pub(crate) role: Option<String>,
    /// Bucket and prefix that jobs write to.
    pub(crate) output: Option<S3Url>,
}

/// Runs all checks, each with its own time limit.
pub(crate) async fn run_checks(
    wanted: &DoctorOptions,
    setup: impl Future<Output = AwsSetup>,
) -> DoctorReport {
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
    DoctorReport::new(checks)
}
