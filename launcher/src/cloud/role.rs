//! The execution role: a name or an ARN.

use aws_smithy_types::error::metadata::ProvideErrorMetadata as _;
use diagnostics::{Error, Result, eprint_line, sanitize};

use crate::aws::iam::{NoRole, parse_role};
use crate::aws::{Aws, explain};

/// The role as it was typed, once it is sure that it names one.
pub(super) fn typed(role: Option<&str>) -> Result<&str> {
    let Some(typed) = role else {
        return Err(Error::usage("no execution role")
            .help("pass `--role NAME-OR-ARN` or set AWS_SAGEMAKER_ROLE")
            .help("`trainyard infra terraform --help` tells how to make one, `trainyard doctor --role NAME` checks it"));
    };
    match parse_role(typed) {
        Ok(_) => Ok(typed),
        Err(NoRole::Session(role)) => Err(no_role(typed, "is a session of a role, not the role")
            .help(format!("did you mean `--role {}`?", sanitize(role)))),
        Err(NoRole::Arn) => Err(no_role(typed, "is not the ARN of a role")),
        Err(NoRole::Name) => Err(no_role(typed, "is not the name of a role")),
    }
}

/// The ARN of a role that [`typed`] has checked. A name alone says neither account nor path: IAM is asked for both,
/// and STS for the account where IAM may not be asked.
pub(super) async fn resolve(aws: &Aws, typed: &str) -> Result<String> {
    let Ok(role) = parse_role(typed) else {
        return Err(no_role(typed, "is no role"));
    };
    if role.is_arn {
        return Ok(typed.to_owned());
    }
    if role.path.is_empty() {
        eprint_line(format!("role `{typed}`: asking IAM for its ARN"));
        match aws.role(role.name).await {
            Ok(role) => return Ok(role.arn),
            Err(error) if error.code() == Some("NoSuchEntity") => {
                return Err(Error::new(format!("this account has no role `{typed}`"))
                    .help("check the name and `--profile`; `trainyard infra terraform --help` tells how to make one"));
            }
            // Many may pass a role that they may not read.
            Err(error) => eprint_line(format!(
                "{}\n  help: it is taken for one without a path; pass `--role ARN` if it has one",
                explain(&format!("cannot read the role `{typed}`"), error)
                    .into_parts()
                    .0
            )),
        }
    }
    eprint_line(format!("role `{typed}`: asking STS for the account"));
    let caller = aws.sts().get_caller_identity().send().await;
    let caller = caller.map_err(|error| explain("cannot find out the account", error))?;
    let account = caller.account().unwrap_or_default();
    let partition = caller
        .arn()
        .and_then(|arn| arn.split(':').nth(1))
        .unwrap_or("aws");
    let arn = format!("arn:{partition}:iam::{account}:role/{typed}");
    match parse_role(&arn) {
        Ok(_) => Ok(arn),
        Err(_) => Err(Error::new(format!(
            "STS names no account: found `{}`",
            sanitize(account)
        ))
        .help("pass `--role ARN`")),
    }
}

fn no_role(typed: &str, why: &str) -> Error {
    Error::usage(format!("`--role {}` {why}", sanitize(typed))).help(
        "expected a role's name, or `arn:aws:iam::ACCOUNT:role/NAME`; also from AWS_SAGEMAKER_ROLE",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_typed() {
        for good in [
            "trainer",
            "service-role/trainer",
            "arn:aws:iam::123456789012:role/sagemaker",
            "arn:aws-cn:iam::123456789012:role/service-role/Amazon+x",
        ] {
            assert!(typed(Some(good)).is_ok(), "{good}");
        }
        for bad in ["", "a b", "arn:aws:iam::123456789012:user/ann"] {
            assert!(typed(Some(bad)).is_err(), "{bad}");
        }
        let session = "arn:aws:sts::123456789012:assumed-role/trainer/ann";
        let text = typed(Some(session)).expect_err("a session").to_string();
        assert!(text.contains("did you mean `--role trainer`?"), "{text}");
    }
}
