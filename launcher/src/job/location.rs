use std::fmt;
use std::path::{Path, PathBuf};

use diagnostics::{Error, Result};
use s3::S3Url;

/// Location of data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Location {
    /// `s3://bucket/key`
    S3(S3Url),
    /// `file://path` or a path.
    File(PathBuf),
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
        assert_eq!(
            Location::parse("file://data/x.csv").expect("valid"),
            Location::File("data/x.csv".into())
        );
        assert_eq!(
            Location::parse("/tmp/x").expect("valid"),
            Location::File("/tmp/x".into())
        );
        for bad in [
            "s3://",
            "s3://A/b",
            "s3://ab/c",
            "file://",
            "http://x/y",
            "",
        ] {
            assert!(Location::parse(bad).is_err(), "{bad}");
        }
    }
}
