//! IAM GetRole without aws-sdk-iam, which takes long to compile: one signed form and an XML
//! response.

use std::time::SystemTime;

use aws_sdk_s3::config::{Credentials, ProvideCredentials as _};
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use aws_smithy_runtime_api::client::http::HttpConnector as _;
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_runtime_api::http::Response;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::byte_stream::ByteStream;
use aws_smithy_types::error::ErrorMetadata;
use aws_smithy_xml::decode::{Document, ScopedDecoder, try_data};
use sagemaker::env_vars::Variable;
use serde_json::Value;

use super::{Aws, Partition};

const FORM: &str = "application/x-www-form-urlencoded; charset=utf-8";

/// Role in IAM.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Role {
    pub(crate) arn: String,
    /// Trust policy document.
    pub(crate) trust: Value,
}

type RoleResult<T> = Result<T, SdkError<ErrorMetadata, HttpResponse>>;

/// Environment variable of the execution role.
pub(crate) const ROLE: Variable = Variable {
    name: "AWS_SAGEMAKER_ROLE",
    meaning: "execution role of training jobs; `--role` takes precedence",
};

/// Role as given: `NAME`, `PATH/NAME` or `arn:aws:iam::ACCOUNT:role/PATH/NAME`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RoleText<'a> {
    /// True for an ARN: account and path are known.
    pub(crate) is_arn: bool,
    /// Path such as `team/`, or empty.
    pub(crate) path: &'a str,
    /// Name, as GetRole accepts it.
    pub(crate) name: &'a str,
}

/// Reason why a text is not a role.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotARole<'a> {
    /// A session of this role: `arn:aws:sts::ACCOUNT:assumed-role/NAME/SESSION`.
    Session(&'a str),
    /// ARN of something else, or an invalid one.
    Arn,
    /// Invalid name.
    Name,
}

/// Parses the name or ARN of a role.
pub(crate) fn parse_role(text: &str) -> Result<RoleText<'_>, NotARole<'_>> {
    let is_arn = text.starts_with("arn:");
    let (full, refused) = match is_arn {
        true => (arn_resource(text)?, NotARole::Arn),
        false => (text, NotARole::Name),
    };
    let at = full.rfind('/').map_or(0, |slash| slash + 1);
    let (path, name) = full.split_at(at);
    let is_valid = |text: &str| {
        text.bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"+=,.@_-/".contains(&b))
    };
    if (1..=64).contains(&name.len()) && path.len() <= 512 && is_valid(full) {
        Ok(RoleText { is_arn, path, name })
    } else {
        Err(refused)
    }
}

/// Returns `PATH/NAME` of the ARN of a role.
fn arn_resource(arn: &str) -> Result<&str, NotARole<'_>> {
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    let [_, partition, service, _, account, resource] = parts[..] else {
        return Err(NotARole::Arn);
    };
    if let ("sts", Some(session)) = (service, resource.strip_prefix("assumed-role/")) {
        return Err(NotARole::Session(
            session.split('/').next().unwrap_or("NAME"),
        ));
    }
    let is_account_id = account.len() == 12 && account.bytes().all(|b| b.is_ascii_digit());
    resource
        .strip_prefix("role/")
        .filter(|_| partition.starts_with("aws") && service == "iam" && is_account_id)
        .ok_or(NotARole::Arn)
}

/// Returns the name in `NAME` or in an ARN, as GetRole needs it. None for invalid names, so that
/// the request form needs no further escaping.
pub(crate) fn role_name(text: &str) -> Option<&str> {
    let role = parse_role(text).ok()?;
    (role.is_arn || role.path.is_empty()).then_some(role.name)
}

impl Aws {
    /// Sends GetRole. `name` comes from [`role_name`].
    pub(crate) async fn role(&self, name: &str) -> RoleResult<Role> {
        // Outside of the SDK, so with its own timeout.
        match tokio::time::timeout(self.response_timeout(), self.get_role(name)).await {
            Ok(response) => response,
            Err(late) => Err(SdkError::timeout_error(late)),
        }
    }

