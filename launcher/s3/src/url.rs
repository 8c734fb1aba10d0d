//! S3 URLs.

use std::fmt;

use diagnostics::{Error, Result};

/// A bucket and a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct S3Url {
    /// 3 to 63 characters of `a-z0-9.-`.
    pub bucket: String,
    /// Without a leading slash; empty for the whole bucket.
    pub key: String,
}

impl S3Url {
    /// Reads `s3://bucket` or `s3://bucket/key`.
    pub fn parse(text: &str) -> Result<Self> {
        let rest = text.strip_prefix("s3://").ok_or_else(|| {
            Error::usage(format!("`{text}` is not an S3 URL")).help("expected `s3://bucket/key`")
        })?;
        let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
        let is_valid = (3..=63).contains(&bucket.len())
            && bucket
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.');
        if !is_valid {
            return Err(
                Error::usage(format!("`{text}`: `{bucket}` is not a bucket name"))
                    .help("expected 3 to 63 characters of `a-z0-9.-`, as in `s3://my-bucket/key`"),
            );
        }
        if key.starts_with('/') {
            return Err(
                Error::usage(format!("`{text}` has an empty folder in its key"))
                    .help("expected `s3://bucket/key` with single slashes"),
            );
        }
        Ok(Self {
            bucket: bucket.to_owned(),
            key: key.to_owned(),
        })
    }

    /// Returns the URL of a key below this one.
    pub fn join(&self, below: &str) -> Self {
        let key = match self.key.trim_end_matches('/') {
            "" => below.to_owned(),
            key => format!("{key}/{below}"),
        };
        self.with_key(key)
    }

    /// Returns the URL of another key of the bucket.
    pub(crate) fn with_key(&self, key: String) -> Self {
        let bucket = self.bucket.clone();
        Self { bucket, key }
    }
}

impl fmt::Display for S3Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}/{}", self.bucket, self.key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn join_adds_one_slash() {
        let url = S3Url::parse("s3://my-bucket/a/b").expect("valid");
        assert_eq!(
            (url.bucket.as_str(), url.key.as_str()),
            ("my-bucket", "a/b")
        );
        assert_eq!(url.join("c").to_string(), "s3://my-bucket/a/b/c");
        let whole = S3Url::parse("s3://my-bucket").expect("valid");
        assert_eq!(whole.join("c").to_string(), "s3://my-bucket/c");
        let folder = S3Url::parse("s3://my-bucket/a/").expect("valid");
        assert_eq!(folder.join("c").to_string(), "s3://my-bucket/a/c");
    }
}
