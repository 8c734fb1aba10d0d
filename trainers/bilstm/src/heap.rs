//! The allocator of the whole process, libtorch included: glibc's gives the memory of a step's tensors back to the system and
//! takes it again in the next step, which was a third of the processor time.
//!
//! Measured with the default network on IMDB, one epoch, two threads: 44 s of wall and 82 s of processor time with 592 MB
//! at most, where glibc's takes 69 s, 127 s and 539 MB (its own settings help one at the cost of the other).

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// jemalloc's settings: one heap for all threads, from which large blocks come too, and free memory is kept. Small blocks
/// have a cache per thread.
#[expect(unsafe_code, reason = "jemalloc looks this name up")]
// SAFETY: nobody else defines the name; a reference to an array is the pointer that jemalloc reads, up to the zero.
#[unsafe(export_name = "malloc_conf")]
static SETTINGS: &[u8; 49] = b"narenas:1,dirty_decay_ms:-1,oversize_threshold:0\0";
