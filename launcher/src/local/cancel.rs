//! Cancels work on a blocking thread and waits for its end.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

/// Longest wait for the thread, which checks for cancellation before every read.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(5);

/// Cancels the work when it is dropped, and waits until its temporary files are removed.
pub(super) struct CancelGuard {
    stop: Arc<AtomicBool>,
    ended: Receiver<()>,
}

/// The thread's side of a [`CancelGuard`].
#[derive(Clone)]
pub(super) struct CancelToken {
    stop: Arc<AtomicBool>,
    /// Closed when the last copy is dropped.
    ended: SyncSender<()>,
}

pub(super) fn guard() -> (CancelGuard, CancelToken) {
    let (sender, ended) = sync_channel(0);
    let stop = Arc::new(AtomicBool::new(false));
    let token = CancelToken {
        stop: Arc::clone(&stop),
        ended: sender,
    };
    (CancelGuard { stop, ended }, token)
}

impl Drop for CancelGuard {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.ended.recv_timeout(CANCEL_TIMEOUT);
    }
}

/// Counts the bytes that are read; fails once the work is cancelled.
pub(super) struct CountingReader<'a, R> {
    bytes: R,
    pub(super) count: u64,
    token: &'a CancelToken,
}

impl CancelToken {
    /// Returns a value that delays the end of the work until it is dropped, for cleaning up.
    pub(super) fn keep_alive(&self) -> impl Sized + use<> {
        self.ended.clone()
    }

    pub(super) fn reader<R: Read>(&self, bytes: R) -> CountingReader<'_, R> {
        CountingReader {
            bytes,
            count: 0,
            token: self,
        }
    }
}

impl<R: Read> Read for CountingReader<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.token.stop.load(Ordering::Relaxed) {
            return Err(io::Error::other("cancelled"));
        }
        let count = self.bytes.read(buffer)?;
        self.count += count as u64;
        Ok(count)
    }
}
