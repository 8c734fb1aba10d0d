//! Reads environment variables, formats sizes, makes temporary folders.

use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;

use tempfile::TempDir;

/// Makes a temporary folder that only its user can read, for any umask.
pub(crate) fn private_folder(prefix: &str) -> io::Result<TempDir> {
    let only_user = Permissions::from_mode(0o700);
    let mut builder = tempfile::Builder::new();
    let folder = builder
        .prefix(prefix)
        .permissions(only_user.clone())
        .tempdir()?;
    fs::set_permissions(folder.path(), only_user)?;
    Ok(folder)
}

/// Returns the value of an environment variable. An empty variable counts as not set, as in a
/// shell's `${NAME:-default}`.
pub(crate) fn env_var(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

/// Returns name and value of the first variable that is set to UTF-8 text.
pub(crate) fn first_set(names: &[&'static str]) -> Option<(&'static str, String)> {
    names
        .iter()
        .find_map(|name| Some((*name, env_var(name)?.into_string().ok()?)))
}

/// Returns a size such as `4.86 MB`, in the unit of registries and engines.
pub(crate) fn megabytes(bytes: u64) -> String {
    // Rounded to hundredths.
    let hundredths = bytes / 10_000 + u64::from(bytes % 10_000 >= 5_000);
    format!("{}.{:02} MB", hundredths / 100, hundredths % 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (bytes, text) in [
            (0, "0.00 MB"),
            (4_999, "0.00 MB"),
            (5_000, "0.01 MB"),
            (4_864_999, "4.86 MB"),
            (1_234_996_000, "1235.00 MB"),
        ] {
            assert_eq!(megabytes(bytes), text);
        }
    }
}
