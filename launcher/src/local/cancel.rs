//! Work on a blocking thread that is given up: a thread cannot be dropped, so it is asked to end, and waited for.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

/// A thread looks whether it shall end with every piece that it reads.
const PATIENCE: Duration = Duration::from_secs(5);

/// Dropped, it ends the work, whose temporary file is gone then.
pub(super) struct Guard {
    stop: Arc<AtomicBool>,
    ended: Receiver<()>,
}

/// The thread's side of it.
#[derive(Clone)]
pub(super) struct Ticket {
    stop: Arc<AtomicBool>,
    /// Closed when the last of it is dropped.
    ended: SyncSender<()>,
}

pub(super) fn guard() -> (Guard, Ticket) {
    let (sender, ended) = sync_channel(0);
    let stop = Arc::new(AtomicBool::new(false));
    let ticket = Ticket {
        stop: Arc::clone(&stop),
        ended: sender,
    };
    (Guard { stop, ended }, ticket)
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.ended.recv_timeout(PATIENCE);
    }
}

/// Counts what is read, until the work is given up.
pub(super) struct Counted<'a, R> {
    bytes: R,
    pub(super) count: u64,
    ticket: &'a Ticket,
}

impl Ticket {
    /// While it is there, the work has not ended: for what is cleaned up after the ticket.
    pub(super) fn held(&self) -> impl Sized + use<> {
        self.ended.clone()
    }

    pub(super) fn counted<R: Read>(&self, bytes: R) -> Counted<'_, R> {
        Counted {
            bytes,
            count: 0,
            ticket: self,
        }
    }
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.ticket.stop.load(Ordering::Relaxed) {
            return Err(io::Error::other("given up"));
        }
        let count = self.bytes.read(buffer)?;
        self.count += count as u64;
        Ok(count)
    }
}
