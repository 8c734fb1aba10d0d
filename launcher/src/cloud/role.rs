//! The execution role: a name or an ARN.

use contract::shown;

use crate::aws::{Aws, explain};
use crate::failure::{Failure, Result};
use crate::say::say;

/// The role's ARN; a name becomes one with the account of the credentials.
pub(super) async fn resolve(aws: &Aws, typed: Option<&str>) -> Result<String> {
    let Some(typed) = typed else {
        return Err(Failure::usage("no execution role")
            .help("pass `--role NAME-OR-ARN` or set AWS_SAGEMAKER_ROLE")
            .help("`trainyard infra` makes one, `trainyard doctor` checks it"));
    };
    if typed.starts_with("arn:") {
        check_arn(typed)?;
        return Ok(typed.to_owned());
    }
    check_name(typed)?;
    say(format!("role `{typed}`: asking STS for the account"));
    let caller = aws.sts().get_caller_identity().send().await;
    let caller = caller.map_err(|error| explain("cannot find out the account", error))?;
    let account = caller.account().unwrap_or_default();
    let partition = caller
        .arn()
        .and_then(|arn| arn.split(':').nth(1))
        .unwrap_or("aws");
    let arn = format!("arn:{partition}:iam::{account}:role/{typed}");
    check_arn(&arn)?;
    Ok(arn)
}

/// `arn:aws:iam::123456789012:role/path/name`
fn check_arn(arn: &str) -> Result<()> {
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    let [_, partition, service, _, account, resource] = parts[..] else {
        return Err(no_role(arn, "is no ARN"));
    };
    if service == "sts" && resource.starts_with("assumed-role/") {
        let role = resource.split('/').nth(1).unwrap_or("NAME");
        return Err(no_role(arn, "is a session of a role, not the role")
            .help(format!("did you mean `--role {}`?", shown(role))));
    }
    let name = resource.strip_prefix("role/").unwrap_or_default();
    let account_sound = account.len() == 12 && account.bytes().all(|b| b.is_ascii_digit());
    if partition.starts_with("aws") && service == "iam" && account_sound && is_name(name) {
        return Ok(());
    }
    Err(no_role(arn, "is not the ARN of a role"))
}

fn check_name(name: &str) -> Result<()> {
    if is_name(name) {
        return Ok(());
    }
    Err(no_role(name, "is not the name of a role"))
}

/// Names, with the path in front where there is one.
fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 576
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"_+=,.@-/".contains(&b))
}

fn no_role(typed: &str, why: &str) -> Failure {
    Failure::usage(format!("`--role {}` {why}", shown(typed))).help(
        "expected a role's name, or `arn:aws:iam::ACCOUNT:role/NAME`; also from AWS_SAGEMAKER_ROLE",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arns() {
        for good in [
            "arn:aws:iam::123456789012:role/sagemaker",
            "arn:aws-cn:iam::123456789012:role/service-role/Amazon+x",
        ] {
            assert!(check_arn(good).is_ok(), "{good}");
        }
        for bad in [
            "arn:aws:iam::123456789012:user/ann",
            "arn:aws:iam::1234:role/x",
            "arn:aws:iam::123456789012:role/",
            "arn:aws:iam",
            "arn:aws:s3:::bucket",
            "arn:aws:iam::123456789012:role/ä",
        ] {
            assert!(check_arn(bad).is_err(), "{bad}");
        }
        let session = "arn:aws:sts::123456789012:assumed-role/trainer/ann";
        let text = check_arn(session).expect_err("a session").to_string();
        assert!(text.contains("did you mean `--role trainer`?"), "{text}");
    }
}
