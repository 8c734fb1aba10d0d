//! The `bilstm` command.

use std::process::ExitCode;

/// jemalloc's settings: one heap for all threads, from which large blocks come too. Small blocks have a cache per thread.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "jemalloc looks this name up")]
// SAFETY: nobody else defines the name; a reference to an array is the pointer that jemalloc reads, up to the zero.
#[unsafe(export_name = "malloc_conf")]
static SETTINGS: &[u8; 31] = b"narenas:1,oversize_threshold:0\0";

fn main() -> ExitCode {
    harness::run::<bilstm::BiLstm>()
}
