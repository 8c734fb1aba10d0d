use std::fmt;
use std::path::{Path, PathBuf};

use diagnostics::{Error, Result};

/// Location of data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Location {
    /// `s3://bucket/key`
    S3(S3Url),
    /// `file://path` or a path.
    File(PathBuf),
}

/// A bucket and a key in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct S3Url {
    /// 3 to 63 characters of `a-z0-9.-`.
    pub(crate) bucket: String,
    /// Without a leading slash; empty for the whole bucket.
    pub(crate) key: String,
}

impl Location {
    /// Reads `s3://...`, `file://...` or a path.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        if text.starts_with("s3://") {
            return S3Url::parse(text).map(Self::S3);
        }
        if let Some(path) = text.strip_prefix("file://") {
            if path.is_empty() {
                return Err(Error::usage("`file://` has no path")
                    .help("expected a file or folder, such as `file://data`"));
            }
            return Ok(Self::File(PathBuf::from(path)));
        }
        if let Some((scheme, _)) = text.split_once("://") {
            return Err(
                Error::usage(format!("`{text}`: `{scheme}://` is not supported"))
                    .help("expected `s3://bucket/key`, `file://path` or a path"),
            );
        }
        if text.is_empty() {
            return Err(Error::usage("a location is empty")
                .help("expected `s3://bucket/key`, `file://path` or a path"));
        }
        Ok(Self::File(PathBuf::from(text)))
    }
}

impl S3Url {
    /// Reads `s3://bucket` or `s3://bucket/key`.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let rest = text.strip_prefix("s3://").ok_or_else(|| {
            Error::usage(format!("`{text}` is not an S3 URL")).help("expected `s3://bucket/key`")
        })?;
        let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
        let sound = (3..=63).contains(&bucket.len())
            && bucket
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.');
        if !sound {
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

    /// URL of `below` this one.
    pub(crate) fn join(&self, below: &str) -> Self {
        let key = match self.key.trim_end_matches('/') {
            "" => below.to_owned(),
            key => format!("{key}/{below}"),
        };
        Self {
            bucket: self.bucket.clone(),
            key,
        }
    }
}

impl fmt::Display for S3Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}/{}", self.bucket, self.key)
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::S3(url) => url.fmt(f),
            Self::File(path) => write!(f, "file://{}", Path::display(path)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_locations() {
        let url = S3Url::parse("s3://my-bucket/a/b").expect("sound");
        assert_eq!(
            (url.bucket.as_str(), url.key.as_str()),
            ("my-bucket", "a/b")
        );
        assert_eq!(url.join("c").to_string(), "s3://my-bucket/a/b/c");
        let whole = S3Url::parse("s3://my-bucket").expect("sound");
        assert_eq!(whole.join("c").to_string(), "s3://my-bucket/c");
        let folder = S3Url::parse("s3://my-bucket/a/").expect("sound");
        assert_eq!(folder.join("c").to_string(), "s3://my-bucket/a/c");
        assert_eq!(
            Location::parse("file://data/x.csv").expect("sound"),
            Location::File("data/x.csv".into())
        );
        assert_eq!(
            Location::parse("/tmp/x").expect("sound"),
            Location::File("/tmp/x".into())
        );
        for bad in [
            "s3://",
            "s3://A/b",
            "s3://ab/c",
            "s3://bucket//c",
            "file://",
            "http://x/y",
            "",
        ] {
            assert!(Location::parse(bad).is_err(), "{bad}");
        }
    }
}
