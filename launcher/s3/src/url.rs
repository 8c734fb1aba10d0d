//! S3 URLs.

use std::fmt;

use diagnostics::{Error, Result};

/// A bucket and a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct S3Url {
    /// 3 to 63 characters of `a-z0-9.-`.
    pub bucket: String,
    /// Empty for the whole bucket. May begin with a slash or have several in a row.
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
        Ok(Self {
            bucket: bucket.to_owned(),
            key: key.to_owned(),
        })
    }

    /// Returns the URL of a key below this one.
    pub fn join(&self, below: &str) -> Self {
        let key = &self.key;
        let slash = if key.is_empty() || key.ends_with('/') {
            ""
        } else {
            "/"
        };
        self.with_key(format!("{key}{slash}{below}"))
    }

    /// Returns the path of a key that begins with this one, relative to this folder; relative to
    /// the folder above if this key is that of an object or the beginning of a name.
    pub fn relative<'a>(&self, key: &'a str) -> &'a str {
        let rest = key.strip_prefix(&self.key).unwrap_or(key);
        if self.key.is_empty() || self.key.ends_with('/') {
            return rest;
        }
        let above = self.key.rfind('/').map_or(0, |slash| slash + 1);
        let from_above = key.get(above..).unwrap_or(rest);
        rest.strip_prefix('/').unwrap_or(from_above)
    }

    /// True if a key begins with this one, but is neither that object nor below that folder.
    pub fn is_sibling(&self, key: &str) -> bool {
        let rest = key.strip_prefix(&self.key).unwrap_or_default();
        !self.key.is_empty()
            && !self.key.ends_with('/')
            && !rest.is_empty()
            && !rest.starts_with('/')
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
    fn keys_are_relative_to_the_folder() {
        for (prefix, key, expected) in [
            ("", "a/b", "a/b"),
            ("a/", "a/b", "b"),
            ("a", "a/b/c", "b/c"),
            ("d/a", "d/a", "a"),
            ("d/a", "d/a-old/b", "a-old/b"),
            ("d/a", "d/a//b", "/b"),
        ] {
            let url = S3Url::parse(&format!("s3://my-bucket/{prefix}")).expect("valid");
            assert_eq!(url.relative(key), expected, "{prefix}");
        }
    }

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
        let unnamed = S3Url::parse("s3://my-bucket//a//").expect("valid");
        assert_eq!(unnamed.join("").to_string(), "s3://my-bucket//a//");
    }
}
