//! Check of the clock: AWS rejects signatures that are more than five minutes off.

use std::error::Error;

use aws_smithy_runtime_api::client::http::HttpConnector as _;
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use jiff::Timestamp;
use jiff::fmt::rfc2822;

use super::aws_setup::{AwsSetup, without_password};
use super::check::{Check, with_timeout};
use crate::aws::{Aws, Partition};
use diagnostics::chain;

const NAME: &str = "clock";
const HELP: &str = "set the clock: `sudo timedatectl set-ntp true`";

pub(super) async fn check(setup: &AwsSetup) -> Check {
    let Some(aws) = setup.aws() else {
        return Check::skipped(NAME, "the AWS configuration cannot be read");
    };
    let url = match aws.endpoint_url() {
        Some(url) => url.to_owned(),
        None => {
            let suffix = Partition::of(aws.region()).suffix;
            format!("https://sts.{}.{suffix}/", aws.region())
        }
    };
    with_timeout(NAME, "AWS", async {
        match date(aws, &url).await {
            Ok(theirs) => check_skew(Timestamp::now().duration_since(theirs).as_secs()),
            Err(error) => Check::problem(NAME, format!("no response from `{}`: {}", diagnostics::sanitize(without_password(&url)), diagnostics::sanitize(&error)))
                .help("check the network, its proxy, and the name of the region, then run `trainyard doctor` again"),
        }
    })
    .await
}

/// Returns the Date header of a response; needs no credentials.
async fn date(aws: &Aws, url: &str) -> Result<Timestamp, String> {
    let request = HttpRequest::get(url).map_err(|error| chain(&error))?;
    let connector = aws.http_connector().map_err(|error| error.into_parts().0)?;
    let response = connector
        .call(request)
        .await
        // Leaves out the origin, which the caller adds.
        .map_err(|error| match error.source().and_then(Error::source) {
            Some(cause) => chain(cause),
            None => chain(&error),
        })?;
    let text = response
        .headers()
        .get("date")
        .ok_or("its response has no date")?;
    rfc2822::DateTimeParser::new()
        .parse_timestamp(text)
        .map_err(|error| error.to_string())
}

/// Checks the clock; `ahead`: seconds by which this machine is ahead.
fn check_skew(ahead: i64) -> Check {
    let off = ahead.unsigned_abs();
    let side = if ahead < 0 { "behind" } else { "ahead of" };
    match off {
        // The header has whole seconds, and the response takes time.
        0..=5 => Check::ok(NAME, "agrees with AWS"),
        6..=60 => Check::ok(NAME, format!("{off} s {side} AWS")),
        61..=240 => Check::warning(NAME, format!("{off} s {side} AWS")).help(HELP),
        _ => Check::problem(NAME, format!("{off} s {side} AWS, which allows 300 s")).help(HELP),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn state_depends_on_clock_skew() {
        for (ahead, state, found) in [
            (0, "\"ok\"", "agrees with AWS"),
            (-30, "\"ok\"", "30 s behind AWS"),
            (61, "\"warning\"", "61 s ahead of AWS"),
            (
                -3600,
                "\"problem\"",
                "3600 s behind AWS, which allows 300 s",
            ),
            (
                i64::MIN,
                "\"problem\"",
                "9223372036854775808 s behind AWS, which allows 300 s",
            ),
        ] {
            let json = serde_json::to_value(check_skew(ahead)).expect("JSON");
            assert_eq!(json["state"].to_string(), state);
            assert_eq!(json["found"], found);
        }
    }
}