    async fn get_role(&self, name: &str) -> RoleResult<Role> {
        let request = self.role_request(name).await?;
        let connector = self
            .http_connector()
            .map_err(|error| SdkError::construction_failure(error.to_string()))?;
        let response = connector
            .call(request)
            .await
            .map_err(SdkError::dispatch_failure)?;
        let status = response.status();
        let body = ByteStream::new(response.into_body());
        let body = body.collect().await.map_err(SdkError::timeout_error)?;
        let text = String::from_utf8_lossy(&body.into_bytes()).into_owned();
        let raw = Response::new(status, SdkBody::empty());
        if !status.is_success() {
            return Err(SdkError::service_error(
                refusal(&text, status.as_u16()),
                raw,
            ));
        }
        read_role(&text).map_err(|error| SdkError::response_error(error, raw))
    }

    async fn role_request(&self, name: &str) -> RoleResult<HttpRequest> {
        let provider = self
            .config
            .credentials_provider()
            .ok_or_else(|| SdkError::construction_failure("no credentials"))?;
        let credentials = provider
            .provide_credentials()
            .await
            .map_err(SdkError::construction_failure)?;
        let (endpoint, region) = self.iam_endpoint();
        let body = format!("Action=GetRole&Version=2010-05-08&RoleName={}", form(name));
        signed(&endpoint, region, body, credentials, SystemTime::now())
            .map_err(SdkError::construction_failure)
    }

    /// Returns the IAM endpoint of the partition and the region of its signatures.
    fn iam_endpoint(&self) -> (String, &'static str) {
        let partition = Partition::of(self.region());
        let own = self.iam_url.as_deref().or(self.endpoint_url());
        let endpoint = own.map_or_else(
            || format!("https://{}", partition.iam_host()),
            str::to_owned,
        );
        (
            format!("{}/", endpoint.trim_end_matches('/')),
            partition.iam_region,
        )
    }
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

fn signed(
    url: &str,
    region: &str,
    body: String,
    credentials: Credentials,
    now: SystemTime,
) -> Result<HttpRequest, BoxError> {
    let identity = credentials.into();
    let parameters = v4::SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name("iam")
        .time(now)
        .settings(SigningSettings::default())
        .build()?
        .into();
    let headers = [("content-type", FORM)];
    let signable = SignableRequest::new(
        "POST",
        url,
        headers.into_iter(),
        SignableBody::Bytes(body.as_bytes()),
    )?;
    let (signature, _) = sign(signable, &parameters)?.into_parts();
    let mut request = HttpRequest::new(SdkBody::from(body));
    request.set_method("POST")?;
    request.set_uri(url)?;
    request.headers_mut().try_insert("content-type", FORM)?;
    for (name, value) in signature.headers() {
        request
            .headers_mut()
            .try_insert(name.to_owned(), value.to_owned())?;
    }
    Ok(request)
}

/// Percent-encodes the characters of role names that are special in forms.
fn form(name: &str) -> String {
    name.chars()
        .map(|c| match c {
            '+' | '=' | ',' | '@' => format!("%{:02X}", u32::from(c)),
            c => c.to_string(),
        })
        .collect()
}

fn read_role(xml: &str) -> Result<Role, String> {
    let field = |name: &str| {
        element(xml, &["GetRoleResult", "Role", name])
            .ok_or_else(|| format!("the response of IAM has no `{name}`"))
    };
    let trust = percent_decoded(&field("AssumeRolePolicyDocument")?)
        .ok_or("the response of IAM: the trust policy is not UTF-8")?;
    Ok(Role {
        arn: field("Arn")?,
        trust: serde_json::from_str(&trust).map_err(|error| {
            format!("the response of IAM: the trust policy is not JSON: {error}")
        })?,
    })
}

/// Reads code and message of an error; uses the status for a response that is not XML of IAM.
fn refusal(xml: &str, status: u16) -> ErrorMetadata {
    let field = |name| element(xml, &["Error", name]);
    let code = field("Code").unwrap_or_else(|| format!("HTTP {status}"));
    let message = field("Message").unwrap_or_else(|| "no message".to_owned());
    ErrorMetadata::builder().code(code).message(message).build()
}

/// Returns the text of the first element at `path` below the root.
fn element(xml: &str, path: &[&str]) -> Option<String> {
    fn below(scope: &mut ScopedDecoder<'_, '_>, path: &[&str]) -> Option<String> {
        let Some((name, rest)) = path.split_first() else {
            return try_data(scope).ok().map(|text| text.trim().to_owned());
        };
        while let Some(mut tag) = scope.next_tag() {
            if tag.start_el().local() == *name {
                return below(&mut tag, rest);
            }
        }
        None
    }
    let mut document = Document::new(xml);
    let mut root = document.root_element().ok()?;
    below(&mut root, path)
}

/// Decodes `%7B` to `{`; keeps a `%` without two hexadecimal digits.
fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let digits = after.get(..2).filter(|_| first == b'%');
        let byte = digits
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()))
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(byte.unwrap_or(first));
        rest = match byte {
            Some(_) => after.get(2..).unwrap_or_default(),
            None => after,
        };
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ANSWER: &str = r#"<?xml version="1.0"?>
<GetRoleResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/"><GetRoleResult><Role>
  <Path>/team/</Path><AssumeRolePolicyDocument>%7B%22Statement%22%3A%5B%5D%7D</AssumeRolePolicyDocument>
  <RoleName>a&amp;b</RoleName><Arn>arn:aws:iam::123456789012:role/team/train</Arn>
