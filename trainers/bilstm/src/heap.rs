//! How glibc's allocator hands out the memory of tensors.

/// Settings for tensors that come and go with each step: one heap for four threads, and no memory given back between
/// steps. By itself each thread would grow a heap of its own to the largest step it has seen, and blocks would be mapped
/// and unmapped again and again. measured, the old script's network on 2 cores and 800 rows: 373 to 409 MB at most
/// instead of 409 to 492, with 4 to 13 % less processor time. A program on another C library does without.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub(crate) fn prepare() {
    const TRIM_BYTES: libc::c_int = 1 << 30;
    /// The most that glibc takes.
    const MAP_BYTES: libc::c_int = 32 << 20;
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
    let heaps = libc::c_int::try_from(cores.div_ceil(4)).unwrap_or(libc::c_int::MAX);
    for (setting, value) in [
        (libc::M_ARENA_MAX, heaps),
        (libc::M_TRIM_THRESHOLD, TRIM_BYTES),
        (libc::M_MMAP_THRESHOLD, MAP_BYTES),
    ] {
        #[expect(unsafe_code, reason = "there is no safe way to set up the allocator")]
        // SAFETY: mallopt takes numbers and the allocator's own lock; what is allocated stays where it is.
        let taken = unsafe { libc::mallopt(setting, value) };
        debug_assert_eq!(taken, 1, "glibc refuses {setting} = {value}");
    }
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(crate) fn prepare() {}
