//! The account behind the credentials, and those that ARNs name.

use std::time::Duration;

use super::Aws;

/// What is said by it is said early, and no reason to wait.
const ACCOUNT_TIMEOUT: Duration = Duration::from_secs(3);

impl Aws {
    /// The account of the credentials, if STS says it soon. Everybody may ask.
    pub(crate) async fn account(&self) -> Option<String> {
        let asked = self.sts().get_caller_identity().send();
        let answer = tokio::time::timeout(ACCOUNT_TIMEOUT, asked).await.ok()?;
        answer.ok()?.account().map(str::to_owned)
    }

    /// The account of an ARN and that of the credentials, if they are known and differ.
    pub(crate) async fn cross_account(&self, arn: &str) -> Option<(String, String)> {
        let theirs = arn_account(arn)?;
        let ours = self.account().await?;
        (theirs != ours).then(|| (theirs.to_owned(), ours))
    }
}

/// The account in `arn:PARTITION:SERVICE:REGION:ACCOUNT:RESOURCE`.
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
    fn accounts_of_arns() {
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
