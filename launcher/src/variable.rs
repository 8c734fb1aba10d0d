//! Environment variables. An empty variable counts as not set, as in a shell's `${NAME:-default}`.

use std::ffi::OsString;

/// Returns the value of a variable.
pub(crate) fn get(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

/// Returns name and value of the first variable that is set to UTF-8 text.
pub(crate) fn first_set(names: &[&'static str]) -> Option<(&'static str, String)> {
    names
        .iter()
        .find_map(|name| Some((*name, get(name)?.into_string().ok()?)))
}
