//! Reads the JSON files of the contract.

use std::io::ErrorKind;
use std::path::Path;

use serde::de::DeserializeOwned;

use crate::ContractError;

/// Returns the text of a file, or `None` if it does not exist: all files are optional, because a
/// laptop has none of them.
pub(crate) fn text(path: &Path) -> Result<Option<String>, ContractError> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(source) => {
            return Err(ContractError::Read {
                path: path.to_owned(),
                source,
            });
        }
    };
    // Windows editors write a byte order mark, which JSON parsers refuse.
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(Some(text.to_owned())),
        Err(error) => Err(ContractError::Json {
            path: path.to_owned(),
            found: format!("byte {} is not UTF-8", error.valid_up_to()),
            help: "expected a JSON file in UTF-8".to_owned(),
        }),
    }
}

/// Parses a JSON file, or returns `None` if it does not exist.
pub(crate) fn json<T: DeserializeOwned>(
    path: &Path,
    expected: &'static str,
) -> Result<Option<T>, ContractError> {
    let Some(text) = text(path)? else {
        return Ok(None);
    };
    match serde_json::from_str(&text) {
        Ok(value) => Ok(Some(value)),
        Err(error) => Err(invalid(path, &error, expected)),
    }
}

/// Converts an error of the JSON parser, with line and column.
pub(crate) fn invalid(
    path: &Path,
    error: &serde_json::Error,
    expected: &'static str,
) -> ContractError {
    // The parser may quote the file, so its message is user data.
    let found = diagnostics::sanitize(&error.to_string()).into_owned();
    ContractError::Json {
        path: path.to_owned(),
        found,
        help: format!("expected {expected}"),
    }
}
