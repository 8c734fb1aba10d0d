//! Environment variables. Set to nothing counts as not set, as in a shell's `${NAME:-default}`.

use std::ffi::OsString;

/// The variable's value.
pub(crate) fn set(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

/// The first of these variables that is set, to text.
pub(crate) fn first_set(names: &[&'static str]) -> Option<(&'static str, String)> {
    names
        .iter()
        .find_map(|name| Some((*name, set(name)?.into_string().ok()?)))
}
