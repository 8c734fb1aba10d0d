//! Check of the execution role.

use super::aws_setup::AwsSetup;
use super::check::{Check, code, with_timeout};
use super::trust::{self, Trust};
use crate::aws::iam::{Role, role_name};

const NAME: &str = "role";
const SERVICE: &str = "sagemaker.amazonaws.com";
const CREATE_HELP: &str = "`trainyard infra terraform --bucket BUCKET --account ACCOUNT --output DIR` writes Terraform with a role";

/// Checks that the execution role exists and that SageMaker may assume it.
pub(super) async fn check(setup: &AwsSetup, role: Option<&str>) -> Check {
    let Some(given) = role else {
        return Check::skipped(NAME, "no role given")
            .help("pass `--role NAME` or set AWS_SAGEMAKER_ROLE");
    };
    let shown = diagnostics::sanitize(given).into_owned();
    let Some(name) = role_name(given) else {
        return Check::problem(NAME, format!("`{shown}` is not a role")).help(
            "expected a role's name, or its ARN such as `arn:aws:iam::123456789012:role/NAME`",
        );
    };
    let aws = match setup.clients(NAME) {
        Ok(aws) => aws,
        Err(skipped) => return skipped,
    };
    with_timeout(NAME, "IAM", async {
        match aws.role(name).await {
            Ok(role) => check_role(given, &role),
            Err(error) if code(&error) == Some("NoSuchEntity") => {
                Check::problem(NAME, format!("this account has no role `{shown}`"))
                    .help(CREATE_HELP)
            }
            // Many users may pass a role that they may not read: the job can still run.
            Err(error)
                if matches!(
                    code(&error),
                    Some("AccessDenied" | "AccessDeniedException" | "HTTP 403")
                ) =>
            {
                Check::warning(
                    NAME,
                    format!("not checked: no permission to read `{shown}` (iam:GetRole)"),
                )
                .help("`trainyard infra policies` prints the policy that you need")
            }
            Err(error) => Check::refused(NAME, &format!("read the role `{shown}`"), error),
        }
    })
    .await
}

fn check_role(given: &str, role: &Role) -> Check {
    let arn = diagnostics::sanitize(&role.arn).into_owned();
    if given.starts_with("arn:") && given != role.arn {
        return Check::problem(
            NAME,
            format!(
                "`{}` is not in this account, `{arn}` is",
                diagnostics::sanitize(given)
            ),
        )
        .help(format!(
            "pass `--role {arn}`, or credentials of the other account"
        ));
    }
    let found = match trust::of(&role.trust, SERVICE) {
        Trust::Yes => return Check::ok(NAME, format!("`{arn}`; SageMaker may assume it")),
        Trust::Conditional => {
            let how = "SageMaker may assume it under the conditions of its trust policy";
            return Check::ok(NAME, format!("`{arn}`; {how}"));
        }
        Trust::Anyone => Check::warning(NAME, format!("`{arn}`: anyone may assume it")),
        Trust::Denied => {
            Check::problem(NAME, format!("`{arn}`: its trust policy denies SageMaker"))
        }
        Trust::No => Check::problem(NAME, format!("`{arn}`: SageMaker may not assume it")),
    };
    found.help(format!(
        "let the service `{SERVICE}` assume it: `trainyard infra policies` prints the trust policy"
    ))
}
