//! `trainyard doctor`: everything that a first job needs, looked at side by side, nothing changed.

mod account;
mod bucket;
mod check;
mod clock;
mod machine;
mod repository;
mod role;
mod toolchain;
mod trust;

use std::path::PathBuf;

pub(crate) use account::Account;
pub(crate) use check::Report;

use crate::job::S3Url;

/// What to look at. What is not named is skipped, aloud.
#[derive(Debug)]
pub(crate) struct Wanted {
    pub(crate) trainer: Option<String>,
    /// The workspace's folder, for its toolchain file.
    pub(crate) workspace: Option<PathBuf>,
    pub(crate) role: Option<String>,
    /// The bucket, and the folder in it that jobs write to.
    pub(crate) output: Option<S3Url>,
}

/// Runs all checks. Each has its own time limit, so this ends, whatever does not answer.
pub(crate) async fn examine(wanted: &Wanted, account: impl Future<Output = Account>) -> Report {
    let cloud = async {
        let mut account = account.await;
        let mut checks = std::mem::take(&mut account.checks);
        let (identity, clock, role, bucket, repository) = tokio::join!(
            account::identity(&account),
            clock::check(&account),
            role::check(&account, wanted.role.as_deref()),
            bucket::check(&account, wanted.output.as_ref()),
            repository::check(&account, wanted.trainer.as_deref()),
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
