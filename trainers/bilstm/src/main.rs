//! The `bilstm` command.

use std::process::ExitCode;

/// Settings of jemalloc: one arena for all threads, for large blocks too. Small blocks have a cache
/// per thread.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "jemalloc looks this name up")]
// SAFETY: the name is defined only here; a reference to an array is the pointer that jemalloc
// reads, up to the zero.
#[unsafe(export_name = "malloc_conf")]
static SETTINGS: &[u8; 31] = b"narenas:1,oversize_threshold:0\0";

fn main() -> ExitCode {
    harness::run::<bilstm::BiLstm>()
}
