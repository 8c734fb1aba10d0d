//! Checks and the report.

use std::fmt::Write as _;
use std::time::Duration;

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use serde::Serialize;

use crate::aws::explain;
use diagnostics::{Error, counted};

/// Time limit of each check.
pub(super) const CHECK_TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum CheckState {
    Ok,
    Warning,
    Problem,
    Skipped,
}

/// Result of a check.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Check {
    name: &'static str,
    state: CheckState,
    /// Description of the finding.
    found: String,
    /// Suggested fix; null if there is nothing to fix.
    help: Option<String>,
}

impl Check {
    fn new(name: &'static str, state: CheckState, found: impl Into<String>) -> Self {
        Self {
            name,
            state,
            found: found.into(),
            help: None,
        }
    }

    pub(super) fn ok(name: &'static str, found: impl Into<String>) -> Self {
        Self::new(name, CheckState::Ok, found)
    }

    pub(super) fn warning(name: &'static str, found: impl Into<String>) -> Self {
        Self::new(name, CheckState::Warning, found)
    }

    pub(super) fn problem(name: &'static str, found: impl Into<String>) -> Self {
        Self::new(name, CheckState::Problem, found)
    }

    pub(super) fn skipped(name: &'static str, found: impl Into<String>) -> Self {
        Self::new(name, CheckState::Skipped, found)
    }

    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Adds the help lines of an error.
    pub(super) fn helps(self, help: &[String]) -> Self {
        match help {
            [] => self,
            help => self.help(help.join("; ")),
        }
    }

    pub(super) fn from_error(name: &'static str, error: Error) -> Self {
        let (message, help) = error.into_parts();
        let check = Self::problem(name, message);
        // Leaves out the advice to run `trainyard doctor`.
        let help: Vec<_> = help
            .into_iter()
            .filter(|line| !line.contains("trainyard doctor"))
            .collect();
        check.helps(&help)
    }

    /// Problem for an error of AWS. Invalid credentials are reported once, by `credentials`.
    pub(super) fn refused<E>(
        name: &'static str,
        what: &str,
        error: SdkError<E, HttpResponse>,
    ) -> Self
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        if name != "credentials" && code(&error).is_some_and(is_about_credentials) {
            return Self::skipped(name, "AWS rejects the credentials, see `credentials`");
        }
        Self::from_error(name, explain(&format!("cannot {what}"), error))
    }
}

/// Returns the error code of a response.
pub(super) fn code<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> Option<&str> {
    error.as_service_error()?.code()
}

fn is_about_credentials(code: &str) -> bool {
    matches!(
        code,
        "ExpiredToken"
            | "ExpiredTokenException"
            | "RequestExpired"
            | "InvalidClientTokenId"
            | "UnrecognizedClientException"
            | "InvalidAccessKeyId"
            | "SignatureDoesNotMatch"
            | "InvalidSignatureException"
            | "InvalidToken"
            | "AuthFailure"
    )
}

/// Runs a check; a problem after the time limit.
pub(super) async fn with_timeout(
    name: &'static str,
    service: &str,
    check: impl Future<Output = Check>,
) -> Check {
    tokio::time::timeout(CHECK_TIMEOUT, check)
        .await
        .unwrap_or_else(|_| {
            Check::problem(
                name,
                format!(
                    "{service} did not respond within {} s",
                    CHECK_TIMEOUT.as_secs()
                ),
            )
            .help("check the network and its proxy, then run `trainyard doctor` again")
        })
}

/// All checks, in the order in which to fix them.
#[derive(Debug, Serialize)]
pub(crate) struct DoctorReport {
    checks: Vec<Check>,
    /// True if there is no problem.
    pub(crate) ok: bool,
}

impl DoctorReport {
    pub(super) fn new(checks: Vec<Check>) -> Self {
        let ok = checks
            .iter()
            .all(|check| check.state != CheckState::Problem);
        Self { checks, ok }
    }

    /// Formats one line per check with its help, and a summary.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        for check in &self.checks {
            // Writing to a String cannot fail.
            let state = format!("{:?}", check.state).to_lowercase();
            let _ = writeln!(text, "{state:<8} {:<12} {}", check.name, check.found);
            if let Some(help) = &check.help {
                let _ = writeln!(text, "{:<21} help: {help}", "");
            }
        }
        let count = |state| {
            let checks = self.checks.iter();
            checks.filter(|check| check.state == state).count() as u64
        };
        let _ = write!(
            text,
            "\n{} ok, {}, {}, {} skipped",
            count(CheckState::Ok),
            counted(count(CheckState::Warning), "warning"),
            counted(count(CheckState::Problem), "problem"),
            count(CheckState::Skipped)
        );
        text
    }
}
