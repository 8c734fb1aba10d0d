//! Validates names for policies and Terraform: a wildcard would grant access to the whole account.

pub(crate) use crate::aws::Partition;
use diagnostics::{Error, Result};

fn is_word(text: &str, also: &[u8]) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || also.contains(&b))
}

/// Checks that an account has twelve digits.
pub(crate) fn check_account(text: &str) -> Result<()> {
    if text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit()) {
        return Ok(());
    }
    Err(Error::usage(format!(
        "`--account {}` is not an account ID",
        diagnostics::sanitize(text)
    ))
    .help("expected 12 digits; `trainyard doctor` shows the account of your credentials"))
}

/// Checks a region such as `eu-west-1`.
pub(crate) fn check_region(text: &str) -> Result<()> {
    if is_word(text, b"-") && text.split('-').count() >= 3 {
        return Ok(());
    }
    Err(
        Error::usage(format!("`{}` is not a region", diagnostics::sanitize(text)))
            .help("expected one such as `eu-west-1`"),
    )
}

/// Checks the name of a trainer, the last part of the name of an ECR repository.
pub(crate) fn check_trainer(text: &str) -> Result<()> {
    let is_valid = is_word(text, b"-_.")
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.ends_with(|c: char| c.is_ascii_alphanumeric());
    if is_valid {
        return Ok(());
    }
    Err(Error::usage(format!(
        "`{}` is not a trainer name",
        diagnostics::sanitize(text)
    ))
    .help("expected a name such as `svm`: `a-z0-9`, and `-_.` inside"))
}

/// Checks an id such as `vpc-0abc`, or the id of a key in an ARN.
pub(crate) fn check_id(flag: &str, prefix: &str, text: &str) -> Result<()> {
    let is_valid = text
        .strip_prefix(prefix)
        .is_some_and(|rest| is_word(rest, b"-"));
    if is_valid {
        return Ok(());
    }
    Err(
        Error::usage(format!("`{flag} {}`", diagnostics::sanitize(text))).help(format!(
            "expected `{prefix}` and an id of characters `a-z0-9-`"
        )),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_wildcards_and_invalid_names() {
        assert!(check_account("123456789012").is_ok());
        for bad in ["", "12345678901", "12345678901x", "*", "1234567890123"] {
            assert!(check_account(bad).is_err(), "{bad}");
        }
        for (region, name) in [
            ("eu-west-1", "aws"),
            ("cn-north-1", "aws-cn"),
            ("us-gov-east-1", "aws-us-gov"),
        ] {
            assert!(check_region(region).is_ok());
            assert_eq!(Partition::of(region).name, name);
        }
        for bad in ["", "*", "eu", "eu-*-1", "EU-west-1", "eu-west-1\n"] {
            assert!(check_region(bad).is_err(), "{bad}");
        }
        for good in ["svm", "bi-lstm", "a_b.c2"] {
            assert!(check_trainer(good).is_ok(), "{good}");
        }
        for bad in ["", "*", "svm/*", "-svm", "svm-", "${x}", "a\"b"] {
            assert!(check_trainer(bad).is_err(), "{bad}");
        }
        assert!(check_id("--vpc", "vpc-", "vpc-0abc12").is_ok());
        for bad in ["vpc-", "vpc-*", "subnet-1", ""] {
            assert!(check_id("--vpc", "vpc-", bad).is_err(), "{bad}");
        }
    }
}
