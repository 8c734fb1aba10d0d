//! Reads environment variables, parses numbers, formats sizes, makes temporary folders.

use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::ops::RangeInclusive;
use std::os::unix::fs::PermissionsExt as _;

use diagnostics::{Error, sanitize};
use tempfile::TempDir;

/// Returns clap's parser of a whole number; its error has the range.
pub(crate) fn whole_number(
    range: RangeInclusive<u32>,
) -> impl Fn(&str) -> Result<u32, String> + Clone {
    move |text| {
        let number = text
            .parse::<u32>()
            .ok()
            .filter(|number| range.contains(number));
        let (low, high) = (range.start(), range.end());
        number.ok_or_else(|| format!("expected a whole number from {low} to {high}"))
    }
}

/// Help for a temporary folder or file that cannot be written.
pub(crate) const TMPDIR_HELP: &str =
    "set TMPDIR to an existing folder with space, such as `TMPDIR=/tmp`";

/// Makes a temporary folder that only its user can read, for any umask.
///
/// # Errors
/// If it cannot be made.
pub(crate) fn private_folder(prefix: &str) -> diagnostics::Result<TempDir> {
    let only_user = Permissions::from_mode(0o700);
    let mut builder = tempfile::Builder::new();
    builder.prefix(prefix).permissions(only_user.clone());
    let folder = builder.tempdir().and_then(|folder| {
        fs::set_permissions(folder.path(), only_user)?;
        Ok(folder)
    });
    folder.map_err(|error| {
        Error::new(format!("cannot make a temporary folder: {error}")).help(TMPDIR_HELP)
    })
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

/// Returns the first line of a program's output, for a message.
pub(crate) fn first_line(output: &[u8]) -> String {
    let text = String::from_utf8_lossy(output);
    sanitize(text.trim().lines().next().unwrap_or("no message")).into_owned()
}

#[cfg(test)]
mod public_reports {
    use super::*;

    /// USER 18: raw Rust in messages, `invalid digit found in string`.
    #[test]
    fn number_out_of_range_names_the_range() {
        let parse = whole_number(1..=16_384);
        assert_eq!((parse("1"), parse("16384")), (Ok(1), Ok(16_384)));
        for bad in ["0", "16385", "x", "", "-1", "1.5", "99999999999"] {
            let expected = "expected a whole number from 1 to 16384".to_owned();
            assert_eq!(parse(bad), Err(expected), "{bad}");
        }
    }
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
