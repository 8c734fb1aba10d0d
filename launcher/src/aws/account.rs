//! Account of the credentials, and accounts in ARNs.

use std::time::Duration;

use super::Aws;

/// Time limit of a lookup that only improves messages.
const ACCOUNT_TIMEOUT: Duration = Duration::from_secs(3);

impl Aws {
    /// Returns the account of the credentials, or None if STS does not respond in time. Needs no
    /// permission.
    pub(crate) async fn account(&self) -> Option<String> {
        let request = self.sts().get_caller_identity().send();
        let response = tokio::time::timeout(ACCOUNT_TIMEOUT, request).await.ok()?;
        response.ok()?.account().map(str::to_owned)
    }

    /// Returns the account of an ARN and that of the credentials, if both are known and differ.
    pub(crate) async fn cross_account(&self, arn: &str) -> Option<(String, String)> {
        let theirs = arn_account(arn)?;
        let own = self.account().await?;
        (theirs != own).then(|| (theirs.to_owned(), own))
    }
}

/// Returns the account in `arn:PARTITION:SERVICE:REGION:ACCOUNT:RESOURCE`.
fn arn_account(arn: &str) -> Option<&str> {
    let mut parts = arn.split(':');
    let is_arn = parts.next() == Some("arn");
    let account = parts.nth(3)?;
    (is_arn && account.len() == 12 && account.bytes().all(|b| b.is_ascii_digit()))
        .then_some(account)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_accounts_of_arns() {
        for (arn, account) in [
            ("arn:aws:iam::123456789012:role/x", Some("123456789012")),
            (
                "arn:aws-cn:sagemaker:cn-north-1:210987654321:training-job/x",
                Some("210987654321"),
            ),
            ("arn:aws:s3:::bucket", None),
            ("trainer", None),
            ("arn:aws:iam", None),
        ] {
            assert_eq!(arn_account(arn), account, "{arn}");
        }
    }
}
