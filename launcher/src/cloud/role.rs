//! Execution role, given as a name or an ARN.

use aws_smithy_types::error::metadata::ProvideErrorMetadata as _;
use diagnostics::{Error, Result, eprint_line, sanitize};

use crate::aws::iam::{NotARole, parse_role};
use crate::aws::{Aws, explain};

/// Checks the form of the given role.
pub(super) fn check(role: Option<&str>) -> Result<&str> {
    let Some(given) = role else {
        return Err(Error::usage("no execution role")
            .help("pass `--role NAME-OR-ARN` or set AWS_SAGEMAKER_ROLE")
            .help("create one with `trainyard infra terraform`, check it with `trainyard doctor --role NAME`"));
    };
    match parse_role(given) {
        Ok(_) => Ok(given),
        Err(NotARole::Session(role)) => Err(no_role(given, "is a session of a role, not the role")
            .help(format!("did you mean `--role {}`?", sanitize(role)))),
        Err(NotARole::Arn) => Err(no_role(given, "is not the ARN of a role")),
        Err(NotARole::Name) => Err(no_role(given, "is not the name of a role")),
    }
}

/// Returns the ARN of a role checked by [`check`]. A name has neither account nor path: requests
/// both from IAM, or the account from STS if IAM denies access.
pub(super) async fn resolve(aws: &Aws, given: &str) -> Result<String> {
    let Ok(role) = parse_role(given) else {
        return Err(no_role(given, "is not a role"));
    };
    if role.is_arn {
        return Ok(given.to_owned());
    }
    if role.path.is_empty() {
        eprint_line(format!("role `{given}`: looking up its ARN in IAM"));
        match aws.role(role.name).await {
            Ok(role) => return Ok(role.arn),
            Err(error) if error.code() == Some("NoSuchEntity") => {
                return Err(Error::new(format!("this account has no role `{given}`"))
                    .help("check the name and `--profile`, or create one with `trainyard infra terraform`"));
            }
            // Many users may pass a role that they may not read.
            Err(error) => eprint_line(format!(
                "warning: {}\n  help: assuming that it has no path; pass `--role ARN` if it has one",
                explain(&format!("cannot read the role `{given}`"), error)
                    .into_parts()
                    .0
            )),
        }
    }
    eprint_line(format!("role `{given}`: looking up the account in STS"));
    let caller = aws.sts().get_caller_identity().send().await;
    let caller = caller.map_err(|error| explain("cannot look up the account", error))?;
    let account = caller.account().unwrap_or_default();
    let partition = caller
        .arn()
        .and_then(|arn| arn.split(':').nth(1))
        .unwrap_or("aws");
    let arn = format!("arn:{partition}:iam::{account}:role/{given}");
    match parse_role(&arn) {
        Ok(_) => Ok(arn),
        Err(_) => Err(Error::new(format!(
            "the response of STS has no account: found `{}`",
            sanitize(account)
        ))
        .help("pass `--role ARN`")),
    }
}

fn no_role(given: &str, why: &str) -> Error {
    Error::usage(format!("`--role {}` {why}", sanitize(given))).help(
        "expected a role's name, or `arn:aws:iam::ACCOUNT:role/NAME`; also from AWS_SAGEMAKER_ROLE",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_names_and_arns_of_roles() {
        for good in [
            "trainer",
            "service-role/trainer",
            "arn:aws:iam::123456789012:role/sagemaker",
            "arn:aws-cn:iam::123456789012:role/service-role/Amazon+x",
        ] {
            assert!(check(Some(good)).is_ok(), "{good}");
        }
        for bad in ["", "a b", "arn:aws:iam::123456789012:user/ann"] {
            assert!(check(Some(bad)).is_err(), "{bad}");
        }
        let session = "arn:aws:sts::123456789012:assumed-role/trainer/ann";
        let text = check(Some(session)).expect_err("a session").to_string();
        assert!(text.contains("did you mean `--role trainer`?"), "{text}");
    }
}
