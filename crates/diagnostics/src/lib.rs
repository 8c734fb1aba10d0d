//! Errors and findings as users read them, safe printing, and small file helpers.
//!
//! | module | contents |
//! |---|---|
//! | [`error`] | [`Error`]: message, help lines, [`Exit`] code; as text or JSON |
//! | [`diagnostic`] | [`Diagnostic`]: one finding about data, with code and place; [`Warning`] |
//! | [`mod@sanitize`] | user text made safe for logs and terminals |
//! | [`usage`] | errors of a command line, from clap's text |
//! | [`stdio`] | lines on standard output and standard error |
//! | [`checksums`] | SHA-256 of bytes, files and folders |
//! | [`atomic_dir`] | folders and files that appear whole or not at all |

pub mod atomic_dir;
pub mod checksums;
pub mod diagnostic;
pub mod error;
pub mod sanitize;
pub mod stdio;
pub mod usage;

pub use checksums::{hex, hmac_sha256, sha256, sha256_bytes, sha256_file};
pub use diagnostic::{Diagnostic, Place, Severity, Warning, counted, listed};
pub use error::{Error, ErrorKind, Exit, Result, chain};
pub use sanitize::{LogText, quoted_for_shell, sanitize, sanitize_json, short_label, shortened};
pub use stdio::{
    Style, eprint_json, eprint_line, eprint_metrics, eprint_over_bar, eprint_styled, print_json,
    print_line,
};
