//! The allocator of the whole process, libtorch included: glibc's gives the memory of a step's tensors back to the system and
//! takes it again in the next step, which was a third of the processor time.
//!
//! Measured with the default network on IMDB, one epoch, two threads: 44 s of wall and 82 s of processor time with 606 MB
//! at most, where glibc's takes 69 s, 127 s and 552 MB (its own settings help one at the cost of the other).

#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod jemalloc {
    #[global_allocator]
    static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

    /// For how long free memory is kept, in milliseconds; -1: for ever; 0: what is free goes back at once.
    pub(super) fn keep_for(milliseconds: isize) {
        #[expect(unsafe_code, reason = "jemalloc's settings have no types")]
        // SAFETY: the name ends with a zero, and jemalloc's manual (jemalloc.net, `arena.<i>.dirty_decay_ms`) has ssize_t
        // for its value.
        let set =
            unsafe { tikv_jemalloc_ctl::raw::write(b"arena.0.dirty_decay_ms\0", milliseconds) };
        debug_assert!(set.is_ok(), "jemalloc: {set:?}");
    }
}

/// From now on free memory is kept, for tensors that come and go with each batch. Until then it goes back after some
/// seconds: what reading took would add to what training takes. A program on another C library does without.
pub(crate) fn retain() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    jemalloc::keep_for(-1);
}

/// Gives back what is free, between work on batches of one size and of another: what the one took would add to what the other
/// takes.
pub(crate) fn purge() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        jemalloc::keep_for(0);
        jemalloc::keep_for(-1);
    }
}

#[cfg(all(test, target_os = "linux", target_env = "gnu"))]
mod tests {
    #[test]
    fn free_memory_is_kept() {
        super::retain();
        #[expect(unsafe_code, reason = "jemalloc's settings have no types")]
        // SAFETY: as in `keep_for`.
        let decay = unsafe { tikv_jemalloc_ctl::raw::read::<isize>(b"arena.0.dirty_decay_ms\0") };
        assert_eq!(decay, Ok(-1));
    }

    #[test]
    fn what_is_free_is_given_back_when_asked_for() {
        // kB of this process in memory.
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
        // SAFETY: as in `keep_for`; the manual has unsigned for this one. A test has several arenas, the program one.
        let arena = unsafe { tikv_jemalloc_ctl::raw::write(b"thread.arena\0", 0_u32) };
        assert_eq!(arena, Ok(()));
        // Pieces as tensors have them, each below the size that is mapped by itself.
        let pieces: Vec<Vec<u8>> = (0..128).map(|_| vec![1; 1 << 20]).collect();
        drop(pieces);
        let before = resident();
        super::purge();
        let after = resident();
        assert!(after + 64_000 < before, "{before} {after}");
    }
}
