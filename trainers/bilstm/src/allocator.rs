//! The allocator of the whole process, libtorch included. glibc's returns the memory of a step's
//! tensors to the system and requests it again in the next step, which took a third of the CPU
//! time.
//!
//! Measured with the default network on IMDB, one epoch, two threads: 44 s wall time, 82 s CPU time
//! and at most 606 MB; with glibc 69 s, 127 s and 552 MB (its settings improve one at the cost of
//! the other).

#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod jemalloc {
    #[global_allocator]
    static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

    /// Sets how long free memory is retained, in milliseconds; -1: forever; 0: not at all.
    pub(super) fn set_decay(milliseconds: isize) {
        #[expect(unsafe_code, reason = "jemalloc's settings have no types")]
        // SAFETY: the name ends with a zero, and the value is an ssize_t by jemalloc's manual
        // (jemalloc.net, `arena.<i>.dirty_decay_ms`).
        let set =
            unsafe { tikv_jemalloc_ctl::raw::write(b"arena.0.dirty_decay_ms\0", milliseconds) };
        debug_assert!(set.is_ok(), "jemalloc: {set:?}");
    }
}

/// Retains free memory from now on, for the tensors of each batch. Until then it is returned after
/// some seconds, so that the memory of reading is not added to that of training. Does nothing on
/// other C libraries.
pub(crate) fn retain() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    jemalloc::set_decay(-1);
}

/// Returns free memory to the system, between phases with different batch sizes: otherwise their
/// memory adds up.
pub(crate) fn purge() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        jemalloc::set_decay(0);
        jemalloc::set_decay(-1);
    }
}

#[cfg(all(test, target_os = "linux", target_env = "gnu"))]
mod tests {
    #[test]
    fn free_memory_is_retained() {
        super::retain();
        #[expect(unsafe_code, reason = "jemalloc's settings have no types")]
        // SAFETY: as in `set_decay`.
        let decay = unsafe { tikv_jemalloc_ctl::raw::read::<isize>(b"arena.0.dirty_decay_ms\0") };
        assert_eq!(decay, Ok(-1));
    }

    #[test]
    fn purge_returns_free_memory() {
        // Resident memory of this process, in kB.
        let resident = || -> usize {
            let status = std::fs::read_to_string("/proc/self/status").unwrap();
            let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
            line.unwrap()
                .trim()
                .trim_end_matches(" kB")
                .parse()
                .unwrap()
        };
        super::retain();
        #[expect(unsafe_code, reason = "jemalloc's settings have no types")]
        // SAFETY: as in `set_decay`; this value is an unsigned. A test has several arenas, the
        // program one.
        let arena = unsafe { tikv_jemalloc_ctl::raw::write(b"thread.arena\0", 0_u32) };
        assert_eq!(arena, Ok(()));
        // Blocks of the size of tensors, below the size of separate mappings.
        let blocks: Vec<Vec<u8>> = (0..128).map(|_| vec![1; 1 << 20]).collect();
        drop(blocks);
        let before = resident();
        super::purge();
        let after = resident();
        assert!(after + 64_000 < before, "{before} {after}");
    }
}