</Role></GetRoleResult></GetRoleResponse>"#;

    #[test]
    fn reads_a_role() {
        let role = read_role(ANSWER).expect("a role");
        assert_eq!(role.arn, "arn:aws:iam::123456789012:role/team/train");
        assert_eq!(role.trust, serde_json::json!({"Statement": []}));
    }

    #[test]
    fn refuses_invalid_responses() {
        for xml in [
            "",
            "<",
            "<html>",
            "<GetRoleResponse/>",
            &ANSWER.replace("%7D", ""),
        ] {
            assert!(read_role(xml).is_err(), "{xml}");
        }
        let error = refusal("<html>bad gateway</html>", 502);
        assert_eq!(error.code(), Some("HTTP 502"));
    }

    #[test]
    fn reads_code_and_message_of_an_error() {
        let xml = "<ErrorResponse><Error><Type>Sender</Type><Code>NoSuchEntity</Code>\
                   <Message>no &lt;x&gt;</Message></Error><RequestId>1</RequestId></ErrorResponse>";
        let error = refusal(xml, 404);
        assert_eq!(error.code(), Some("NoSuchEntity"));
        assert_eq!(error.message(), Some("no <x>"));
    }

    #[test]
    fn parses_names_of_roles() {
        let long = "x".repeat(65);
        for (text, name) in [
            ("train", Some("train")),
            ("a+b=c,d.e@f_g-h", Some("a+b=c,d.e@f_g-h")),
            ("arn:aws:iam::123456789012:role/train", Some("train")),
            (
                "arn:aws-cn:iam::123456789012:role/team/x/train",
                Some("train"),
            ),
            ("arn:aws:iam::123456789012:user/train", None),
            ("arn:aws:s3:::role/train", None),
            ("arn:aws:iam::1234:role/train", None),
            ("arn:aws:iam", None),
            ("arn:aws:iam::123456789012:role/ä", None),
            ("arn:aws:iam::123456789012:role/", None),
            ("a&Action=DeleteRole", None),
            ("team/train", None),
            ("", None),
            (&long, None),
        ] {
            assert_eq!(role_name(text), name, "{text}");
        }
        let given = parse_role("service-role/train").expect("a role");
        assert_eq!((given.path, given.name), ("service-role/", "train"));
        let session = "arn:aws:sts::123456789012:assumed-role/train/ann";
        assert_eq!(parse_role(session), Err(NotARole::Session("train")));
        assert_eq!(form("a+b=c,d.e@f_g-h"), "a%2Bb%3Dc%2Cd.e%40f_g-h");
    }

    proptest! {
            #[test]
            fn decoding_undoes_encoding(text in ".*") {
                let encoded: String = text.bytes().map(|b| format!("%{b:02x}")).collect();
                prop_assert_eq!(percent_decoded(&encoded), Some(text));
            }

            #[test]
    fn accepts_any_response_without_panic(text in ".*") {
                let _ = (read_role(&text), refusal(&text, 500), percent_decoded(&text));
            }
        }
}
