//! How glibc's allocator hands out the memory of tensors, which come and go with each step. Measured with the old script's
//! network on 800 rows, 2 cores: without this file 409 to 492 MB at most, 12.1 s of processor time.

/// One heap for four threads, and no memory given back between steps; each thread would grow a heap of its own to the
/// largest step that it has seen. 373 to 464 MB, 11.2 s. A program on another C library does without.
pub(crate) fn prepare() {
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
    let heaps = i32::try_from(cores.div_ceil(4)).unwrap_or(i32::MAX);
    set(Setting::Heaps, heaps);
    set(Setting::KeepBytes, 1 << 30);
}

/// Where threads share a heap, large blocks of one would tear holes between those of another, so they are mapped one by
/// one: 331 to 348 MB, 12.2 s. A thread alone keeps to 303 to 341 MB without.
pub(crate) fn share(replicas: usize) {
    /// The most that glibc takes.
    const ALONE: i32 = 32 << 20;
    const SHARED: i32 = 4 << 20;
    set(Setting::MapBytes, if replicas > 1 { SHARED } else { ALONE });
}

enum Setting {
    /// How many heaps there are at most
    Heaps,
    /// Free bytes at a heap's end above which they are given back
    KeepBytes,
    /// Bytes from which a block is mapped by itself
    MapBytes,
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn set(setting: Setting, value: i32) {
    let setting = match setting {
        Setting::Heaps => libc::M_ARENA_MAX,
        Setting::KeepBytes => libc::M_TRIM_THRESHOLD,
        Setting::MapBytes => libc::M_MMAP_THRESHOLD,
    };
    #[expect(unsafe_code, reason = "there is no safe way to set up the allocator")]
    // SAFETY: mallopt takes numbers and the allocator's own lock; what is allocated stays where it is.
    let taken = unsafe { libc::mallopt(setting, value) };
    debug_assert_eq!(taken, 1, "glibc refuses {setting} = {value}");
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn set(_setting: Setting, _value: i32) {}
